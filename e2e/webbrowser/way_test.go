package webbrowser

import (
	"errors"
	"strings"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// looks are the windows in which every page is looked at.
func looks() []Window {
	var all []Window
	for _, w := range []Window{Phone(), Desktop()} {
		light, dark := w, w
		light.Name += "-light"
		dark.Name += "-dark"
		dark.Dark = true
		all = append(all, light, dark)
	}
	return all
}

// TestWay goes the way of a person from the first consent to the last
// disconnect, in each look, and looks at every page.
func TestWay(t *testing.T) {
	s, b := newSite(t), Start(t)
	for _, w := range looks() {
		t.Run(w.Name, func(t *testing.T) { goWay(t, s, b.Open(t, w), w.Name) })
	}
	t.Run("dark and light differ", func(t *testing.T) {
		colours := make(map[string]bool)
		for _, w := range looks() {
			tab := b.Open(t, w)
			tab.Go(s.Endpoint + "/account")
			colours[tab.Look().Background] = true
		}
		if len(colours) != 2 {
			t.Errorf("colours behind the pages are %v, want one for light and one for dark", colours)
		}
	})
}

// goWay leaves the server as it found it, so that it can be gone again.
func goWay(t *testing.T, s *site, tab *Tab, look string) {
	a := newApp(t, s, "Notes assistant")
	tab.Go(a.AuthorizeURL())
	check(t, s, tab, want{status: 200, title: "Allow access – Acme tools", text: "Notes assistant", picture: "consent-" + look})
	tab.Click("Allow and log in", Page)
	check(t, s, tab, want{status: 200, title: "Log in", text: "Notes assistant", picture: "login-" + look})
	submitLogin(tab, "alice", "alice-demo")
	a.redeem(t)
	checkRedirects(t, a, tab.Look())

	tab.Go(a.connectLink(t))
	check(t, s, tab, want{status: 200, title: "Connect Postbox", text: "messages.read", picture: "connect-" + look})
	tab.Click("Continue", Page)
	check(t, s, tab, want{status: 200, title: "Postbox: allow access?", picture: "provider-" + look})
	tab.Choose("alice@postbox.example")
	tab.Click("Allow", Page)
	check(t, s, tab, want{status: 200, title: "Postbox is connected", picture: "connected-" + look})
	a.inbox(t, "alice")

	tab.Go(s.Endpoint + "/account")
	check(t, s, tab, want{status: 200, title: "Your account", text: "Alice Adams", picture: "account-" + look})
	tab.Click("Disconnect Postbox", Page)
	check(t, s, tab, want{status: 200, title: "Your account", text: "Not connected", picture: "account-empty-" + look})
	a.connectLink(t)

	// A second app finds the browser logged in.
	second := newApp(t, s, "Second app")
	tab.Go(second.AuthorizeURL())
	check(t, s, tab, want{status: 200, title: "Allow access", text: "Alice Adams", picture: "consent-again-" + look})
	tab.Click("Allow", Page)
	second.redeem(t)
	tab.Go(s.Endpoint + "/account")
	tab.Click("Log out", Page)
	v := tab.Look()
	if !strings.Contains(v.Title, "logged out") {
		t.Errorf("page after logging out is %q: %s", v.Title, v.Text)
	}
}

// checkRedirects fails the test unless the browser went from the login form to
// the app's callback, without a word in its console.
func checkRedirects(t *testing.T, a *app, v *View) {
	t.Helper()
	last := v.Documents[len(v.Documents)-1]
	if !strings.HasPrefix(v.URL, a.RedirectURI+"?") || last.Status != 200 || len(v.Documents) < 2 {
		t.Errorf("browser is at %s by %+v, want it at %s by a redirect", v.URL, v.Documents, a.RedirectURI)
	}
	if len(v.Console) > 0 {
		t.Errorf("console says %+v on the way to the app", v.Console)
	}
}

// TestNo says no on every page that asks.
func TestNo(t *testing.T) {
	s, b := newSite(t), Start(t)
	denied := func(t *testing.T, a *app) {
		t.Helper()
		var refused *mcpclient.OAuthError
		if err := a.Redeem(t.Context(), a.answer(t)); !errors.As(err, &refused) || refused.Code != "access_denied" {
			t.Errorf("app hears %v, want access_denied", err)
		}
	}
	t.Run("to the app", func(t *testing.T) {
		tab, a := b.Open(t, Phone()), newApp(t, s, "Unwanted")
		tab.Go(a.AuthorizeURL())
		tab.Click("Deny", Page)
		denied(t, a)
	})
	t.Run("at the login", func(t *testing.T) {
		tab, a := b.Open(t, Phone()), newApp(t, s, "Unwanted")
		tab.Go(a.AuthorizeURL())
		tab.Click("Allow and log in", Page)
		tab.Click("Cancel", Page)
		denied(t, a)
	})
	t.Run("to connecting", func(t *testing.T) {
		tab, a := b.Open(t, Phone()), newApp(t, s, "App")
		logIn(t, tab, a, "alice")
		tab.Go(a.connectLink(t))
		tab.Click("Cancel", Page)
		check(t, s, tab, want{status: 200, title: "Nothing was connected", picture: "connect-cancelled", hosts: []string{a.origin}})
		a.connectLink(t)
	})
	t.Run("at the provider", func(t *testing.T) {
		tab, a := b.Open(t, Phone()), newApp(t, s, "App")
		logIn(t, tab, a, "alice")
		tab.Go(a.connectLink(t))
		tab.Click("Continue", Page)
		tab.Click("Deny", Page)
		check(t, s, tab, want{status: 400, title: "Postbox was not connected", picture: "connect-denied", hosts: []string{a.origin}})
		a.connectLink(t)
	})
}
