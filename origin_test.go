package altermcp

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func TestCanonicalOrigin(t *testing.T) {
	for name, tc := range map[string]struct{ scheme, host, want string }{
		"plain":                {"https", "mcp.example.com", "https://mcp.example.com"},
		"upper case":           {"HTTPS", "MCP.Example.COM", "https://mcp.example.com"},
		"default port":         {"https", "mcp.example.com:443", "https://mcp.example.com"},
		"default port of http": {"http", "localhost:80", "http://localhost"},
		"other port":           {"https", "mcp.example.com:8443", "https://mcp.example.com:8443"},
		"port of the other":    {"http", "localhost:443", "http://localhost:443"},
		"trailing dot":         {"https", "mcp.example.com.", "https://mcp.example.com"},
		"beyond ASCII":         {"https", "bücher.example", "https://xn--bcher-kva.example"},
		"punycode":             {"https", "xn--bcher-kva.example", "https://xn--bcher-kva.example"},
		"IPv4":                 {"http", "127.0.0.1:8000", "http://127.0.0.1:8000"},
		"IPv6":                 {"http", "[::1]:8000", "http://[::1]:8000"},
		"IPv6, written long":   {"http", "[0:0:0:0:0:0:0:1]", "http://[::1]"},
		"no host":              {"https", "", ""},
		"only a port":          {"https", ":443", ""},
		"empty port":           {"https", "a.example:", ""},
		"port zero":            {"https", "a.example:0", ""},
		"port no number":       {"https", "a.example:x", ""},
		"user":                 {"https", "a@b.example", ""},
		"path":                 {"https", "a.example/x", ""},
		"query":                {"https", "a.example?x", ""},
		"fragment":             {"https", "a.example#x", ""},
		"space":                {"https", "a .example", ""},
		"line break":           {"https", "a.example\r\nX: y", ""},
		"zone":                 {"http", "[fe80::1%25eth0]", ""},
		"scheme":               {"ftp", "a.example", ""},
		"underscore":           {"https", "a_b.example", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := canonicalOrigin(tc.scheme, tc.host)
			if got != tc.want || (err == nil) != (tc.want != "") {
				t.Errorf("canonicalOrigin(%q, %q) = %q, %v, want %q", tc.scheme, tc.host, got, err, tc.want)
			}
		})
	}
}

// Security MCP-30, MCP-31, CORS-06.
func TestBrowserAllowed(t *testing.T) {
	configured := []string{"https://app.example.com"}
	for name, tc := range map[string]struct {
		own, origin string
		want        bool
	}{
		"own":                          {"https://mcp.example.com", "https://mcp.example.com", true},
		"configured":                   {"https://mcp.example.com", "https://app.example.com", true},
		"loopback page, on loopback":   {"http://localhost:8000", "http://127.0.0.1:6274", true},
		"loopback page, not loopback":  {"https://mcp.example.com", "http://localhost:6274", false},
		"foreign":                      {"https://mcp.example.com", "https://evil.example", false},
		"foreign, on loopback":         {"http://localhost:8000", "https://evil.example", false},
		"null":                         {"https://mcp.example.com", "null", false},
		"other scheme":                 {"https://mcp.example.com", "http://mcp.example.com", false},
		"other port":                   {"https://mcp.example.com", "https://mcp.example.com:8443", false},
		"subdomain":                    {"https://mcp.example.com", "https://x.mcp.example.com", false},
		"suffix":                       {"https://mcp.example.com", "https://mcp.example.com.evil.example", false},
		"with a path":                  {"https://mcp.example.com", "https://mcp.example.com/x", false},
		"with a user":                  {"https://mcp.example.com", "https://mcp.example.com@evil.example", false},
		"localhost as a name's prefix": {"http://localhost:8000", "http://localhost.evil.example", false},
		"own with its default port":    {"https://mcp.example.com", "https://mcp.example.com:443", false},
		"two at once":                  {"https://mcp.example.com", "https://mcp.example.com https://evil.example", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := browserAllowed(tc.own, tc.origin, configured); got != tc.want {
				t.Errorf("browserAllowed(%q, %q) = %v, want %v", tc.own, tc.origin, got, tc.want)
			}
		})
	}
}

// What is kept of the last request must not answer for another one.
func TestOriginsOf(t *testing.T) {
	listener := func(port int) context.Context {
		return context.WithValue(t.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	}
	site := &origins{hosts: []string{"mcp.example.com", "localhost"}}
	public := &origins{public: []string{"https://mcp.example.com"}}
	for _, step := range []struct {
		name string
		o    *origins
		tls  bool
		host string
		port int
		want string
	}{
		{"a host of the site", site, true, "mcp.example.com", 443, "https://mcp.example.com"},
		{"the same again", site, true, "mcp.example.com", 443, "https://mcp.example.com"},
		{"the same without TLS", site, false, "mcp.example.com", 80, "http://mcp.example.com"},
		{"another one", site, true, "localhost", 443, "https://localhost"},
		{"a foreign one", site, true, "evil.example.com", 443, ""},
		{"a port", site, false, "localhost:8000", 8000, "http://localhost:8000"},
		{"the same port at another listener", site, false, "localhost:8000", 9000, ""},
		{"a foreign one after it", site, false, "evil.example.com:8000", 8000, ""},
		{"and the port again", site, false, "localhost:8000", 8000, "http://localhost:8000"},
		{"a public URL", public, false, "mcp.example.com", 9000, "https://mcp.example.com"},
		{"the same again", public, false, "mcp.example.com", 9000, "https://mcp.example.com"},
		{"another than the public", public, false, "localhost", 9000, ""},
	} {
		r := httptest.NewRequestWithContext(caddyVars(listener(step.port)), "POST", "/mcp", nil)
		r.Host = step.host
		if step.tls {
			r.TLS = new(tls.ConnectionState)
		}
		got, err := step.o.of(r)
		if got != step.want || (err == nil) != (step.want != "") {
			t.Errorf("%s: %q, %v, want %q", step.name, got, err, step.want)
		}
	}
}

// caddyVars returns a context as Caddy's server makes it.
func caddyVars(ctx context.Context) context.Context {
	return context.WithValue(ctx, caddyhttp.VarsCtxKey, map[string]any{})
}
