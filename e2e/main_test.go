// Package e2e tests the built server with real MCP clients, the official
// conformance suite and a person at a browser. Install with ./install.sh, or do
// all with ./run.
package e2e

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// The people of the demo.
var (
	alice = browser.Person{Name: "alice", Password: "alice-demo"}
	bob   = browser.Person{Name: "bob", Password: "bob-demo"}
)

func TestMain(m *testing.M) {
	if err := harness.Build(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// newServer starts a server; settings are lines for the endpoint in its
// Caddyfile.
func newServer(t *testing.T, settings ...string) *harness.Server {
	t.Helper()
	return harness.NewServer(t, "testdata", withSettings(settings...))
}

func withSettings(lines ...string) string { return "E2E_SETTINGS=" + strings.Join(lines, "\n") }

func newBrowser(t *testing.T, s *harness.Server, person browser.Person) *browser.Browser {
	t.Helper()
	b, err := browser.New(person, s.Sites...)
	if err != nil {
		t.Fatalf("opening a browser: %v", err)
	}
	if s.Transport != nil {
		b.Use(s.Transport())
	}
	return b
}

func newClient(s *harness.Server, revision string) *mcpclient.Client {
	c := mcpclient.New(s.Endpoint, revision)
	if s.Transport != nil {
		c.Use(s.Transport())
	}
	return c
}

// open opens an address in the browser and returns where that ends.
func open(t *testing.T, b *browser.Browser, address string, v browser.Visit) *browser.Stop {
	t.Helper()
	stop, err := b.Open(t.Context(), address, v)
	if err != nil {
		t.Fatalf("opening %s: %v\nway: %q", address, err, stop.Way)
	}
	return stop
}

// logIn goes the way of a client that was just given the URL, up to its tokens.
func logIn(t *testing.T, s *harness.Server, b *browser.Browser, revision string) *mcpclient.Client {
	t.Helper()
	return logInBy(t, newClient(s, revision), b)
}

// logInBy is logIn for a client that was made for it.
func logInBy(t *testing.T, c *mcpclient.Client, b *browser.Browser) *mcpclient.Client {
	t.Helper()
	if err := c.Discover(t.Context()); err != nil {
		t.Fatalf("discovery: %v", err)
	}
	// Nobody listens there: the browser stops before it.
	if err := c.Register(t.Context(), "e2e "+c.Revision, "http://127.0.0.1:49152/callback"); err != nil {
		t.Fatalf("registration: %v", err)
	}
	stop := open(t, b, c.AuthorizeURL(), browser.Visit{Hold: true})
	if !stop.Client {
		t.Fatalf("login ended on the page %q: %s\nway: %q", stop.Page.Title, stop.Page.Text, stop.Way)
	}
	if err := c.Redeem(t.Context(), stop.URL); err != nil {
		t.Fatalf("redeeming the code: %v", err)
	}
	if err := c.Initialize(t.Context()); err != nil {
		t.Fatalf("opening a session: %v", err)
	}
	return c
}

// connect opens a connect link and sees to it that the account is connected.
func connect(t *testing.T, b *browser.Browser, link string) {
	t.Helper()
	stop := open(t, b, link, browser.Visit{})
	if stop.Page.Status != 200 || stop.Client || !stop.Visited("/connect/callback") {
		t.Fatalf("connecting ended with %d on the page %q: %s\nway: %q", stop.Page.Status, stop.Page.Title, stop.Page.Text, stop.Way)
	}
}

func call(t *testing.T, c *mcpclient.Client, tool string) *mcpclient.Result {
	t.Helper()
	result, err := c.Call(t.Context(), tool, nil, nil)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return result
}

// checkInbox fails the test unless the answer of list_messages is the inbox of
// that person and holds nothing of the other.
func checkInbox(t *testing.T, answer string, of, other browser.Person) {
	t.Helper()
	text := strings.ToLower(answer)
	if !strings.Contains(text, of.Name+"@postbox.example") || !strings.Contains(text, "welcome to postbox, "+of.Name) || strings.Contains(text, other.Name) {
		t.Errorf("list_messages gives %q, want the inbox of %s alone", answer, of.Name)
	}
}

func sorted(names []string) []string { return slices.Sorted(slices.Values(names)) }
