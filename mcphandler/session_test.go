package mcphandler

import (
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"
)

func inSession(token, session string) map[string]string {
	return map[string]string{"Authorization": "Bearer " + token, "Mcp-Session-Id": session}
}

// Security SESS-02 to SESS-06, SESS-08, SESS-12.
func TestSession(t *testing.T) {
	tests := map[string]struct {
		token  string
		change func(f *fixture, id string) string
		want   int
	}{
		"own":            {"alice", nil, http.StatusOK},
		"other user":     {"bob", nil, http.StatusNotFound},
		"other client":   {"alice/other", nil, http.StatusNotFound},
		"without token":  {"", nil, http.StatusUnauthorized},
		"just in time":   {"alice", wait(24*time.Hour - time.Second), http.StatusOK},
		"expired":        {"alice", wait(24 * time.Hour), http.StatusNotFound},
		"first byte":     {"alice", flip(0), http.StatusNotFound},
		"last byte":      {"alice", flip(-1), http.StatusNotFound},
		"in the middle":  {"alice", flip(20), http.StatusNotFound},
		"cut":            {"alice", func(_ *fixture, id string) string { return id[:len(id)-4] }, http.StatusNotFound},
		"longer":         {"alice", func(_ *fixture, id string) string { return id + "AAAA" }, http.StatusNotFound},
		"padded":         {"alice", func(_ *fixture, id string) string { return id + "=" }, http.StatusNotFound},
		"very long":      {"alice", func(_ *fixture, id string) string { return strings.Repeat(id, 50) }, http.StatusNotFound},
		"of a neighbour": {"alice", endpointOf("https://mcp.example.com/two"), http.StatusNotFound},
		"other purpose": {"alice", func(*fixture, string) string {
			sealed, _ := sealByMAC{}.Seal(make([]byte, sessionSize), binding(statePurpose, testEndpoint, "u-alice", "app"))
			return base64.RawURLEncoding.EncodeToString(sealed)
		}, http.StatusNotFound},
		"other format": {"alice", func(*fixture, string) string {
			sealed, _ := sealByMAC{}.Seal(make([]byte, sessionSize), binding(sessionPurpose, testEndpoint, "u-alice", "app"))
			return base64.RawURLEncoding.EncodeToString(sealed)
		}, http.StatusNotFound},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, func(cfg *Config) { cfg.SessionLifetime = 24 * time.Hour })
			id := f.initialize("alice", "2025-11-25", "{}")
			if w := f.serve("POST", inSession("alice", id), ping); w.Code != http.StatusOK { // it is known from now on
				t.Fatalf("first: status %d", w.Code)
			}
			if test.change != nil {
				id = test.change(f, id)
			}
			fields := inSession(test.token, id)
			if test.token == "" {
				delete(fields, "Authorization")
			}
			for _, method := range []string{"POST", "GET", "DELETE"} {
				want := test.want
				if want == http.StatusOK {
					want = map[string]int{"POST": 200, "GET": 405, "DELETE": 204}[method]
				}
				if w := f.serve(method, fields, ping); w.Code != want {
					t.Errorf("%s: status %d, want %d", method, w.Code, want)
				}
			}
		})
	}
}

func wait(d time.Duration) func(*fixture, string) string {
	return func(f *fixture, id string) string {
		f.now = f.now.Add(d)
		return id
	}
}

func flip(at int) func(*fixture, string) string {
	return func(f *fixture, id string) string {
		sealed, err := base64.RawURLEncoding.DecodeString(id)
		if err != nil {
			f.t.Fatal(err)
		}
		sealed[(at+len(sealed))%len(sealed)] ^= 1
		return base64.RawURLEncoding.EncodeToString(sealed)
	}
}

func endpointOf(url string) func(*fixture, string) string {
	return func(f *fixture, id string) string {
		f.handler.cfg.Endpoint = func(*http.Request) string { return url }
		return id
	}
}

// Security SESS-01.
func TestSessionIDs(t *testing.T) {
	f := newFixture(t, func(cfg *Config) { cfg.Random = nil })
	seen := make(map[string]bool)
	for range 100 {
		id := f.initialize("alice", "2025-11-25", "{}")
		if seen[id] || len(id) < 22 || strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Fatalf("session id %q: seen %v, want visible ASCII, 22 at least", id, seen[id])
		}
		seen[id] = true
	}
}

// Security SESS-07.
func TestEndedSessionIsRememberedUntilItWouldExpire(t *testing.T) {
	f := newFixture(t, nil)
	id := f.initialize("alice", "2025-11-25", "{}")
	other := f.initialize("alice", "2025-11-25", "{}")
	began := f.now
	f.now = f.now.Add(time.Hour)
	if w := f.serve("DELETE", inSession("alice", id), ""); w.Code != http.StatusNoContent || w.Body.Len() > 0 {
		t.Fatalf("DELETE: status %d, body %q, want 204 without", w.Code, w.Body)
	}
	want := began.Add(defaultSessionLifetime)
	for until := range maps.Values(f.ended.ids) {
		if !until.Equal(want) {
			t.Errorf("remembered until %v, want %v", until, want)
		}
	}
	if len(f.ended.ids) != 1 {
		t.Errorf("%d sessions ended, want 1", len(f.ended.ids))
	}
	if w := f.serve("POST", inSession("alice", other), ping); w.Code != http.StatusOK {
		t.Errorf("the other session: status %d, want 200", w.Code)
	}
}

func TestSessionsCannotBeChecked(t *testing.T) {
	f := newFixture(t, nil)
	id := f.initialize("alice", "2025-11-25", "{}")
	f.ended.fail = errors.New("database is gone")
	for _, method := range []string{"POST", "DELETE", "GET"} {
		w := f.serve(method, inSession("alice", id), ping)
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: status %d, Retry-After %q, want 503 with one", method, w.Code, w.Header().Get("Retry-After"))
		}
	}
}

func TestSessionCannotBeEnded(t *testing.T) {
	f := newFixture(t, nil)
	id := f.initialize("alice", "2025-11-25", "{}")
	f.ended.failEnd = errors.New("database is gone")
	if w := f.serve("DELETE", inSession("alice", id), ""); w.Code != http.StatusServiceUnavailable {
		t.Errorf("DELETE: status %d, want 503", w.Code)
	}
}

// brokenSealer seals nothing.
type brokenSealer struct{ sealByMAC }

func (brokenSealer) Seal([]byte, []byte) ([]byte, error) { return nil, errors.New("secret detail") }

func TestSealsCannotBeMade(t *testing.T) {
	tests := map[string]func(*Config){
		"no seal":       func(cfg *Config) { cfg.Sealer = brokenSealer{} },
		"no randomness": func(cfg *Config) { cfg.Random = errReader{} },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, change)
			w := f.serve("POST", map[string]string{"Authorization": "Bearer alice"},
				`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}`)
			if got := errorCode(t, w.Body.Bytes()); got != codeInternal || w.Header().Get("Mcp-Session-Id") != "" {
				t.Errorf("code %d, session %q, want %d and none", got, w.Header().Get("Mcp-Session-Id"), codeInternal)
			}
			if strings.Contains(w.Body.String(), "secret") {
				t.Errorf("body %s tells the detail", w.Body)
			}
		})
	}
}

func TestBindingTellsPartsApart(t *testing.T) {
	if a, b := binding("x", "a", "bc"), binding("x", "ab", "c"); string(a) == string(b) {
		t.Errorf("binding(a, bc) = binding(ab, c) = %q", a)
	}
}
