package e2e

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// TestAttackFraming sends requests whose end two servers could see at different
// places, each followed by a second request on the same connection.
//
// Security HTTP-01.
func TestAttackFraming(t *testing.T) {
	a := newTarget(t)
	token := a.token(alice)
	const document = "/mcp/.well-known/oauth-protected-resource"
	smuggled := "GET " + document + " HTTP/1.1\r\nHost: " + a.host + "\r\n\r\n"
	for name, c := range map[string]struct{ fields, body string }{
		"two lengths":                 {"Content-Length: 3\r\nContent-Length: 4", "abcd"},
		"a list of lengths":           {"Content-Length: 3, 4", "abcd"},
		"a length with a sign":        {"Content-Length: +3", "abc"},
		"a negative length":           {"Content-Length: -1", ""},
		"a hexadecimal length":        {"Content-Length: 0x3", "abc"},
		"a length beyond reach":       {"Content-Length: 99999999999999999999", "abc"},
		"chunked and identity":        {"Transfer-Encoding: chunked, identity", "0\r\n\r\n"},
		"an unknown coding":           {"Transfer-Encoding: xchunked", "0\r\n\r\n"},
		"chunked twice":               {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"},
		"a vertical tab":              {"Transfer-Encoding: \x0bchunked", "0\r\n\r\n"},
		"blank before the colon":      {"Transfer-Encoding : chunked", "0\r\n\r\n"},
		"a field on two lines":        {"X-A: b\r\n Transfer-Encoding: chunked\r\n:", ""},
		"a chunk size beyond reach":   {"Transfer-Encoding: chunked", "FFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n"},
		"a chunk size with a sign":    {"Transfer-Encoding: chunked", "-1\r\nabc\r\n0\r\n\r\n"},
		"a chunk longer than said":    {"Transfer-Encoding: chunked", "1\r\nabc\r\n0\r\n\r\n"},
		"NUL in a field":              {"X-A: \x00\r\nContent-Length: 0", ""},
		"a second host":               {"Host: evil.example\r\nContent-Length: 0", ""},
		"a carriage return in a name": {"X\rA: b\r\nContent-Length: 0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			replies := a.raw("POST /mcp HTTP/1.1\r\nHost: " + a.host + "\r\nAuthorization: Bearer " + token +
				"\r\nContent-Type: application/json\r\n" + c.fields + "\r\n\r\n" + c.body + smuggled)
			if len(replies) != 1 || replies[0].status != 400 && replies[0].status != 501 {
				t.Errorf("answers = %+v, want one with 400 or 501", replies)
			}
		})
	}
	for name, request := range map[string]string{
		"no host":       "GET " + document + " HTTP/1.1\r\n\r\n",
		"small letters": "GET " + document + " http/1.1\r\nHost: " + a.host + "\r\n\r\n",
		"HTTP/9.9":      "GET " + document + " HTTP/9.9\r\nHost: " + a.host + "\r\n\r\n",
		"three blanks":  "GET  " + document + "  HTTP/1.1\r\nHost: " + a.host + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			if replies := a.raw(request + smuggled); len(replies) != 1 || replies[0].status < 400 {
				t.Errorf("answers = %+v, want one refusal", replies)
			}
		})
	}
	a.alive(token)
}

