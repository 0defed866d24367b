package browser

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// Page is what a browser shows.
type Page struct {
	URL    *url.URL
	Status int
	Header http.Header
	Title  string
	// Text is what a person can read, without markup, blanks collapsed.
	Text  string
	Forms []*Form
	// Refresh is where the page goes by itself at once; nil if it stays.
	Refresh *url.URL
	// Tabs are the addresses of links that open in another tab.
	Tabs []*url.URL
	// Ways are the addresses of links that log in, by what they log in with.
	Ways map[string]*url.URL
	// Stylesheets are the addresses of the stylesheets.
	Stylesheets []*url.URL

	doc *html.Node // nil when the answer is no HTML
}

func parsePage(resp *http.Response, body []byte) (*Page, error) {
	p := &Page{URL: resp.Request.URL, Status: resp.StatusCode, Header: resp.Header, Ways: make(map[string]*url.URL)}
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		p.Text = string(body)
		return p, nil
	}
	if refresh, ok := strings.CutPrefix(resp.Header.Get("Refresh"), "0; url="); ok {
		next, err := p.URL.Parse(refresh)
		if err != nil {
			return nil, fmt.Errorf("page refreshes to a malformed address: %w", err)
		}
		p.Refresh = next
	}
	doc, err := html.Parse(bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("parsing the page: %w", err)
	}
	p.doc, p.Text = doc, text(doc)
	for n := range doc.Descendants() {
		switch n.DataAtom {
		case atom.Title:
			p.Title = text(n)
		case atom.Link:
			if attribute(n, "rel") != "stylesheet" {
				continue
			}
			sheet, err := p.URL.Parse(attribute(n, "href"))
			if err != nil {
				return nil, fmt.Errorf("stylesheet with a malformed address: %w", err)
			}
			p.Stylesheets = append(p.Stylesheets, sheet)
		case atom.A:
			with, isWay := strings.CutPrefix(text(n), "Log in with ")
			isTab := attribute(n, "target") == "_blank"
			if !isWay && !isTab {
				continue
			}
			link, err := p.URL.Parse(attribute(n, "href"))
			if err != nil {
				return nil, fmt.Errorf("link with a malformed address: %w", err)
			}
			if isTab {
				p.Tabs = append(p.Tabs, link)
			} else {
				p.Ways[with] = link
			}
		case atom.Form:
			form, err := parseForm(p.URL, n)
			if err != nil {
				return nil, err
			}
			p.Forms = append(p.Forms, form)
		}
	}
	return p, nil
}

// check reports what a page that asks people for decisions must not have:
// scripts in any form, things from elsewhere, and a policy that would let them
// run or let another site frame the page.
func (p *Page) check() error {
	if p.doc == nil {
		return nil
	}
	for n := range p.doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if slices.Contains([]string{"script", "iframe", "object", "embed", "base"}, n.Data) {
			return fmt.Errorf("holds a <%s>", n.Data)
		}
		for _, a := range n.Attr {
			value := strings.ToLower(strings.TrimSpace(a.Val))
			if strings.HasPrefix(a.Key, "on") || strings.HasPrefix(value, "javascript:") {
				return fmt.Errorf("holds a script in <%s %s>", n.Data, a.Key)
			}
		}
	}
	policy := p.policy()
	if sources := policy["default-src"]; !slices.Equal(sources, []string{"'none'"}) {
		return fmt.Errorf("has a policy with default-src %q, not 'none'", sources)
	}
	if sources := policy["script-src"]; len(sources) > 0 && !slices.Equal(sources, []string{"'none'"}) {
		return fmt.Errorf("has a policy with script-src %q", sources)
	}
	if !slices.Equal(policy["frame-ancestors"], []string{"'none'"}) && !strings.EqualFold(p.Header.Get("X-Frame-Options"), "DENY") {
		return fmt.Errorf("may be framed")
	}
	return nil
}

// answer fills in the form that the page asks for and presses the button; nil
// when the page asks nothing of the person.
func (p *Page) answer(person Person, decision string) (*step, error) {
	for _, form := range p.Forms {
		asked, err := form.fill(person, decision)
		if err != nil {
			return nil, fmt.Errorf("page %q: %w", p.Title, err)
		}
		if !asked {
			continue
		}
		next := &step{method: form.method, url: form.action, from: p, site: relation(p.URL, form.action)}
		if form.method == http.MethodGet {
			u := *form.action
			u.RawQuery = form.values.Encode()
			next.url = &u
		} else {
			next.form = form.values
		}
		return next, nil
	}
	return nil, nil
}

// originFor is the Origin header of a form of this page (Fetch standard,
// appending a request Origin header): "null" where the page's policy hides
// where it came from.
func (p *Page) originFor(to *url.URL) string {
	policy := strings.ToLower(strings.TrimSpace(p.Header.Get("Referrer-Policy")))
	if policy == "no-referrer" || policy == "same-origin" && origin(p.URL) != origin(to) {
		return "null"
	}
	return origin(p.URL)
}

// policy returns the directives of the Content-Security-Policy.
func (p *Page) policy() map[string][]string {
	directives := make(map[string][]string)
	for part := range strings.SplitSeq(p.Header.Get("Content-Security-Policy"), ";") {
		if words := strings.Fields(part); len(words) > 0 {
			directives[strings.ToLower(words[0])] = words[1:]
		}
	}
	return directives
}

// mayGo reports whether the page's form-action lets its form lead to u, whether
// at once or by redirects, which is how Chromium reads it.
func (p *Page) mayGo(u *url.URL) error {
	if p == nil {
		return nil
	}
	sources, ok := p.policy()["form-action"]
	if !ok || slices.ContainsFunc(sources, func(source string) bool { return matchSource(source, p.URL, u) }) {
		return nil
	}
	return fmt.Errorf("page %q has form-action %q, which keeps browsers from %s", p.Title, sources, origin(u))
}

// matchSource matches a CSP source expression without path.
func matchSource(source string, self, u *url.URL) bool {
	switch {
	case source == "'self'":
		return origin(self) == origin(u)
	case source == "*":
		return true
	case strings.HasSuffix(source, ":"):
		return strings.EqualFold(source, u.Scheme+":")
	}
	source, anyPort := strings.CutSuffix(source, ":*")
	s, err := url.Parse(source)
	if err != nil {
		return false
	}
	return s.Scheme == u.Scheme && s.Hostname() == u.Hostname() && (anyPort || s.Port() == u.Port())
}

// text is what can be read below n.
func text(n *html.Node) string {
	var words []string
	for c := range n.Descendants() {
		if c.Type == html.TextNode && c.Parent.DataAtom != atom.Style && c.Parent.DataAtom != atom.Script {
			words = append(words, strings.Fields(c.Data)...)
		}
	}
	return strings.Join(words, " ")
}
