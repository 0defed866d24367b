package webbrowser

import "testing"

// TestChoice is a login at an endpoint with several identities, in each look and
// by keyboard.
func TestChoice(t *testing.T) {
	s := newSite(t,
		"identity oidc https://login.example.com {\nclient_id acme\ntitle \"Acme login\"\n}",
		"identity oidc https://login.partner-with-a-long-name.example.org {\nclient_id acme\ncallback partner\n}")
	b := Start(t)
	for _, w := range looks() {
		t.Run(w.Name, func(t *testing.T) {
			tab, a := b.Open(t, w), newApp(t, s, "Notes assistant")
			tab.Go(a.AuthorizeURL())
			tab.Click("Allow and log in", Page)
			check(t, s, tab, want{status: 200, title: "Log in", text: "Acme login", picture: "choice-" + w.Name})
			tab.Follow("Log in with your account on this server")
			check(t, s, tab, want{status: 200, title: "Log in", text: "Log in another way", picture: "choice-password-" + w.Name})
			tab.Follow("Log in another way")
			check(t, s, tab, want{status: 200, title: "Log in", text: "Acme login"})
			tabThrough(t, tab, "a Log in with Acme login", "a Log in with login.partner-with-a-long-name.example.org",
				"a Log in with your account on this server", "button Cancel")
			tab.Press("Shift+Tab", Nowhere)
			tab.Press("Enter", Page)
			submitLogin(tab, "alice", "alice-demo")
			a.redeem(t)
		})
	}
}
