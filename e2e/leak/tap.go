package leak

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
)

const maxBody = 4 << 20 // bytes

// names are the parameters and members whose values are secrets, with their
// kinds.
var names = map[string]string{
	"code": "code", "state": "state", "link": "link", "nonce": "nonce", "code_verifier": "code_verifier",
	"client_secret": "client_secret", "access_token": "access_token", "refresh_token": "refresh_token",
	"id_token": "id_token", "password": "password", "token": "form token", "requestState": "requestState",
}

// inText finds the same in addresses wherever they stand.
var inText = regexp.MustCompile(`[?&](code|state|link|nonce)=([^&\s"'<>\\)]+)`)

// Tap is a transport that collects the secrets of all that passes through it,
// and the bodies of answers that say no.
type Tap struct {
	Secrets *Secrets
	Next    http.RoundTripper

	mu      sync.Mutex
	refused []Refusal
}

// Refusal is an answer with an error.
type Refusal struct {
	Request string // method and path
	Status  int
	Body    string
}

// Refusals returns the answers of 400 and above so far.
func (t *Tap) Refusals() []Refusal {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.refused[:len(t.refused):len(t.refused)]
}

// RoundTrip implements http.RoundTripper.
func (t *Tap) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		body, err := drain(&req.Body)
		if err != nil {
			return nil, fmt.Errorf("reading a request: %w", err)
		}
		t.body(req.Header, body)
	}
	t.query(req.URL.RawQuery)
	t.header(req.Header)
	for _, c := range req.Cookies() {
		t.Secrets.Add("cookie", c.Value)
	}
	resp, err := t.Next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := drain(&resp.Body)
	if err != nil {
		return nil, fmt.Errorf("reading an answer: %w", err)
	}
	t.body(resp.Header, body)
	t.header(resp.Header)
	for _, c := range resp.Cookies() {
		t.Secrets.Add("cookie", c.Value)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		t.mu.Lock()
		t.refused = append(t.refused, Refusal{req.Method + " " + req.URL.Path, resp.StatusCode, string(body)})
		t.mu.Unlock()
	}
	return resp, nil
}

// drain reads a body and puts what was read in its place.
func drain(body *io.ReadCloser) ([]byte, error) {
	defer (*body).Close()
	text, err := io.ReadAll(io.LimitReader(*body, maxBody))
	*body = io.NopCloser(bytes.NewReader(text))
	return text, err
}

func (t *Tap) query(raw string) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return // what is malformed is no secret of ours
	}
	for name, list := range values {
		for _, value := range list {
			if kind := names[name]; kind != "" {
				t.Secrets.Add(kind, value)
			}
		}
	}
}

func (t *Tap) header(h http.Header) {
	if to, err := url.Parse(h.Get("Location")); err == nil {
		t.query(to.RawQuery)
	}
	t.Secrets.Add("session id", h.Get("Mcp-Session-Id"))
	scheme, value, _ := strings.Cut(h.Get("Authorization"), " ")
	switch strings.ToLower(scheme) {
	case "bearer":
		t.Secrets.Add("access_token", value)
	case "basic":
		t.Secrets.Add("client_secret", value)
		if pair, err := base64.StdEncoding.DecodeString(value); err == nil {
			_, secret, _ := strings.Cut(string(pair), ":")
			t.Secrets.Add("client_secret", secret)
		}
	}
}

func (t *Tap) body(h http.Header, body []byte) {
	for _, match := range inText.FindAllStringSubmatch(html.UnescapeString(string(body)), -1) {
		if value, err := url.QueryUnescape(match[2]); err == nil {
			t.Secrets.Add(names[match[1]], value)
		}
	}
	kind := h.Get("Content-Type")
	if strings.HasPrefix(kind, "application/x-www-form-urlencoded") {
		t.query(string(body))
	}
	var v any
	if strings.HasPrefix(kind, "application/json") && json.Unmarshal(body, &v) == nil {
		t.members(v)
	}
}

func (t *Tap) members(v any) {
	switch v := v.(type) {
	case []any:
		for _, element := range v {
			t.members(element)
		}
	case map[string]any:
		for name, member := range v {
			if value, ok := member.(string); ok && names[name] != "" {
				t.Secrets.Add(names[name], value)
			}
			t.members(member)
		}
	}
}
