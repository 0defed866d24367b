package authserver

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

// Security REG-06, REG-08, REG-22.
func TestCheckRedirectURI(t *testing.T) {
	for uri, ok := range map[string]bool{
		// what real clients register
		"http://localhost:33418/callback":                 true,
		"http://127.0.0.1/":                               true,
		"http://127.0.0.1:33418/":                         true,
		"http://[::1]:8080/callback":                      true,
		"https://claude.ai/api/mcp/auth_callback":         true,
		"https://vscode.dev/redirect":                     true,
		"cursor://anysphere.cursor-mcp/oauth/callback":    true,
		"com.example.app:/oauth":                          true,
		"vscode://vscode.github-authentication/did-auth":  true,
		"https://example.com:8443/cb?tenant=1":            true,
		"http://127.0.0.1:6276/oauth/callback":            true,
		"https://chatgpt.com/connector/oauth/abcDEF_123-": true,
		// unsafe or not absolute
		"":                                     false,
		"/callback":                            false,
		"//example.com/cb":                     false,
		"example.com/cb":                       false,
		"http://example.com/cb":                false,
		"http://localhost.example.com/cb":      false,
		"http://127.0.0.1.example.com/cb":      false,
		"http://0.0.0.0/cb":                    false,
		"http://10.0.0.1/cb":                   false,
		"http:///cb":                           false,
		"https:///cb":                          false,
		"https:example.com":                    false,
		"https://example.com/cb#frag":          false,
		"https://example.com/cb#":              false,
		"https://user@example.com/cb":          false,
		"https://user:pass@example.com/cb":     false,
		"https://example.com@evil.example/cb":  false,
		"https://*.example.com/cb":             false,
		"https://example.com/*":                false,
		"http://localhost:*/cb":                false,
		"https://example.com:/cb":              false,
		"http://localhost:0/cb":                false,
		"http://localhost:00/cb":               false,
		"http://localhost:65536/cb":            false,
		"https://example.com:080/cb":           false,
		"https://example.com\\@evil.example/":  false,
		"https://example.com/a b":              false,
		"https://example.com/\r\nX: y":         false,
		"https://exämple.com/cb":               false,
		"javascript:alert(1)":                  false,
		"JavaScript:alert(1)":                  false,
		"data:text/html,x":                     false,
		"file:///etc/passwd":                   false,
		"vbscript:x":                           false,
		"blob:https://example.com/x":           false,
		"about:blank":                          false,
		"urn:ietf:wg:oauth:2.0:oob":            false,
		"mailto:a@example.com":                 false,
		"intent://x#Intent;end":                false,
		"view-source:https://example.com":      false,
		"myapp:":                               false,
		"myapp://":                             false,
		"https://" + strings.Repeat("a", 2048): false,
	} {
		t.Run(uri, func(t *testing.T) {
			err := checkRedirectURI(uri)
			if (err == nil) != ok || err != nil && !errors.Is(err, ErrInvalidRedirectURI) {
				t.Errorf("checkRedirectURI(%q) = %v, want ok=%v", uri, err, ok)
			}
		})
	}
}

// Security AUTHZ-05 to AUTHZ-08.
func TestMatchRedirectURI(t *testing.T) {
	for name, tc := range map[string]struct {
		registered, requested string
		want                  bool
	}{
		"the same":                      {"https://a.example/cb", "https://a.example/cb", true},
		"other port on loopback":        {"http://127.0.0.1:1234/cb", "http://127.0.0.1:9999/cb", true},
		"loopback without port":         {"http://localhost/callback", "http://localhost:50505/callback", true},
		"port dropped on loopback":      {"http://[::1]:1/cb", "http://[::1]/cb", true},
		"private scheme the same":       {"app.example:/cb", "app.example:/cb", true},
		"localhost is not 127.0.0.1":    {"http://localhost/cb", "http://127.0.0.1/cb", false},
		"other port on https":           {"https://a.example/cb", "https://a.example:8443/cb", false},
		"other port on https localhost": {"https://localhost:1/cb", "https://localhost:2/cb", false},
		"path below":                    {"https://a.example/cb", "https://a.example/cb/x", false},
		"trailing slash":                {"https://a.example/cb", "https://a.example/cb/", false},
		"other path on loopback":        {"http://127.0.0.1:1/cb", "http://127.0.0.1:1/evil", false},
		"added query":                   {"https://a.example/cb", "https://a.example/cb?x=1", false},
		"added query on loopback":       {"http://127.0.0.1/cb", "http://127.0.0.1:1/cb?x=1", false},
		"fragment":                      {"https://a.example/cb", "https://a.example/cb#x", false},
		"fragment on loopback":          {"http://127.0.0.1/cb", "http://127.0.0.1:1/cb#x", false},
		"letter case of path":           {"https://a.example/cb", "https://a.example/CB", false},
		"letter case of host":           {"https://a.example/cb", "https://A.example/cb", false},
		"encoded":                       {"https://a.example/cb", "https://a.example/%63b", false},
		"subdomain":                     {"https://a.example/cb", "https://b.a.example/cb", false},
		"userinfo on loopback":          {"http://127.0.0.1/cb", "http://127.0.0.1:1@evil.example/cb", false},
		"suffix of host":                {"http://localhost/cb", "http://localhost.evil.example/cb", false},
		"dot segments":                  {"http://localhost/cb", "http://localhost:1/x/../cb", false},
		"http for https":                {"https://localhost/cb", "http://localhost/cb", false},
		"empty":                         {"https://a.example/cb", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := matchRedirectURI(tc.registered, tc.requested); got != tc.want {
				t.Errorf("matchRedirectURI(%q, %q) = %v, want %v", tc.registered, tc.requested, got, tc.want)
			}
		})
	}
}

// FuzzMatchRedirectURI: what matches differs in nothing but a loopback port.
func FuzzMatchRedirectURI(f *testing.F) {
	f.Add("http://127.0.0.1:1234/cb", "http://127.0.0.1:9999/cb")
	f.Add("http://localhost/cb", "http://localhost:1@evil.example/cb")
	f.Add("https://a.example/cb", "https://a.example/cb#x")
	f.Add("cursor://x/cb", "cursor://x/cb")
	f.Fuzz(func(t *testing.T, registered, requested string) {
		if checkRedirectURI(registered) != nil || !matchRedirectURI(registered, requested) || registered == requested {
			return
		}
		a, errA := url.Parse(registered)
		b, errB := url.Parse(requested)
		if errA != nil || errB != nil {
			t.Fatalf("%q matched %q and one does not parse", requested, registered)
		}
		if b.Scheme != "http" || !isLoopback(b.Hostname()) || a.Hostname() != b.Hostname() ||
			a.EscapedPath() != b.EscapedPath() || a.RawQuery != b.RawQuery || b.Fragment != "" || b.User != nil {
			t.Fatalf("%q matched %q", requested, registered)
		}
	})
}
