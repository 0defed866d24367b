package webbrowser

import (
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
)

// TestWait is a login by Alter, in each look: our page waits while the person logs
// in in another tab, and then goes on by itself.
func TestWait(t *testing.T) {
	v := harness.StartVault(t)
	t.Cleanup(v.CheckProtocol)
	s := &site{Server: harness.NewAlterServer(t, v, "testdata/alter.Caddyfile")}
	b := Start(t)
	for _, w := range looks() {
		t.Run(w.Name, func(t *testing.T) {
			tab, a := b.Open(t, w), newApp(t, s, "Notes assistant")
			tab.Stay("wait")
			tab.Go(a.AuthorizeURL())
			tab.Click("Allow and log in", Page)
			check(t, s, tab, want{status: 200, title: "Log in", text: "Log in with Acme login", picture: "wait-" + w.Name})
			tab.Press("Tab", Nowhere)
			at(t, tab, "a Log in (opens in another tab)")
			login := tab.PressForTab("Enter")
			tab.GoOn()
			login.Choose("alice")
			login.Click("Log in", Page)
			tab.Arrive(a.origin)
			a.redeem(t)
			checkRedirects(t, a, tab.Look())
		})
	}
}
