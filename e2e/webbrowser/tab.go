package webbrowser

import (
	"maps"
	"testing"
)

// Tab is a window with cookies of its own. Its methods end the test when the
// browser cannot do what they say.
type Tab struct {
	t  testing.TB
	b  *Browser
	id int
}

// Open opens a window. It is closed with the test t.
func (b *Browser) Open(t testing.TB, w Window) *Tab {
	t.Helper()
	b.tabs++
	tab := &Tab{t: t, b: b, id: b.tabs}
	args := map[string]any{"width": w.Width, "height": w.Height, "scheme": "light"}
	if w.Dark {
		args["scheme"] = "dark"
	}
	if w.Scale != 0 {
		args["scale"] = w.Scale
	}
	tab.ask("open", args, nil)
	t.Cleanup(func() { tab.ask("close", nil, nil) })
	return tab
}

// PressForTab presses a key that opens another tab, which it returns. It ends with
// this one.
func (tab *Tab) PressForTab(key string) *Tab {
	tab.t.Helper()
	tab.b.tabs++
	opened := &Tab{t: tab.t, b: tab.b, id: tab.b.tabs}
	tab.ask("popup", map[string]any{"key": key, "as": opened.id}, nil)
	return opened
}

// Stay keeps pages that go on by themselves to an address with that parameter,
// so that they can be looked at, until [Tab.GoOn].
func (tab *Tab) Stay(parameter string) {
	tab.t.Helper()
	tab.ask("stay", map[string]any{"parameter": parameter}, nil)
}

// GoOn loads a page again that was kept, and returns while it goes on.
func (tab *Tab) GoOn() {
	tab.t.Helper()
	tab.ask("goOn", nil, nil)
}

// Arrive waits until the window has come to an origin by itself.
func (tab *Tab) Arrive(origin string) {
	tab.t.Helper()
	tab.ask("arrive", map[string]any{"origin": origin}, nil)
}

func (tab *Tab) ask(command string, args map[string]any, answer any) {
	tab.t.Helper()
	question := map[string]any{"command": command, "tab": tab.id}
	maps.Copy(question, args)
	tab.b.script.Ask(tab.t, question, answer)
}

// Go opens an address as a person does who types it.
func (tab *Tab) Go(address string) {
	tab.t.Helper()
	tab.ask("goto", map[string]any{"url": address}, nil)
}

// Where an act leads to.
const (
	Page     = "page"     // another page, which is waited for
	Response = "response" // an answer that the window does not show
	Console  = "console"  // a message in the browser's console
	Nowhere  = ""
)

// Press presses a key, such as Tab or Enter.
func (tab *Tab) Press(key, leads string) {
	tab.t.Helper()
	tab.ask("press", map[string]any{"key": key, "leads": leads}, nil)
}

// Type types a text into what has the focus.
func (tab *Tab) Type(text string) {
	tab.t.Helper()
	tab.ask("type", map[string]any{"text": text}, nil)
}

// Click clicks on a button by the name that is read out.
func (tab *Tab) Click(button, leads string) {
	tab.t.Helper()
	tab.ask("click", map[string]any{"button": button, "leads": leads}, nil)
}

// Follow clicks on a link by the name that is read out.
func (tab *Tab) Follow(link string) {
	tab.t.Helper()
	tab.ask("follow", map[string]any{"link": link}, nil)
}

// Fill writes into a field.
func (tab *Tab) Fill(label, text string) {
	tab.t.Helper()
	tab.ask("fill", map[string]any{"label": label, "text": text}, nil)
}

// Choose picks a radio button; part of its label is enough.
func (tab *Tab) Choose(label string) {
	tab.t.Helper()
	tab.ask("choose", map[string]any{"label": label}, nil)
}

// ClickAndHold clicks on a button whose form goes to an address with that end,
// and keeps the redirect in the answer until [Tab.Release].
func (tab *Tab) ClickAndHold(button, path string) {
	tab.t.Helper()
	tab.ask("clickAndHold", map[string]any{"button": button, "path": path}, nil)
}

// Release follows the redirect that is held.
func (tab *Tab) Release() {
	tab.t.Helper()
	tab.ask("release", nil, nil)
}

// Policy changes the Content-Security-Policy of the next page with that end of
// its address.
func (tab *Tab) Policy(path, policy string) {
	tab.t.Helper()
	tab.ask("policy", map[string]any{"path": path, "policy": policy}, nil)
}

// Send posts a form from the page that is open to an address.
func (tab *Tab) Send(address string, fields map[string]string) {
	tab.t.Helper()
	tab.ask("send", map[string]any{"url": address, "fields": fields}, nil)
}

// Form returns where the page's first form goes, and the value of its field
// named token.
func (tab *Tab) Form() (action, token string) {
	tab.t.Helper()
	var form struct{ Action, Token string }
	tab.ask("form", nil, &form)
	return form.Action, form.Token
}

// Screenshot writes the whole page into a PNG file.
func (tab *Tab) Screenshot(file string) {
	tab.t.Helper()
	tab.ask("screenshot", map[string]any{"file": file}, nil)
}
