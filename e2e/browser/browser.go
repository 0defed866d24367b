// Package browser is a person at a browser without a screen: it keeps cookies,
// follows redirects, reads pages, fills in their forms and presses their
// buttons. It runs no scripts and complains about pages that hold any, sends the
// headers that browsers send with a navigation, and holds pages to their own
// Content-Security-Policy. It never leaves this machine.
package browser

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	maxSteps = 30      // requests on one way
	maxBody  = 1 << 20 // bytes of one page
	timeout  = 20 * time.Second

	patience   = 10 * time.Second // with a client that does not listen yet
	retryEvery = 20 * time.Millisecond
)

// ErrNotLoopback is returned instead of going to a host beyond this machine.
var ErrNotLoopback = errors.New("address is not on this machine")

// Person is who sits at the browser.
type Person struct {
	Name     string // also names the mailbox to choose
	Password string
	// LoginWith is the title of the way to log in that the person takes where a
	// page offers several.
	LoginWith string
}

// Browser is one person's browser with its cookies. It is safe for concurrent
// use, as tabs are.
type Browser struct {
	person Person
	sites  []string
	client *http.Client

	anyHost bool
}

// New returns a browser without cookies. Sites are the origins, such as
// http://localhost:8000, whose pages the person fills in and which must be free
// of scripts. What lies elsewhere belongs to the MCP client: a way ends there.
func New(person Person, sites ...string) (*Browser, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, fmt.Errorf("making a cookie jar: %w", err)
	}
	return &Browser{person: person, sites: sites, client: &http.Client{
		Jar:     jar,
		Timeout: timeout,
		// A spare connection would hold up the end of a server for 5 s.
		Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}}, nil
}

// Use has the browser send its requests by a transport of the test's. Which
// hosts are on this machine is then for the transport to know.
func (b *Browser) Use(transport http.RoundTripper) { b.client.Transport, b.anyHost = transport, true }

// Visit is what the person has in mind on one way.
type Visit struct {
	// Decision is the button to press: the value of the button whose name is
	// "decision". Default: allow.
	Decision string
	// Hold stops at the client's redirect URI without a request to it.
	Hold bool
	// Elsewhere is the decision on pages that open in another tab. Default: allow.
	Elsewhere string
	// Before, if set, is called before each request, named as in the way: so
	// that a test can do something while a page is open.
	Before func(step string)
	// Shown, if set, is called with each page, before the person does anything
	// on it.
	Shown func(page *Page)
}

// Stop is where a way ended.
type Stop struct {
	// URL is the last address.
	URL *url.URL
	// Client says that the address is the client's.
	Client bool
	// Page is what was shown last: before the address, when the way was held.
	Page *Page
	// Way lists the requests in order, without queries.
	Way []string
	// Tabs are the ways of the tabs that opened, in order.
	Tabs []*Stop
}

// step is one request to come.
type step struct {
	method string
	url    *url.URL
	form   url.Values
	from   *Page  // the page whose form leads there; nil: typed in
	site   string // Sec-Fetch-Site so far
}

// Open goes to an address and on from there as the person would, until a page
// asks for nothing more or the client is reached.
func (b *Browser) Open(ctx context.Context, address string, v Visit) (*Stop, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("reading the address: %w", err)
	}
	if v.Decision == "" {
		v.Decision = "allow"
	}
	if v.Elsewhere == "" {
		v.Elsewhere = "allow"
	}
	stop := new(Stop)
	tabs := newTabs(ctx, b, v.Elsewhere)
	err = b.follow(ctx, u, v, stop, tabs)
	var gone error
	stop.Tabs, gone = tabs.close()
	return stop, errors.Join(err, gone)
}

// follow goes the way of one tab.
func (b *Browser) follow(ctx context.Context, u *url.URL, v Visit, stop *Stop, tabs *tabs) error {
	seen := make(map[string]int)
	next := &step{method: http.MethodGet, url: u, site: "none"}
	for range maxSteps {
		stop.URL, stop.Client = next.url, !slices.Contains(b.sites, origin(next.url))
		if err := next.from.mayGo(next.url); err != nil {
			return err
		}
		if stop.Client && v.Hold {
			return nil
		}
		stop.Way = append(stop.Way, next.method+" "+origin(next.url)+next.url.Path)
		if v.Before != nil {
			v.Before(stop.Way[len(stop.Way)-1])
		}
		page, redirect, err := b.reach(ctx, next, stop.Client)
		if err != nil {
			return fmt.Errorf("%s %s: %w", next.method, next.url.Redacted(), err)
		}
		if redirect != nil {
			next = redirect
			continue
		}
		if stop.Page = page; stop.Client {
			return nil
		}
		if err := page.check(); err != nil {
			return fmt.Errorf("page %q at %s: %w", page.Title, next.url.Path, err)
		}
		if err := b.style(ctx, page); err != nil {
			return fmt.Errorf("page %q at %s: %w", page.Title, next.url.Path, err)
		}
		if v.Shown != nil {
			v.Shown(page)
		}
		if err := tabs.open(page); err != nil {
			return err
		}
		if next, err = b.goOn(page, v.Decision); err != nil || next == nil {
			return err
		}
		key := page.Title + " " + next.url.Path
		if seen[key]++; seen[key] > 2 {
			return fmt.Errorf("page %q comes again and again: %s", page.Title, page.Text)
		}
	}
	return fmt.Errorf("no end after %d requests: %s", maxSteps, strings.Join(stop.Way, ", "))
}

