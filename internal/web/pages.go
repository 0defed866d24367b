package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
)

//go:embed templates/*.html style.css
var files embed.FS

// Pages renders the pages of one endpoint. It is safe for concurrent use.
type Pages struct {
	site       Site
	templates  map[string]*template.Template
	stylesheet []byte
	hash       string // of the stylesheet, in hex
}

// page is what every template gets.
type page struct {
	Site       Site
	Stylesheet string // path
	Title      string // of the document, without the name of the site
	Page       any    // one of the exported types
}

// New returns the pages of a site. It fails only when the templates that are
// built in do not parse.
func New(s Site) (*Pages, error) {
	stylesheet, err := files.ReadFile("style.css")
	if err != nil {
		return nil, fmt.Errorf("reading the stylesheet: %w", err)
	}
	base, err := template.New("base.html").Funcs(functions()).ParseFS(files, "templates/base.html")
	if err != nil {
		return nil, fmt.Errorf("parsing the layout: %w", err)
	}
	sum := sha256.Sum256(stylesheet)
	p := &Pages{
		site: s, templates: make(map[string]*template.Template),
		stylesheet: stylesheet, hash: hex.EncodeToString(sum[:16]),
	}
	for _, name := range []string{"consent", "device", "choice", "login", "wait", "connect", "account", "message"} {
		layout, err := base.Clone()
		if err != nil {
			return nil, fmt.Errorf("copying the layout: %w", err)
		}
		if p.templates[name], err = layout.ParseFS(files, "templates/"+name+".html"); err != nil {
			return nil, fmt.Errorf("parsing page %s: %w", name, err)
		}
	}
	return p, nil
}

// functions are what templates call. Text of others passes through name or text
// before it is shown.
func functions() template.FuncMap {
	return template.FuncMap{
		"name":     cleanName,
		"client":   clientName,
		"text":     cleanText,
		"host":     asciiHost,
		"initial":  initial,
		"encode":   EncodeConnection,
		"within":   strings.Contains,
		"contains": func(list []string, s string) bool { return slices.Contains(list, s) },
	}
}

// Consent answers with the question whether a client may act for a person. The
// form's button is named decision: allow, deny or switch (another account).
func (p *Pages) Consent(w http.ResponseWriter, _ *http.Request, c Consent) {
	p.render(w, http.StatusOK, "consent", "Allow access", c.Form.Targets, c)
}

// Device answers with the form for the code that a device shows, in the field
// user_code.
func (p *Pages) Device(w http.ResponseWriter, _ *http.Request, status int, d Device) {
	title := "Let a device in"
	if d.Error != "" {
		title = "Error: " + title
	}
	p.render(w, status, "device", title, d.Form.Targets, d)
}

// Choice answers with the ways to log in. Its Cancel button sends decision=deny.
func (p *Pages) Choice(w http.ResponseWriter, _ *http.Request, c Choice) {
	p.render(w, http.StatusOK, "choice", "Log in", c.Form.Targets, c)
}

// Login answers with the form for a name and a password, in fields username and
// password. Its Cancel button sends decision=deny.
func (p *Pages) Login(w http.ResponseWriter, _ *http.Request, status int, l Login) {
	title := "Log in"
	if l.Error != "" {
		title = "Error: " + title // screen readers say the title first
	}
	p.render(w, status, "login", title, l.Form.Targets, l)
}

// Wait answers with a page that leads to a login elsewhere. The browser asks for
// Next at once, and shows this page until that is answered: by a redirect, or by
// this page again. A header does it, for the pages have no scripts; unlike a
// delayed refresh it leaves nobody too little time to read (WCAG 2.2, 2.2.1).
func (p *Pages) Wait(w http.ResponseWriter, _ *http.Request, wait Wait) {
	w.Header().Set("Refresh", "0; url="+wait.Next)
	p.render(w, http.StatusOK, "wait", "Log in", nil, wait)
}

// Connect answers with the question whether the server may act for a person at
// a provider. The form's button is named decision: allow or deny.
func (p *Pages) Connect(w http.ResponseWriter, _ *http.Request, c Connect) {
	p.render(w, http.StatusOK, "connect", "Connect "+cleanName(c.ProviderTitle), c.Form.Targets, c)
}

// Account answers with the list of a person's connections. The form's button is
// named disconnect; [ParseConnection] reads its value.
func (p *Pages) Account(w http.ResponseWriter, _ *http.Request, a Account) {
	p.render(w, http.StatusOK, "account", "Your account", a.Form.Targets, a)
}

// Message answers with what happened. Status 0 means 200.
func (p *Pages) Message(w http.ResponseWriter, _ *http.Request, m Message) {
	var targets []string
	if m.Form != nil {
		targets = m.Form.Targets
	}
	if m.Status == 0 {
		m.Status = http.StatusOK
	}
	p.render(w, m.Status, "message", cleanText(m.Title), targets, m)
}

// render executes a template into a buffer first: half a page with status 200
// would be worse than an error.
func (p *Pages) render(w http.ResponseWriter, status int, name, title string, targets []string, data any) {
	var body bytes.Buffer
	err := p.templates[name].Execute(&body, page{
		Site: p.site, Stylesheet: p.StylesheetPath(), Title: title, Page: data,
	})
	setHeaders(w.Header(), targets)
	if err != nil {
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	// A browser that is gone is no error of the server.
	_, _ = w.Write(body.Bytes())
}
