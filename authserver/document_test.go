package authserver_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

const documentID = "https://app.example/client.json"

// fakeWeb answers fetches of client documents.
type fakeWeb struct {
	fetches atomic.Int64
	answer  func(r *http.Request) (*http.Response, error)
}

func (f *fakeWeb) RoundTrip(r *http.Request) (*http.Response, error) {
	f.fetches.Add(1)
	return f.answer(r)
}

// reply makes a response; header are names and values.
func reply(status int, body string, header ...string) *http.Response {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func document(id, more string) string {
	return `{"client_id":"` + id + `","client_name":"Document app","redirect_uris":["http://localhost/callback","` + callback + `"],"token_endpoint_auth_method":"none"` + more + `}`
}

func newDocumentEnv(t *testing.T, f *fakeWeb) *env {
	t.Helper()
	return newEnv(t, func(c *authserver.Config) { c.Documents.Transport = f })
}

func TestDocumentClientLogsIn(t *testing.T) {
	f := &fakeWeb{answer: func(*http.Request) (*http.Response, error) { return reply(200, document(documentID, "")), nil }}
	e := newDocumentEnv(t, f)
	b := e.newBrowser()
	p := b.get(e.authorizeURL(documentID, "redirect_uri", "http://localhost:50505/callback"))
	for _, want := range []string{"Document app", "app.example", "localhost"} {
		if !strings.Contains(p.body, want) {
			t.Errorf("the page lacks %q:\n%s", want, p.body)
		}
	}
	access, refresh := e.login(documentID, "alice")
	if f.fetches.Load() != 1 {
		t.Errorf("%d fetches, want 1: the document is kept", f.fetches.Load())
	}
	// The host is gone, and the document is old: who has tokens goes on.
	f.answer = func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF }
	e.clock.advance(30 * 24 * time.Hour)
	access2, _ := e.mustRefresh(documentID, refresh)
	for _, token := range []string{access2} {
		if user, err := e.verify(token); err != nil || user != "alice" {
			t.Errorf("Verify = %q, %v", user, err)
		}
	}
	if access == access2 {
		t.Error("the refresh gave the old token")
	}
	if p := e.newBrowser().get(e.authorizeURL(documentID)); p.status != http.StatusBadRequest {
		t.Errorf("a new login without the document = %d, want 400", p.status)
	}
}

// Security SSRF-07.
func TestBadDocuments(t *testing.T) {
	good := document(documentID, "")
	for name, answer := range map[string]func() (*http.Response, error){
		"redirect":   func() (*http.Response, error) { return reply(302, "", "Location", "https://evil.example/"), nil },
		"not found":  func() (*http.Response, error) { return reply(404, good), nil },
		"created":    func() (*http.Response, error) { return reply(201, good), nil },
		"HTML":       func() (*http.Response, error) { return reply(200, good, "Content-Type", "text/html"), nil },
		"no type":    func() (*http.Response, error) { return reply(200, good, "Content-Type", ""), nil },
		"too long":   func() (*http.Response, error) { return reply(200, good+strings.Repeat(" ", 5<<10)), nil },
		"no JSON":    func() (*http.Response, error) { return reply(200, "x"), nil },
		"another id": func() (*http.Response, error) { return reply(200, document(documentID+"x", "")), nil },
		"id in another case": func() (*http.Response, error) {
			return reply(200, document("https://App.example/client.json", "")), nil
		},
		"with a secret": func() (*http.Response, error) { return reply(200, document(documentID, `,"client_secret":"x"`)), nil },
		"with a secret's end": func() (*http.Response, error) {
			return reply(200, document(documentID, `,"client_secret_expires_at":0`)), nil
		},
		"with a shared secret": func() (*http.Response, error) {
			return reply(200, strings.Replace(good, `"none"`, `"client_secret_basic"`, 1)), nil
		},
		"without a name": func() (*http.Response, error) { return reply(200, strings.Replace(good, "Document app", " ", 1)), nil },
		"without redirect URIs": func() (*http.Response, error) {
			return reply(200, `{"client_id":"`+documentID+`","client_name":"x"}`), nil
		},
		"a bad redirect URI": func() (*http.Response, error) {
			return reply(200, strings.Replace(good, "http://localhost/callback", "javascript:x", 1)), nil
		},
		"unreachable": func() (*http.Response, error) { return nil, io.ErrUnexpectedEOF },
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeWeb{answer: func(*http.Request) (*http.Response, error) { return answer() }}
			e := newDocumentEnv(t, f)
			if p := e.newBrowser().get(e.authorizeURL(documentID)); p.status != http.StatusBadRequest || p.location != "" {
				t.Errorf("authorize = %d %q, want a page with 400", p.status, p.location)
			}
			// Nothing of it is kept.
			f.answer = func(*http.Request) (*http.Response, error) { return reply(200, good), nil }
			if p := e.newBrowser().get(e.authorizeURL(documentID)); p.status != http.StatusOK {
				t.Errorf("once it is good = %d, want the consent page", p.status)
			}
		})
	}
}