// goOn is the next step from a page: what its form leads to, or where it goes by
// itself; nil when it stays.
func (b *Browser) goOn(p *Page, decision string) (*step, error) {
	if way := p.Ways[b.person.LoginWith]; way != nil {
		return &step{method: http.MethodGet, url: way, site: relation(p.URL, way)}, nil
	}
	next, err := p.answer(b.person, decision)
	if err != nil || next != nil || p.Refresh == nil {
		return next, err
	}
	return &step{method: http.MethodGet, url: p.Refresh, site: relation(p.URL, p.Refresh)}, nil
}

// reach does what do does, but has patience with clients: some begin to listen
// only after they have opened the browser, which a person would not outrun.
func (b *Browser) reach(ctx context.Context, s *step, client bool) (*Page, *step, error) {
	tick := time.NewTicker(retryEvery)
	defer tick.Stop()
	deadline := time.After(patience)
	for {
		page, redirect, err := b.do(ctx, s)
		if !client || !errors.Is(err, syscall.ECONNREFUSED) {
			return page, redirect, err
		}
		select {
		case <-tick.C:
		case <-deadline:
			return nil, nil, err
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// do sends one request and returns the page, or the step that a redirect asks
// for.
func (b *Browser) do(ctx context.Context, s *step) (*Page, *step, error) {
	if !b.anyHost && (!isLoopback(s.url.Hostname()) || s.url.Scheme != "http") {
		return nil, nil, ErrNotLoopback
	}
	req, err := s.request(ctx)
	if err != nil {
		return nil, nil, err
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 && resp.StatusCode < 400 && resp.StatusCode != http.StatusNotModified {
		next, err := s.redirected(resp)
		return nil, next, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the page: %w", err)
	}
	page, err := parsePage(resp, body)
	return page, nil, err
}

// style gets the stylesheets of a page, as a browser would.
func (b *Browser) style(ctx context.Context, p *Page) error {
	for _, u := range p.Stylesheets {
		if !slices.ContainsFunc(p.policy()["style-src"], func(source string) bool { return matchSource(source, p.URL, u) }) {
			return fmt.Errorf("policy with style-src %q stops its own stylesheet %s", p.policy()["style-src"], u)
		}
		sheet, _, err := b.do(ctx, &step{method: http.MethodGet, url: u, site: relation(p.URL, u)})
		if err != nil {
			return fmt.Errorf("getting the stylesheet: %w", err)
		}
		if sheet == nil {
			return fmt.Errorf("stylesheet %s is a redirect", u)
		}
		if kind := sheet.Header.Get("Content-Type"); sheet.Status != http.StatusOK || !strings.HasPrefix(kind, "text/css") {
			return fmt.Errorf("stylesheet %s is %d %q", u, sheet.Status, kind)
		}
	}
	return nil
}

// request makes the request with the headers of a browser's navigation.
func (s *step) request(ctx context.Context) (*http.Request, error) {
	var body io.Reader
	if s.method == http.MethodPost {
		body = strings.NewReader(s.form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, s.method, s.url.String(), body)
	if err != nil {
		return nil, err
	}
	h := req.Header
	h.Set("User-Agent", "Mozilla/5.0 (e2e)")
	h.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	h.Set("Sec-Fetch-Dest", "document")
	h.Set("Sec-Fetch-Mode", "navigate")
	h.Set("Sec-Fetch-Site", s.site)
	h.Set("Upgrade-Insecure-Requests", "1")
	if s.method == http.MethodPost {
		h.Set("Content-Type", "application/x-www-form-urlencoded")
		h.Set("Origin", s.from.originFor(s.url))
	}
	return req, nil
}

// redirected is the step after a redirect (Fetch standard, HTTP-redirect fetch):
// what led here still counts for the policies.
func (s *step) redirected(resp *http.Response) (*step, error) {
	to, err := resp.Location()
	if err != nil {
		return nil, fmt.Errorf("redirect %d: %w", resp.StatusCode, err)
	}
	next := &step{method: http.MethodGet, url: to, from: s.from, site: s.site}
	if resp.StatusCode == http.StatusTemporaryRedirect || resp.StatusCode == http.StatusPermanentRedirect {
		next.method, next.form = s.method, s.form
	}
	if s.site != "none" {
		next.site = worse(s.site, relation(s.url, to))
	}
	return next, nil
}

// relation is what Sec-Fetch-Site says about a request from one address to
// another.
func relation(from, to *url.URL) string {
	switch {
	case origin(from) == origin(to):
		return "same-origin"
	case from.Scheme == to.Scheme && from.Hostname() == to.Hostname():
		return "same-site"
	}
	return "cross-site"
}

func worse(a, b string) string {
	order := []string{"same-origin", "same-site", "cross-site"}
	return order[max(slices.Index(order, a), slices.Index(order, b))]
}

func origin(u *url.URL) string { return u.Scheme + "://" + u.Host }

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// Visited reports whether the way led over an address of the sites whose path
// ends like that.
func (s *Stop) Visited(path string) bool {
	return slices.ContainsFunc(s.Way, func(step string) bool { return strings.HasSuffix(step, path) })
}