// TestAttackSizes sends headers of two megabytes.
//
// Security HTTP-02.
func TestAttackSizes(t *testing.T) {
	a := newTarget(t)
	token := a.token(alice)
	const size = 2 << 20
	for name, request := range map[string]string{
		"a URL of 60 kB":   "GET /mcp/authorize?client_id=" + strings.Repeat("x", 60_000) + " HTTP/1.1\r\nHost: " + a.host + "\r\n\r\n",
		"a long URL":       "GET /mcp/authorize?x=" + strings.Repeat("x", size) + " HTTP/1.1\r\nHost: " + a.host + "\r\n\r\n",
		"a long path":      "GET /mcp/" + strings.Repeat("x/", size/2) + " HTTP/1.1\r\nHost: " + a.host + "\r\n\r\n",
		"a long field":     "GET /mcp HTTP/1.1\r\nHost: " + a.host + "\r\nX-A: " + strings.Repeat("x", size) + "\r\n\r\n",
		"a long name":      "GET /mcp HTTP/1.1\r\nHost: " + a.host + "\r\n" + strings.Repeat("x", size) + ": a\r\n\r\n",
		"many fields":      "GET /mcp HTTP/1.1\r\nHost: " + a.host + "\r\n" + strings.Repeat("X-A: 0123456789\r\n", size/17) + "\r\n",
		"many cookies":     "GET /mcp/account HTTP/1.1\r\nHost: " + a.host + "\r\nCookie: " + strings.Repeat("a=b; ", size/5) + "\r\n\r\n",
		"a long method":    strings.Repeat("X", size) + " /mcp HTTP/1.1\r\nHost: " + a.host + "\r\n\r\n",
		"many small lines": strings.Repeat("\r\n", size/2) + "GET /mcp HTTP/1.1\r\nHost: " + a.host + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			// The server may close before it has read all; then there is no answer.
			for _, r := range a.raw(request) {
				if r.status < 400 || r.status >= 500 {
					t.Errorf("answer = %d %.200s, want 4xx", r.status, r.body)
				}
			}
			a.alive(token)
		})
	}
}

// TestAttackSlowClients leaves 200 requests half sent and 100 streams asked for,
// and one header without an end: others are served, and the header is cut off
// after read_header, which Caddy sets to one minute unless told otherwise.
//
// Security HTTP-04 to HTTP-06.
func TestAttackSlowClients(t *testing.T) {
	a := newTarget(t)
	token, other := a.token(alice), a.token(bob)
	for range 200 {
		if _, err := io.WriteString(a.dial(), "POST /mcp HTTP/1.1\r\nHost: "+a.host+"\r\nContent-Type: application/json\r\nContent-Length: 1000\r\nAuthorization: Bearer "+token+"\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
	}
	for range 100 {
		if _, err := io.WriteString(a.dial(), "GET /mcp HTTP/1.1\r\nHost: "+a.host+"\r\nAccept: text/event-stream\r\nAuthorization: Bearer "+token+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	a.alive(other)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("a good call took %v meanwhile, want 3 s at most", took)
	}

	endless := a.dial()
	began = time.Now()
	closed := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, endless)
		closed <- err
	}()
	if _, err := io.WriteString(endless, "GET /mcp HTTP/1.1\r\nHost: "+a.host+"\r\n"); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-closed:
			if took := time.Since(began); isTimeout(err) || took > 10*time.Second {
				t.Errorf("a header without an end was cut off after %v with %v, want 2 s", took, err)
			}
			return
		case <-tick.C:
			sendField(endless)
		}
	}
}

// sendField sends one more field; an error says that the server has closed,
// which the reader notices.
func sendField(conn net.Conn) { _, _ = io.WriteString(conn, "X-More: x\r\n") }

// TestAttackLoginsAtOnce logs two people in through one client, twelve times
// each and all at once.
//
// Security ISO-03.
func TestAttackLoginsAtOnce(t *testing.T) {
	a := newTarget(t)
	registered := mcpclient.New(a.Endpoint, mcpclient.Modern)
	if err := registered.Discover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := registered.Register(t.Context(), "shared", "http://127.0.0.1:49152/callback"); err != nil {
		t.Fatal(err)
	}
	for i := range 24 {
		person := []browser.Person{alice, bob}[i%2]
		t.Run(person.Name, func(t *testing.T) {
			t.Parallel()
			c := *registered
			stop := open(t, newBrowser(t, a.Server, person), c.AuthorizeURL(), browser.Visit{Hold: true})
			if err := c.Redeem(t.Context(), stop.URL); err != nil {
				t.Fatal(err)
			}
			if got := a.quick(c.Tokens.AccessToken, whoami); !strings.Contains(got, "I am "+person.Name+"@") {
				t.Errorf("whoami = %s, want %s", got, person.Name)
			}
		})
	}
}
