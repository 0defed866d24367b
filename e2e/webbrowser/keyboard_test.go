package webbrowser

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestKeyboard goes the main way by keyboard alone: what has the focus comes in
// the order of the page, is named, and can be seen.
func TestKeyboard(t *testing.T) {
	s, b := newSite(t), Start(t)
	tab, a := b.Open(t, Desktop()), newApp(t, s, "Notes assistant")

	tab.Go(a.AuthorizeURL())
	tabThrough(t, tab, "button Allow and log in", "button Deny")
	tab.Press("Shift+Tab", Nowhere)
	tab.Press("Enter", Page)

	// The first field has the focus without a key.
	at(t, tab, "input User name")
	tab.Type("alice")
	tabThrough(t, tab, "input Password", "button Log in", "button Cancel")
	tab.Press("Shift+Tab", Nowhere)
	tab.Press("Shift+Tab", Nowhere)
	tab.Type("alice-demo")
	tab.Press("Enter", Page) // in a field: the first button of the form
	a.redeem(t)

	tab.Go(a.connectLink(t))
	tabThrough(t, tab, "button Continue", "button Cancel")
	tab.Press("Shift+Tab", Nowhere)
	tab.Press("Enter", Page)
	tab.Press("Tab", Nowhere)
	tab.Press("Space", Nowhere) // the first mailbox is alice's
	tab.Press("Tab", Nowhere)
	at(t, tab, "button Allow")
	tab.Press("Enter", Page)
	a.inbox(t, "alice")

	tab.Go(s.Endpoint + "/account")
	tabThrough(t, tab, "summary Permissions at Postbox", "button Disconnect Postbox", "button Log out")
	tab.Press("Shift+Tab", Nowhere)
	tab.Press("Enter", Page)
	check(t, s, tab, want{status: 200, title: "Your account", text: "Not connected", hosts: []string{a.origin}})
	tabThrough(t, tab, "a Connect: Postbox", "button Log out")
}

// tabThrough presses Tab for each control in turn.
func tabThrough(t *testing.T, tab *Tab, controls ...string) {
	t.Helper()
	for _, control := range controls {
		tab.Press("Tab", Nowhere)
		at(t, tab, control)
	}
}

func at(t *testing.T, tab *Tab, control string) {
	t.Helper()
	f := tab.Focus()
	if diff := cmp.Diff(control, f.Tag+" "+f.Name); diff != "" {
		t.Errorf("focus (-want +got):\n%s", diff)
	}
	if !f.Visible {
		t.Errorf("nobody sees that %s has the focus", control)
	}
}
