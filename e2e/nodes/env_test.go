// Package nodes tests several Caddys that share one PostgreSQL behind one public
// origin. Install and run with ./run.
package nodes

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/flaky"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

const (
	config   = "../testdata/fault/server.Caddyfile"
	redirect = "http://127.0.0.1:49152/callback" // nobody listens there

	longLife  = 3600 // seconds of a provider's access token: nothing is renewed
	shortLife = 1    // so that every call renews

	// seen is how soon a node sees what cuts access at another one, with what a
	// loaded machine needs to notice.
	seen = time.Second + 500*time.Millisecond
	// healed is how soon the nodes serve again when the database is back.
	healed = 15 * time.Second
	// step is how often something is tried until it is so.
	step = 20 * time.Millisecond
)

var (
	alice = browser.Person{Name: "alice", Password: "alice-demo"}

	database  *harness.Postgres
	databases atomic.Int64
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if err := harness.BuildCaddy(); err != nil {
		return 1, err
	}
	if database, err = harness.NewPostgres(); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, database.Remove()) }()
	return m.Run(), nil
}

// cluster is nodes on one empty database.
type cluster struct {
	database string
	key      string
	public   string
	provider *flaky.Provider
	nodes    []*harness.Server
}

// prepare makes a cluster whose nodes are not started.
func prepare(t *testing.T, nodes, lifetime int) *cluster {
	t.Helper()
	c := &cluster{
		database: fmt.Sprintf("test%d", databases.Add(1)), key: newKey(),
		public:   fmt.Sprintf("http://localhost:%d", harness.FreePorts(t, 1)[0]),
		provider: flaky.Start(t, lifetime),
	}
	must(t, database.NewDatabase(c.database))
	for range nodes {
		c.add(t, c.key)
	}
	return c
}

// start makes a cluster.
func start(t *testing.T, nodes, lifetime int) *cluster {
	t.Helper()
	c := prepare(t, nodes, lifetime)
	for _, n := range c.nodes {
		n.Restart()
	}
	return c
}

// add prepares one more node with an encryption key and older ones. Its log must not
// have the password of the database.
func (c *cluster) add(t *testing.T, keys ...string) *harness.Server {
	t.Helper()
	settings := "public_url " + c.public + "\nstore postgres {env.E2E_DATABASE}\nencryption_key"
	env := []string{"E2E_DATABASE=" + database.URL(c.database)}
	for i, key := range keys {
		settings += fmt.Sprintf(" {env.E2E_KEY%d}", i)
		env = append(env, fmt.Sprintf("E2E_KEY%d=%s", i, key))
	}
	n := harness.NewNode(t, config, c.public, c.provider, append(env, "E2E_SETTINGS="+settings)...)
	c.nodes = append(c.nodes, n)
	t.Cleanup(func() {
		if strings.Contains(n.Log(), harness.PostgresPassword) {
			t.Error("the log has the password of the database")
		}
	})
	return n
}

func newKey() string {
	key := make([]byte, 32)
	rand.Read(key)
	return base64.StdEncoding.EncodeToString(key)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newBrowser opens alice's browser at a node.
func newBrowser(t *testing.T, n *harness.Server) *browser.Browser {
	t.Helper()
	b, err := browser.New(alice, n.Sites...)
	must(t, err)
	b.Use(n.Transport())
	return b
}

// at returns the same client at another node.
func at(c *mcpclient.Client, n *harness.Server) *mcpclient.Client {
	other := *mcpclient.New(c.Endpoint, c.Revision)
	other.Elicitation, other.Resource, other.Server = c.Elicitation, c.Resource, c.Server
	other.ClientID, other.RedirectURI, other.AuthMethod, other.Tokens = c.ClientID, c.RedirectURI, c.AuthMethod, c.Tokens
	other.UseSession(c)
	other.Use(n.Transport())
	return &other
}

// register makes a client at a node.
func register(t *testing.T, n *harness.Server, revision string) *mcpclient.Client {
	t.Helper()
	c := mcpclient.New(n.Endpoint, revision)
	c.Use(n.Transport())
	must(t, c.Discover(t.Context()))
	must(t, c.Register(t.Context(), "nodes", redirect))
	return c
}

// authorize has the person agree and returns the redirect with the code.
func authorize(t *testing.T, b *browser.Browser, c *mcpclient.Client) *url.URL {
	t.Helper()
	stop, err := b.Open(t.Context(), c.AuthorizeURL(), browser.Visit{Hold: true})
	if err != nil || !stop.Client {
		t.Fatalf("authorizing ended at %v: %v\nway: %q", stop.URL, err, stop.Way)
	}
	return stop.URL
}

// logIn goes the whole way at one node.
func logIn(t *testing.T, n *harness.Server, revision string) (*mcpclient.Client, *browser.Browser) {
	t.Helper()
	c, b := register(t, n, revision), newBrowser(t, n)
	must(t, c.Redeem(t.Context(), authorize(t, b, c)))
	must(t, c.Initialize(t.Context()))
	return c, b
}

// whoami calls a tool that needs no more than a good token.
func whoami(t *testing.T, c *mcpclient.Client) error {
	t.Helper()
	result, err := c.Call(t.Context(), "whoami", nil, nil)
	if err == nil && (result.IsError || !strings.Contains(result.Text(), "alice@example.com")) {
		err = fmt.Errorf("whoami gives %q", result.Text())
	}
	return err
}

// ask calls the provider, and returns the connect link if one is needed.
func ask(t *testing.T, c *mcpclient.Client) (link string, err error) {
	t.Helper()
	result, err := c.Call(t.Context(), "ask", map[string]any{"how": "ok"}, nil)
	switch {
	case err != nil:
		return "", err
	case result.IsError && result.ConnectURL() != "":
		return result.ConnectURL(), nil
	case result.IsError || !strings.Contains(result.Text(), `"how":"ok"`):
		return "", fmt.Errorf("asking gives %q", result.Text())
	}
	return "", nil
}

// connect opens a connect link at the node of the browser.
func connect(t *testing.T, b *browser.Browser, link string) {
	t.Helper()
	stop, err := b.Open(t.Context(), link, browser.Visit{})
	if err != nil || stop.Page.Status != 200 || stop.Client || !stop.Visited("/connect/callback") {
		t.Fatalf("connecting ended with %+v, %v\nway: %q", stop.Page, err, stop.Way)
	}
}

// within fails the test unless try succeeds in time, and returns how long it took.
func within(t *testing.T, most time.Duration, what string, try func() error) time.Duration {
	t.Helper()
	begun := time.Now()
	for {
		err := try()
		took := time.Since(begun)
		if err == nil && took <= most {
			return took
		}
		if took > most {
			t.Fatalf("%s: not within %v: %v", what, most, err)
		}
		<-time.After(step)
	}
}

// status is the HTTP status of an error, or 0.
func status(err error) int {
	var refused *mcpclient.StatusError
	var oauth *mcpclient.OAuthError
	switch {
	case errors.As(err, &refused):
		return refused.Status
	case errors.As(err, &oauth):
		return oauth.Status
	}
	return 0
}

// wantStatus is nil if err has that status.
func wantStatus(want int, err error) error {
	if status(err) != want {
		return fmt.Errorf("%v, want status %d", err, want)
	}
	return nil
}

// atOnce runs all functions at the same time.
func atOnce(all ...func()) {
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for _, f := range all {
		wg.Go(func() { <-begin; f() })
	}
	close(begin)
	wg.Wait()
}
