package e2e

import (
	"errors"
	"io"
	"math/rand/v2"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/flaky"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// What the tests of reloads, kills, and broken disks and providers share. See
// TestProviderFaults for the ways in which the provider answers.

const (
	faultConfig = "testdata/fault/server.Caddyfile"
	longLife    = 3600 // seconds of a provider's access token: nothing is renewed
	shortLife   = 1    // so that every call renews
)

// newFaultServer starts a server and the provider that its tool ask calls.
func newFaultServer(t *testing.T, lifetime int, more ...string) (*harness.Server, *flaky.Provider) {
	t.Helper()
	p := flaky.Start(t, lifetime)
	return harness.NewFaultServer(t, faultConfig, "", p, more...), p
}

// member is a person with a client that has tokens, and a connected account.
type member struct {
	*browser.Browser
	*mcpclient.Client
}

// newMember logs a person in and connects their account.
func newMember(t *testing.T, s *harness.Server, person browser.Person) *member {
	t.Helper()
	b := newBrowser(t, s, person)
	m := &member{b, logIn(t, s, b, mcpclient.Modern)}
	m.reconnect(t)
	return m
}

// reconnect goes the way of the connect link if there is one, and reports
// whether there was.
func (m *member) reconnect(t *testing.T) bool {
	t.Helper()
	link := m.link(t)
	if link != "" {
		connect(t, m.Browser, link)
		checkAsk(t, m.Client, "ok")
	}
	return link != ""
}

// link is where a call asks the person to connect, or "".
func (m *member) link(t *testing.T) string {
	t.Helper()
	result, err := ask(t, m.Client, "ok")
	if err != nil {
		t.Fatalf("asking: %v", err)
	}
	if !result.IsError {
		return ""
	}
	if result.ConnectURL() == "" {
		t.Fatalf("asking gives %q, want an answer or a link", result.Text())
	}
	return result.ConnectURL()
}

// ask calls the tool ask.
func ask(t *testing.T, c *mcpclient.Client, how string) (*mcpclient.Result, error) {
	t.Helper()
	return c.Call(t.Context(), "ask", map[string]any{"how": how}, nil)
}

// checkAsk fails the test unless the service's answer comes.
func checkAsk(t *testing.T, c *mcpclient.Client, how string) {
	t.Helper()
	result, err := ask(t, c, how)
	if err != nil || result.IsError || !strings.Contains(result.Text(), `"how":"`+how+`"`) {
		t.Errorf("asking %s = %+v, %v; want the service's answer", how, result, err)
	}
}

// checkWhoami fails the test unless the token is good.
func checkWhoami(t *testing.T, c *mcpclient.Client) {
	t.Helper()
	result, err := c.Call(t.Context(), "whoami", nil, nil)
	if err != nil || result.IsError || !strings.Contains(result.Text(), "@example.com") {
		t.Errorf("whoami = %+v, %v; want the person", result, err)
	}
}

// checkClient fails the test unless the server knows a client.
func checkClient(t *testing.T, c *mcpclient.Client) {
	t.Helper()
	b, err := browser.New(alice, strings.TrimSuffix(c.Endpoint, "/mcp"))
	if err != nil {
		t.Fatal(err)
	}
	stop, err := b.Open(t.Context(), c.AuthorizeURL(), browser.Visit{Decision: "deny", Hold: true})
	if err != nil || !stop.Client {
		t.Errorf("client %s is not known: %v, way %q", c.ClientID, err, stop.Way)
	}
}

// isLost reports whether a connection ended without an answer: Caddy resets
// about one at each reload, and a kill resets all.
func isLost(err error) bool {
	var lost *url.Error
	return errors.As(err, &lost) && !lost.Timeout() || errors.Is(err, io.ErrUnexpectedEOF)
}

// patiently tries again while connections are lost.
func patiently(do func() error) error {
	for {
		if err := do(); !isLost(err) {
			return err
		}
	}
}

// rounds is how often a test kills the server: E2E_KILLS, or by default 15.
func rounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("E2E_KILLS")
	if text == "" {
		return 15
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("E2E_KILLS is %q, want a number from 1", text)
	}
	return n
}

// randomly returns a time below most.
func randomly(most time.Duration) time.Duration { return rand.N(most) }
