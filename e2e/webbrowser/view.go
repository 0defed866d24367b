package webbrowser

// View is the page in a tab, and what was seen there since the last look.
type View struct {
	URL, Title, Text string
	// Overflow is by how many CSS pixels the page is wider than the window.
	Overflow int
	// Background is the colour behind the page.
	Background string

	Console   []Message
	Requests  []string // addresses
	Documents []Document
}

// Message is one of the browser's console.
type Message struct {
	Type, Text string
	URL        string // of what it is about
}

// Document is an answer to a navigation of the window itself; redirects count.
type Document struct {
	Method, URL, Location, SetCookie string
	Status                           int
}

// Status is that of the page, 0 when none was loaded since the last look.
func (v *View) Status() int {
	if len(v.Documents) == 0 {
		return 0
	}
	return v.Documents[len(v.Documents)-1].Status
}

// Look returns the page.
func (tab *Tab) Look() *View {
	tab.t.Helper()
	v := new(View)
	tab.ask("look", nil, v)
	return v
}

// Barrier is a finding of axe-core.
type Barrier struct {
	ID, Impact, Help string
	Nodes            []string // HTML
}

// Barriers looks for what keeps people out.
func (tab *Tab) Barriers() []Barrier {
	tab.t.Helper()
	var found []Barrier
	tab.ask("axe", nil, &found)
	return found
}

// Focus is the control that keys go to.
type Focus struct {
	Tag, Name string
	Visible   bool // by an outline
}

// Focus returns the control that has the focus.
func (tab *Tab) Focus() Focus {
	tab.t.Helper()
	var f Focus
	tab.ask("focus", nil, &f)
	return f
}

// Cookie is one that the browser keeps.
type Cookie struct {
	Name, Domain, Path, SameSite string
	Secure, HTTPOnly             bool
	Expires                      float64 // Unix seconds; -1: ends with the browser's session
}

// Cookies returns all of the tab.
func (tab *Tab) Cookies() []Cookie {
	tab.t.Helper()
	var cookies []Cookie
	tab.ask("cookies", nil, &cookies)
	return cookies
}
