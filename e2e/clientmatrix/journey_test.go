package clientmatrix

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
)

// client is one person's installation of an MCP client.
type client interface {
	// logIn makes the server known and logs in by the person's browser.
	logIn(t *testing.T)
	// call calls a tool and returns what the client shows of its answer.
	call(t *testing.T, tool string) string
	// try is call when the login may have ended. What is shown may be a failure.
	// If it is not, who says who has logged in, in the words of the table.
	try(t *testing.T, tool string) (shown, who string)
	// logInAgain does what the person has to do when try failed, and says what
	// that was, in the words of the table.
	logInAgain(t *testing.T) string
}

// journey leads a client through all that people do with it.
type journey struct {
	kind   *kind
	server *harness.Server
	seat   *seat
	client client
}

// run returns what was seen on the way.
func (j *journey) run(t *testing.T) row {
	end := j.logInForAMoment(t)
	j.server = newServer(t, "off")
	j.seat, j.client = j.sitDown(t, alice, bob)
	r := row{
		client: j.kind.name, version: j.kind.version(t),
		revision: watch(t, j.server, 0).revision(), registers: j.registration(t),
		login: passed, call: passed,
	}
	r.renews = j.outliveToken(t)
	j.outliveRestart(t)
	r.restart = passed
	second, other := j.sitDown(t, bob, alice)
	check(t, second, "list_messages", other.call(t, "list_messages"), "welcome to postbox, bob", alice)
	check(t, j.seat, "list_messages", j.client.call(t, "list_messages"), "welcome to postbox, alice", bob)
	r.second = passed
	r.ends = end.run(t)
	return r
}

// sitDown lets a person log in and connect their mailbox.
func (j *journey) sitDown(t *testing.T, person, other browser.Person) (*seat, client) {
	t.Helper()
	s := newSeat(t, j.server, person)
	c := j.kind.install(t, s)
	c.logIn(t)
	check(t, s, "whoami", c.call(t, "whoami"), person.Name+"@example.com", other)
	asked := c.call(t, "list_messages")
	link := connectLink(s.endpoint).FindString(asked)
	if link == "" || strings.Contains(asked, "Welcome to") {
		t.Fatalf("list_messages gives %s %q, want a connect link", person.Name, asked)
	}
	s.connect(t, link)
	check(t, s, "list_messages", c.call(t, "list_messages"), "welcome to postbox, "+person.Name, other)
	return s, c
}

// check fails the test unless the answer holds what it should and nothing of the
// other person.
func check(t *testing.T, s *seat, tool, answer, want string, other browser.Person) {
	t.Helper()
	text := strings.ToLower(answer)
	if !strings.Contains(text, want) || strings.Contains(text, other.Name) {
		t.Fatalf("%s gives %s %q, want %q and nothing of %s", tool, s.person.Name, answer, want, other.Name)
	}
}

// connectLink finds a connect link in what a client shows, which may be JSON.
func connectLink(endpoint string) *regexp.Regexp {
	return regexp.MustCompile(regexp.QuoteMeta(endpoint) + `/connect\?link=[A-Za-z0-9_-]+`)
}

// registration says how the client became known, which must have been by a
// registration of its own.
func (j *journey) registration(t *testing.T) string {
	t.Helper()
	if watch(t, j.server, 0).count(http.MethodPost, "/register", http.StatusCreated) == 0 {
		t.Fatal("the client did not register")
	}
	if j.kind.document == "" {
		return "DCR"
	}
	return "CIMD or DCR"
}

// outliveToken calls a tool after the access token has expired, and says when the
// client noticed.
func (j *journey) outliveToken(t *testing.T) string {
	t.Helper()
	begin := len(j.server.Log())
	expired := watch(t, j.server, 0).lastToken().Add(tokenLife + time.Second)
	select {
	case <-time.After(time.Until(expired)):
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
	check(t, j.seat, "list_messages", j.client.call(t, "list_messages"), "welcome to postbox, alice", bob)
	seen := j.undisturbed(t, begin)
	how := seen.renewed()
	if how == "" {
		t.Fatal("the client called with an expired token and did not refresh it")
	}
	return how
}

// outliveRestart kills the server between two calls.
func (j *journey) outliveRestart(t *testing.T) {
	t.Helper()
	begin := len(j.server.Log())
	j.server.Kill()
	j.server.Restart()
	check(t, j.seat, "whoami", j.client.call(t, "whoami"), "alice@example.com", bob)
	check(t, j.seat, "list_messages", j.client.call(t, "list_messages"), "welcome to postbox, alice", bob)
	j.undisturbed(t, begin)
}

// undisturbed fails the test if the person was asked to log in again, or the
// client registered again.
func (j *journey) undisturbed(t *testing.T, since int) traffic {
	t.Helper()
	seen := watch(t, j.server, since)
	if asked := seen.authorizations(); len(asked) > 0 {
		t.Fatalf("the client wanted %d more logins", len(asked))
	}
	if n := seen.count(http.MethodPost, "/register", http.StatusCreated); n > 0 {
		t.Fatalf("the client registered %d more times", n)
	}
	return seen
}
