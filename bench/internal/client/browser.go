package client

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/html"
)

// PersonField is the header field that says who sits at the browser. The
// provider and the identity provider of the benchmark believe it; the server
// under test does not know it.
const PersonField = "X-Bench-Person"

const formType = "application/x-www-form-urlencoded"

// Browser is a person at a browser who agrees to everything. It keeps one
// connection per host. It is for one goroutine.
type Browser struct {
	roots   *x509.CertPool
	conns   map[string]*Conn
	cookies map[string]map[string]string // host, name, value
	person  Person
}

// Person is somebody with an account.
type Person struct{ Name, Password string }

// NewBrowser returns a browser that trusts roots for https.
func NewBrowser(roots *x509.CertPool) *Browser {
	return &Browser{roots: roots, conns: make(map[string]*Conn)}
}

// Sit puts another person in front of a browser without cookies.
func (b *Browser) Sit(p Person) {
	b.person, b.cookies = p, make(map[string]map[string]string)
}

// Close closes the connections.
func (b *Browser) Close() {
	for _, c := range b.conns {
		c.Close()
	}
}

// page is an answer with the address that it came from.
type page struct {
	*Reply
	at *url.URL
}

// send sends one request and keeps the cookies of its answer.
func (b *Browser) send(method string, at *url.URL, contentType string, body []byte) (*page, error) {
	key := at.Scheme + "://" + at.Host
	conn := b.conns[key]
	if conn == nil {
		conn = NewConn(at, b.roots)
		b.conns[key] = conn
	}
	fields := []Field{{"Accept", "application/json, text/html;q=0.9"}, {PersonField, b.person.Name}}
	if contentType != "" {
		fields = append(fields, Field{"Content-Type", contentType})
	}
	if contentType == formType {
		fields = append(fields, Field{"Origin", key})
	}
	if cookies := b.cookies[at.Host]; len(cookies) > 0 {
		var list []string
		for name, value := range cookies {
			list = append(list, name+"="+value)
		}
		fields = append(fields, Field{"Cookie", strings.Join(list, "; ")})
	}
	reply, err := conn.Do(method, at.RequestURI(), fields, body)
	if err != nil {
		return nil, err
	}
	b.keepCookies(at.Host, reply.Header)
	return &page{reply, at}, nil
}

func (b *Browser) keepCookies(host string, header http.Header) {
	if b.cookies == nil || header["Set-Cookie"] == nil {
		return
	}
	if b.cookies[host] == nil {
		b.cookies[host] = make(map[string]string)
	}
	for _, cookie := range (&http.Response{Header: header}).Cookies() {
		if cookie.MaxAge < 0 || cookie.Value == "" {
			delete(b.cookies[host], cookie.Name)
			continue
		}
		b.cookies[host][cookie.Name] = cookie.Value
	}
}

// maxSteps bounds how many pages and redirects one errand takes.
const maxSteps = 20

// visit opens an address, follows redirects and submits each form, until a
// redirect leads to stop, whose address it returns, or until a page has no form
// to submit and waits for nothing, which it returns.
func (b *Browser) visit(address, stop string) (*url.URL, *page, error) {
	at, err := url.Parse(address)
	if err != nil {
		return nil, nil, err
	}
	now, err := b.send(http.MethodGet, at, "", nil)
	for range maxSteps {
		if err != nil {
			return nil, nil, err
		}
		if now.Status/100 == 3 {
			to, err := now.at.Parse(now.Header.Get("Location"))
			if err != nil {
				return nil, nil, err
			}
			if stop != "" && strings.HasPrefix(to.String(), stop) {
				return to, nil, nil
			}
			if now, err = b.send(http.MethodGet, to, "", nil); err != nil {
				return nil, nil, err
			}
			continue
		}
		form, action, found := b.fillIn(now)
		if !found {
			next, err := b.follow(now)
			if err != nil || next == nil {
				return nil, now, err
			}
			now = next
			continue
		}
		now, err = b.send(http.MethodPost, action, formType, []byte(form.Encode()))
	}
	return nil, nil, errors.New("the browser is sent around in a circle")
}

// fillIn fills in the first form of a page that is sent by POST: what is hidden
// as it is, name and password, and the first button, which agrees.
func (b *Browser) fillIn(p *page) (url.Values, *url.URL, bool) {
	if p.Status != http.StatusOK || !strings.HasPrefix(p.Header.Get("Content-Type"), "text/html") {
		return nil, nil, false
	}
	var action *url.URL
	values := make(url.Values)
	pressed := false
	tokens := html.NewTokenizer(bytes.NewReader(p.Body))
	for tokens.Next() != html.ErrorToken {
		token := tokens.Token()
		attr := attributes(token)
		switch {
		case token.Type == html.EndTagToken && token.Data == "form" && action != nil:
			return values, action, true
		case token.Type == html.StartTagToken && token.Data == "form" && strings.EqualFold(attr["method"], "post"):
			var err error
			if action, err = p.at.Parse(attr["action"]); err != nil {
				return nil, nil, false
			}
		case action == nil || token.Type == html.EndTagToken:
		case token.Data == "input" && attr["name"] != "":
			values.Set(attr["name"], b.value(attr))
		case token.Data == "button" && !pressed:
			pressed = true
			if attr["name"] != "" {
				values.Set(attr["name"], attr["value"])
			}
		}
	}
	return nil, nil, false
}

func (b *Browser) value(input map[string]string) string {
	switch input["type"] {
	case "password":
		return b.person.Password
	case "text":
		return b.person.Name
	}
	return input["value"]
}

func attributes(token html.Token) map[string]string {
	attr := make(map[string]string, len(token.Attr))
	for _, a := range token.Attr {
		attr[a.Key] = a.Val
	}
	return attr
}

// Connect opens the link of a connect answer and connects an account, in the
// browser in which the person logged in.
func (b *Browser) Connect(link string) error {
	_, end, err := b.visit(link, "")
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	if end.Status != http.StatusOK || !bytes.Contains(end.Body, []byte("is connected")) {
		return fmt.Errorf("connecting: status %d at %s: %.200s", end.Status, end.at.Path, end.Body)
	}
	return nil
}