func TestDocumentIsKeptAsItsHostSays(t *testing.T) {
	for name, tc := range map[string]struct {
		control string
		after   time.Duration
		fetches int64
	}{
		"an hour by default":       {"", 59 * time.Minute, 1},
		"no longer":                {"", 61 * time.Minute, 2},
		"as long as it says":       {"public, max-age=7200", 119 * time.Minute, 1},
		"a day at most":            {"max-age=99999999", 25 * time.Hour, 2},
		"five minutes at least":    {"no-store", 4 * time.Minute, 1},
		"and not longer than that": {"no-store", 6 * time.Minute, 2},
		"a number that is none":    {"max-age=x", 59 * time.Minute, 1},
		"a negative number":        {"max-age=-1", 6 * time.Minute, 2},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fakeWeb{answer: func(*http.Request) (*http.Response, error) {
				return reply(200, document(documentID, ""), "Cache-Control", tc.control), nil
			}}
			e := newDocumentEnv(t, f)
			e.newBrowser().get(e.authorizeURL(documentID))
			e.clock.advance(tc.after)
			e.newBrowser().get(e.authorizeURL(documentID))
			if got := f.fetches.Load(); got != tc.fetches {
				t.Errorf("%d fetches, want %d", got, tc.fetches)
			}
		})
	}
}

// Security SSRF-08: one fetch per URL at a time, and only so many in all.
func TestDocumentFetchesAreBounded(t *testing.T) {
	release := make(chan struct{})
	f := &fakeWeb{answer: func(*http.Request) (*http.Response, error) {
		<-release
		return reply(200, document(documentID, "")), nil
	}}
	var by atomic.Int64
	e := newEnv(t, func(c *authserver.Config) {
		c.Documents.Transport = f
		c.ClientAddr = func(*http.Request) string { return fmt.Sprintf("192.0.2.%d", by.Load()) }
	})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { e.newBrowser().get(e.authorizeURL(documentID)) })
	}
	close(release)
	wg.Wait()
	if got := f.fetches.Load(); got > 2 { // a latecomer may begin after the first is done
		t.Errorf("%d fetches of one URL at once, want 1", got)
	}
	f.fetches.Store(0)
	f.answer = func(*http.Request) (*http.Response, error) { return reply(404, ""), nil }
	for i := range 300 {
		by.Store(int64(i % 100))
		e.newBrowser().get(e.authorizeURL(fmt.Sprintf("https://host%d.example/c", i)))
	}
	if got := f.fetches.Load(); got > 120 {
		t.Errorf("%d fetches for 300 URLs, want at most 120", got)
	}
	f.fetches.Store(0)
	e.clock.advance(time.Minute)
	for i := range 30 {
		e.newBrowser().get(e.authorizeURL(fmt.Sprintf("https://one.example/c%d", i)))
	}
	if got := f.fetches.Load(); got > 20 {
		t.Errorf("%d fetches from one host, want at most 20", got)
	}
	f.fetches.Store(0)
	e.clock.advance(time.Minute)
	by.Store(200)
	for i := range 60 {
		e.newBrowser().get(e.authorizeURL(fmt.Sprintf("https://many%d.example/c", i)))
	}
	if got := f.fetches.Load(); got > 30 {
		t.Errorf("%d fetches for one address, want at most 30", got)
	}
	by.Store(201)
	if e.newBrowser().get(e.authorizeURL("https://fair.example/c")); f.fetches.Load() < 31 {
		t.Error("one address used up what another could have")
	}
}

func TestDocumentHosts(t *testing.T) {
	f := &fakeWeb{answer: func(r *http.Request) (*http.Response, error) { return reply(200, document(r.URL.String(), "")), nil }}
	e := newEnv(t, func(c *authserver.Config) {
		c.Documents.Transport, c.Documents.Hosts = f, []string{"app.example", "*.good.example"}
	})
	for id, want := range map[string]int{
		"https://app.example/c":             200,
		"https://APP.example/c":             200,
		"https://a.good.example/c":          200,
		"https://good.example/c":            400,
		"https://xgood.example/c":           400,
		"https://app.example.evil.example/": 400,
		"https://other.example/c":           400,
	} {
		if p := e.newBrowser().get(e.authorizeURL(id)); p.status != want {
			t.Errorf("%s = %d, want %d", id, p.status, want)
		}
	}
}

func TestDocumentsOff(t *testing.T) {
	f := &fakeWeb{answer: func(*http.Request) (*http.Response, error) { return reply(200, document(documentID, "")), nil }}
	e := newEnv(t, func(c *authserver.Config) { c.Documents.Transport, c.Documents.Off = f, true })
	if p := e.newBrowser().get(e.authorizeURL(documentID)); p.status != http.StatusBadRequest || f.fetches.Load() != 0 {
		t.Errorf("authorize = %d after %d fetches, want 400 after none", p.status, f.fetches.Load())
	}
	if p := e.newBrowser().get("/.well-known/oauth-authorization-server" + testPath); !strings.Contains(p.body, `"client_id_metadata_document_supported":false`) {
		t.Errorf("metadata = %s", p.body)
	}
}
