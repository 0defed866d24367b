package e2e

import (
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// TestRestart kills the server between two calls. Nobody notices: tokens, the
// session of the old era, the person's login and the connected mailbox go on.
func TestRestart(t *testing.T) {
	s := newServer(t)
	b := newBrowser(t, s, alice)
	modern, legacy := logIn(t, s, b, mcpclient.Modern), logIn(t, s, b, mcpclient.Legacy)
	connect(t, b, call(t, modern, "list_messages").ConnectURL())
	link := call(t, logIn(t, s, newBrowser(t, s, bob), mcpclient.Modern), "list_messages").ConnectURL()

	s.Kill()
	s.Restart()

	for _, c := range []*mcpclient.Client{modern, legacy} {
		checkInbox(t, call(t, c, "list_messages").Text(), alice, bob)
		if err := c.Refresh(t.Context()); err != nil {
			t.Errorf("refresh after the restart: %v", err)
		}
		checkInbox(t, call(t, c, "list_messages").Text(), alice, bob)
	}
	// Still logged in, so that no password is asked for.
	again := mcpclient.New(s.Endpoint, mcpclient.Modern)
	if err := again.Discover(t.Context()); err != nil {
		t.Fatalf("discovery: %v", err)
	}
	again.ClientID, again.RedirectURI = modern.ClientID, modern.RedirectURI
	stop := open(t, b, again.AuthorizeURL(), browser.Visit{Hold: true})
	if stop.Visited("/mcp/login") {
		t.Errorf("the person had to log in again\nway: %q", stop.Way)
	}
	if err := again.Redeem(t.Context(), stop.URL); err != nil {
		t.Errorf("redeeming a code after the restart: %v", err)
	}
	// A link from before still leads bob to his own mailbox.
	connect(t, newBrowser(t, s, bob), link)
}
