package mcphandler

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const ping = `{"jsonrpc":"2.0","id":1,"method":"ping"}`

// Security CORS-04, CORS-06, MCP-30 to MCP-32.
func TestOrigin(t *testing.T) {
	f := newFixture(t, nil)
	session := f.initialize("alice", "2025-11-25", "{}")
	origins := map[string]struct {
		fields []string
		ok     bool
	}{
		"none":             {nil, true},
		"own":              {[]string{testOrigin}, true},
		"foreign":          {[]string{"https://evil.example"}, false},
		"other scheme":     {[]string{"http://mcp.example.com"}, false},
		"other port":       {[]string{"https://mcp.example.com:8443"}, false},
		"own as prefix":    {[]string{"https://mcp.example.com.evil.example"}, false},
		"null":             {[]string{"null"}, false},
		"empty":            {[]string{""}, false},
		"own and foreign":  {[]string{testOrigin, "https://evil.example"}, false},
		"own, with a path": {[]string{testOrigin + "/"}, false},
	}
	// What each method answers when the origin is let through.
	methods := map[string]int{
		"POST": http.StatusOK, "GET": http.StatusMethodNotAllowed,
		"OPTIONS": http.StatusNoContent, "HEAD": http.StatusMethodNotAllowed,
	}
	for name, test := range origins {
		for method, status := range methods {
			t.Run(name+" "+method, func(t *testing.T) {
				r := httptest.NewRequest(method, "/mcp", strings.NewReader(ping))
				r.Header = http.Header{
					"Authorization": {"Bearer alice"}, "Content-Type": {"application/json"},
					"Mcp-Session-Id": {session},
				}
				if test.fields != nil {
					r.Header["Origin"] = test.fields
				}
				w := httptest.NewRecorder()
				f.handler.ServeHTTP(w, r)
				if !test.ok {
					status = http.StatusForbidden
				}
				if w.Code != status {
					t.Errorf("status %d, want %d", w.Code, status)
				}
				allowed := w.Header().Get("Access-Control-Allow-Origin")
				if want := test.ok && test.fields != nil; (allowed == testOrigin) != want || (allowed != "") != want {
					t.Errorf("Access-Control-Allow-Origin %q, want one: %v", allowed, want)
				}
				if got := w.Header().Get("Access-Control-Allow-Credentials"); got != "" {
					t.Errorf("Access-Control-Allow-Credentials %q, want none", got)
				}
			})
		}
	}
}

// Security MCP-32.
func TestForeignOriginEndsNoSession(t *testing.T) {
	f := newFixture(t, nil)
	session := f.initialize("alice", "2025-11-25", "{}")
	fields := map[string]string{
		"Authorization": "Bearer alice", "Mcp-Session-Id": session, "Origin": "https://evil.example",
	}
	if w := f.serve("DELETE", fields, ""); w.Code != http.StatusForbidden {
		t.Errorf("DELETE from a foreign page: status %d, want 403", w.Code)
	}
	delete(fields, "Origin")
	if w := f.serve("POST", fields, ping); w.Code != http.StatusOK {
		t.Errorf("ping in the session after that: status %d, want 200", w.Code)
	}
}

func TestPreflightGrantsOnlyMirroredArguments(t *testing.T) {
	tests := map[string]struct{ asked, want string }{
		"nothing":            {"", ""},
		"two and another":    {"mcp-param-a, x-evil , Mcp-Param-B", ", mcp-param-a, Mcp-Param-B"},
		"a prefix alone":     {"mcp-param-", ""},
		"no name of a field": {"mcp-param-a b, mcp-param-\"", ""},
		"too many":           {strings.Repeat("mcp-param-a,", 40), strings.Repeat(", mcp-param-a", maxCORSParams)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := requestedParams(http.Header{"Access-Control-Request-Headers": {test.asked}})
			if got != test.want {
				t.Errorf("requestedParams(%q) = %q, want %q", test.asked, got, test.want)
			}
		})
	}
}

func TestMetadataURL(t *testing.T) {
	tests := map[string]struct{ endpoint, want string }{
		"path":           {"https://h.example/mcp", "https://h.example/.well-known/oauth-protected-resource/mcp"},
		"long path":      {"https://h.example:8443/a/b", "https://h.example:8443/.well-known/oauth-protected-resource/a/b"},
		"root":           {"https://h.example", "https://h.example/.well-known/oauth-protected-resource"},
		"root slash":     {"https://h.example/", "https://h.example/.well-known/oauth-protected-resource"},
		"trailing slash": {"https://h.example/mcp/", "https://h.example/.well-known/oauth-protected-resource/mcp"},
		"escaped":        {"https://h.example/a%20b", "https://h.example/.well-known/oauth-protected-resource/a%20b"},
		"loopback":       {"http://[::1]:8000/mcp", "http://[::1]:8000/.well-known/oauth-protected-resource/mcp"},
		"quote":          {`https://h.example/a"b`, "https://h.example/.well-known/oauth-protected-resource/a%22b"},
		"no URL":         {"http://h\x7f", "/.well-known/oauth-protected-resource"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := metadataURL(test.endpoint); got != test.want {
				t.Errorf("metadataURL(%q) = %q, want %q", test.endpoint, got, test.want)
			}
		})
	}
}

// TestEveryResponse sees to the fields that transcripts leave out. Security
// MCP-07.
func TestEveryResponse(t *testing.T) {
	f := newFixture(t, nil)
	alice := map[string]string{"Authorization": "Bearer alice"}
	tests := map[string]*httptest.ResponseRecorder{
		"result":    f.serve("POST", alice, ping),
		"error":     f.serve("POST", alice, "{"),
		"challenge": f.serve("POST", nil, ping),
		"accepted":  f.serve("POST", alice, `{"jsonrpc":"2.0","method":"notifications/x"}`),
		"preflight": f.serve("OPTIONS", map[string]string{"Origin": testOrigin}, ""),
		"foreign":   f.serve("POST", map[string]string{"Origin": "https://evil.example"}, ping),
		"get":       f.serve("GET", alice, ""),
	}
	for name, w := range tests {
		t.Run(name, func(t *testing.T) {
			want := map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
			if w.Body.Len() > 0 {
				want["Content-Type"] = "application/json"
			}
			for field, value := range want {
				if got := w.Header().Get(field); got != value {
					t.Errorf("%s: %q, want %q", field, got, value)
				}
			}
			toBrowser := name == "preflight" || name == "foreign"
			if got := w.Header().Get("Vary"); (got == "Origin") != toBrowser {
				t.Errorf("Vary: %q, want Origin: %v", got, toBrowser)
			}
		})
	}
}

// MCP 2025-11-25, scope challenge handling: 403 names all scopes at once.
func TestNarrowToken(t *testing.T) {
	f := newFixture(t, nil)
	for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodDelete} {
		w := f.serve(method, map[string]string{"Authorization": "Bearer narrow"}, `{"jsonrpc":"2.0","id":1,"method":"ping"}`)
		const want = `Bearer error="insufficient_scope", error_description="the access token lacks a scope of this endpoint", ` +
			`resource_metadata="https://mcp.example.com/.well-known/oauth-protected-resource/mcp", scope="mcp mail"`
		if w.Code != http.StatusForbidden || w.Header().Get("WWW-Authenticate") != want {
			t.Errorf("%s = %d %q, want 403 %q", method, w.Code, w.Header().Get("WWW-Authenticate"), want)
		}
	}
}
