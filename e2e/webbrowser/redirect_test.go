package webbrowser

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// TestPrivateScheme redirects to an app by its own scheme. Chromium has no app
// for it: what can be seen is that the answer is that redirect, and that the
// policy of the page lets it pass.
func TestPrivateScheme(t *testing.T) {
	const redirectURI = "cursor://anysphere.cursor-mcp/oauth/callback"
	s, b := newSite(t), Start(t)
	tab, a := b.Open(t, Phone()), newApp(t, s, "Editor")
	a.register(t, "Editor", redirectURI)
	tab.Go(a.AuthorizeURL())
	check(t, s, tab, want{status: 200, title: "Allow access", text: "An app on this device", picture: "consent-private-scheme"})
	tab.Click("Allow and log in", Page)
	tab.Fill("User name", "alice")
	tab.Fill("Password", "alice-demo")
	tab.Look()
	tab.Click("Log in", Response)
	v := tab.Look()
	if len(v.Documents) != 1 || v.Documents[0].Status != http.StatusSeeOther || !strings.HasPrefix(v.Documents[0].Location, redirectURI+"?") {
		t.Errorf("answers are %+v, want one redirect to the app", v.Documents)
	}
	for _, m := range v.Console {
		if strings.Contains(m.Text, "policy") || strings.Contains(m.Text, "form-action") {
			t.Errorf("console says %s", m.Text)
		}
	}
}

// TestFormAction takes the client's place out of the policy, which must show:
// else the other tests would prove nothing.
func TestFormAction(t *testing.T) {
	s, b := newSite(t), Start(t)
	tab, a := b.Open(t, Phone()), newApp(t, s, "App")
	tab.Policy("/authorize", "default-src 'none'; style-src 'self'; form-action 'self'")
	tab.Go(a.AuthorizeURL())
	tab.Look()
	tab.Click("Deny", Console)
	v := tab.Look()
	if !slices.ContainsFunc(v.Console, func(m Message) bool { return strings.Contains(m.Text, "form-action") }) {
		t.Errorf("console says %+v, want that form-action is violated", v.Console)
	}
	if strings.HasPrefix(v.URL, a.origin) {
		t.Errorf("browser is at %s, in spite of the policy", v.URL)
	}
}

// TestForeignPages posts the consent form from pages of other origins, one of
// another site and one of the same site, which browsers send cookies from.
func TestForeignPages(t *testing.T) {
	s, b := newSite(t), Start(t)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(`<!DOCTYPE html><html lang="en"><title>A page</title><link rel="icon" href="data:,"><p>Hello`))
	}))
	t.Cleanup(page.Close)
	for name, origin := range map[string]string{
		"another site":                    page.URL, // 127.0.0.1, not localhost
		"another origin of the same site": strings.Replace(page.URL, "127.0.0.1", "localhost", 1),
	} {
		t.Run(name, func(t *testing.T) {
			tab, a := b.Open(t, Phone()), newApp(t, s, "App")
			tab.Go(a.AuthorizeURL())
			action, token := tab.Form()
			tab.Go(origin)
			tab.Look()
			tab.Send(action, map[string]string{"token": token, "decision": "allow"})
			check(t, s, tab, want{status: 403, title: "This did not work"})
		})
	}
}
