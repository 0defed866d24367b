package clientmatrix

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
)

// loginLife is how long the token of the identity provider lives that a login at
// the fake vault gives. A quarter of it is lost: the server does not begin a call
// with a token that is about to end.
const loginLife = 24 * time.Second

// Who logs in when the login has ended, in the words of the table.
const (
	byItself  = "by itself"
	byProgram = "by its program"
	byRestart = "at a restart"
	byCommand = "at a command"
)

// ending is a login that ends: the person's identity provider gave a token that
// nobody can renew.
type ending struct {
	server *harness.Server
	seat   *seat
	client client
	begin  int // of the log, when the login was over
}

// logInForAMoment logs alice in at a server whose people come from the fake
// vault. The login ends while the journey goes on elsewhere.
func (j *journey) logInForAMoment(t *testing.T) *ending {
	t.Helper()
	v := harness.StartVault(t, "-token-life", loginLife.String())
	t.Cleanup(v.CheckProtocol)
	e := &ending{server: harness.NewAlterServer(t, v, filepath.Join("..", "testdata", "alter", "server.Caddyfile"),
		"E2E_SITE=log", "E2E_SETTINGS=client_documents off")}
	e.seat = newSeat(t, e.server, alice)
	e.client = j.kind.install(t, e.seat)
	e.client.logIn(t)
	e.begin = len(e.server.Log())
	return e
}

// run uses the client when its login has ended, and returns who logs in then.
// The server has to say no to the refresh token, and the next call is of the
// same person.
func (e *ending) run(t *testing.T) string {
	t.Helper()
	ended := watch(t, e.server, 0).lastToken().Add(loginLife)
	select {
	case <-time.After(time.Until(ended)):
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
	shown, who := e.client.try(t, "whoami")
	if !strings.Contains(shown, "alice@example.com") {
		t.Logf("the login has ended: the client shows %s", shown)
		who = e.client.logInAgain(t)
		shown = e.client.call(t, "whoami")
	}
	check(t, e.seat, "whoami", shown, "alice@example.com", bob)
	seen := watch(t, e.server, e.begin)
	if n := seen.count(http.MethodPost, "/token", http.StatusBadRequest); n == 0 {
		t.Error("the client did not try to refresh its token")
	}
	if n := len(seen.authorizations()); n == 0 {
		t.Error("the client called without a new login")
	}
	return who
}
