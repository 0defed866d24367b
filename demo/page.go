package demo

import (
	"bytes"
	_ "embed" // for the page and its stylesheet
	"net/http"
)

//go:embed page.html
var pageHTML string

//go:embed style.css
var stylesheet []byte

// view is what the page shows: an error, or the question.
type view struct {
	Error     string
	Client    string
	Target    string // host that the browser goes to afterwards
	Abilities []string
	Hidden    []field
	Mailboxes []mailbox
}

type field struct{ Name, Value string }

// writePage shows a page. Its form may lead to formTargets besides Postbox:
// browsers hold the redirect after a form to the policy too. The referrer policy
// is not no-referrer, under which they would send "Origin: null" with the form.
func (p *Provider) writePage(w http.ResponseWriter, status int, v view, formTargets string) {
	var body bytes.Buffer
	if err := p.page.Execute(&body, v); err != nil {
		http.Error(w, "internal server error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'"+formTargets+
		"; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "same-origin")
	w.WriteHeader(status)
	_, _ = body.WriteTo(w) // fails only when the browser is gone
}

func (p *Provider) writeErrorPage(w http.ResponseWriter, status int, text string) {
	p.writePage(w, status, view{Error: text}, "")
}

func serveStylesheet(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, _ = w.Write(stylesheet) // fails only when the browser is gone
}
