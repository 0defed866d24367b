package webbrowser

import (
	"net/url"
	"testing"
	"time"
)

// TestErrorPages meets every error that people meet, in two looks.
func TestErrorPages(t *testing.T) {
	s, b := newSite(t), Start(t)
	short := newSite(t, "lifetimes {\nconnect_link 1s\n}")
	dark := Desktop()
	dark.Name, dark.Dark = "desktop-dark", true
	for _, w := range []Window{Phone(), dark} {
		t.Run(w.Name, func(t *testing.T) {
			t.Run("wrong password", func(t *testing.T) { wrongPassword(t, s, b.Open(t, w), "wrong-password-"+w.Name) })
			t.Run("unknown client", func(t *testing.T) {
				tab := b.Open(t, w)
				tab.Go(authorizeURL(t, s, func(q url.Values) { q.Set("client_id", "nobody") }))
				check(t, s, tab, want{status: 400, title: "This did not work", text: "not known here", picture: "unknown-client-" + w.Name})
			})
			t.Run("bad redirect URI", func(t *testing.T) {
				tab := b.Open(t, w)
				tab.Go(authorizeURL(t, s, func(q url.Values) { q.Set("redirect_uri", "https://evil.example/callback") }))
				check(t, s, tab, want{status: 400, title: "This did not work", text: "redirect_uri", picture: "bad-redirect-" + w.Name})
			})
			t.Run("expired link", func(t *testing.T) { expiredLink(t, short, b.Open(t, w), "expired-link-"+w.Name) })
			t.Run("link of somebody else", func(t *testing.T) {
				foreignLink(t, s, b.Open(t, w), b.Open(t, w), "foreign-link-"+w.Name)
			})
			t.Run("form of another browser", func(t *testing.T) {
				foreignForm(t, s, b.Open(t, w), b.Open(t, w), "foreign-form-"+w.Name)
			})
			t.Run("login without an app", func(t *testing.T) {
				tab := b.Open(t, w)
				tab.Go(s.Endpoint + "/login")
				check(t, s, tab, want{status: 400, title: "This did not work", picture: "no-login-" + w.Name})
			})
		})
	}
}

// authorizeURL is the address of an authorization with one thing changed.
func authorizeURL(t *testing.T, s *site, change func(url.Values)) string {
	t.Helper()
	u, err := url.Parse(newApp(t, s, "App").AuthorizeURL())
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	change(q)
	u.RawQuery = q.Encode()
	return u.String()
}

func wrongPassword(t *testing.T, s *site, tab *Tab, picture string) {
	a := newApp(t, s, "Notes assistant")
	tab.Go(a.AuthorizeURL())
	tab.Click("Allow and log in", Page)
	submitLogin(tab, "alice", "wrong")
	check(t, s, tab, want{status: 422, title: "Error: Log in", picture: picture})
	if f := tab.Focus(); f.Name != "Password" {
		t.Errorf("focus is on %+v, want it on the password", f)
	}
	submitLogin(tab, "alice", "alice-demo")
	a.redeem(t)
}

func expiredLink(t *testing.T, s *site, tab *Tab, picture string) {
	a := newApp(t, s, "App")
	logIn(t, tab, a, "alice")
	link := a.connectLink(t)
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		tab.Look()
		tab.Go(link)
		if v := tab.Look(); v.Status() != 200 {
			break
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("a link of one second is still good")
		}
	}
	tab.Go(link)
	check(t, s, tab, want{status: 400, title: "This link is no longer good", picture: picture})
}

func foreignLink(t *testing.T, s *site, tab, other *Tab, picture string) {
	alices, bobs := newApp(t, s, "App"), newApp(t, s, "App")
	logIn(t, tab, alices, "alice")
	logIn(t, other, bobs, "bob")
	link := alices.connectLink(t)
	other.Look()
	other.Go(link)
	check(t, s, other, want{status: 403, title: "This link is for somebody else", text: "bob", picture: picture})
	other.Click("Log out", Page)
	check(t, s, other, want{status: 200, title: "You are logged out"})
	other.Go(link)
	submitLogin(other, "alice", "alice-demo")
	check(t, s, other, want{status: 200, title: "Connect Postbox"})
}

// foreignForm posts the consent form of one browser from another, which has a
// form of its own.
func foreignForm(t *testing.T, s *site, tab, other *Tab, picture string) {
	a := newApp(t, s, "App")
	tab.Go(a.AuthorizeURL())
	action, token := tab.Form()
	other.Go(newApp(t, s, "Other app").AuthorizeURL())
	other.Send(action, map[string]string{"token": token, "decision": "allow"})
	check(t, s, other, want{status: 403, title: "This did not work", picture: picture})
}

// TestStoppedProvider lets the provider end while the browser is there: what it
// gave cannot be redeemed.
func TestStoppedProvider(t *testing.T) {
	s, b := newSite(t), Start(t)
	s.ExpectErrors("a provider did not redeem its code")
	tab, a := b.Open(t, Phone()), newApp(t, s, "App")
	logIn(t, tab, a, "alice")
	tab.Go(a.connectLink(t))
	tab.Click("Continue", Page)
	tab.Choose("alice@postbox.example")
	tab.ClickAndHold("Allow", "/authorize")
	s.Provider.Kill()
	tab.Look()
	tab.Release()
	check(t, s, tab, want{status: 502, title: "Postbox", picture: "stopped-provider"})
	s.Provider.Restart()
	tab.Go(a.connectLink(t))
	tab.Click("Continue", Page)
	tab.Choose("alice@postbox.example")
	tab.Click("Allow", Page)
	check(t, s, tab, want{status: 200, title: "Postbox is connected"})
	a.inbox(t, "alice")
}
