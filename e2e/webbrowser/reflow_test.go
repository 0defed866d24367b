package webbrowser

import "testing"

// TestReflow looks at the pages in a narrow window, in one that is zoomed to
// 200 %, which halves its CSS pixels, and with text of twice the size: nothing
// may have to be scrolled sideways (WCAG 1.4.4, 1.4.10).
func TestReflow(t *testing.T) {
	for name, look := range map[string]struct {
		window Window
		flags  []string
	}{
		"320 pixels":        {window: Window{Width: 320, Height: 640}},
		"desktop at 200 %":  {window: Window{Width: Desktop().Width / 2, Height: Desktop().Height / 2, Scale: 2}},
		"phone, large text": {window: Phone(), flags: []string{"--blink-settings=defaultFontSize=32"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, b := newSite(t), Start(t, look.flags...)
			tab, a := b.Open(t, look.window), newApp(t, s, "An assistant whose name is rather long, as names of assistants are")
			fits := func(title string) {
				t.Helper()
				check(t, s, tab, want{status: 200, title: title, hosts: []string{a.origin}})
			}
			tab.Go(a.AuthorizeURL())
			fits("Allow access")
			tab.Screenshot(picture(t, "reflow-"+name))
			tab.Click("Allow and log in", Page)
			fits("Log in")
			submitLogin(tab, "alice", "alice-demo")
			a.redeem(t)
			tab.Go(a.connectLink(t))
			fits("Connect Postbox")
			tab.Click("Continue", Page)
			tab.Choose("alice@postbox.example")
			tab.Click("Allow", Page)
			fits("Postbox is connected")
			tab.Go(s.Endpoint + "/account")
			fits("Your account")
			tab.Screenshot(picture(t, "reflow-account-"+name))
		})
	}
}
