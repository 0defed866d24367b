package web

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFormTargets(t *testing.T) {
	for name, c := range map[string]struct {
		target string
		good   bool
	}{
		"scheme alone":         {"https:", true},
		"private scheme":       {"com.example.app:", true},
		"loopback with a port": {"http://127.0.0.1:1234", true},
		"host":                 {"https://claude.ai", true},
		"empty":                {"", false},
		"second directive":     {"https://a.example; script-src *", false},
		"semicolon":            {"https://a.example;", false},
		"comma":                {"https://a.example,https://b.example", false},
		"blank":                {"https: http:", false},
		"keyword":              {"'unsafe-inline'", false},
		"double quote":         {`https://a"b`, false},
		"line break":           {"https://a.example\r\nX: y", false},
		"trailing line break":  {"https:\n", false},
		"wildcard":             {"*", false},
		"IPv6 address":         {"http://[::1]:80", false},
		"letters beyond ASCII": {"https://clаude.ai", false},
		"no scheme":            {"claude.ai", false},
		"scheme left out":      {":8080", false},
	} {
		t.Run(name, func(t *testing.T) {
			want := "form-action 'self';"
			if c.good {
				want = "form-action 'self' " + c.target + ";"
			}
			if got := contentPolicy([]string{c.target}); !strings.Contains(got, want) {
				t.Errorf("policy = %q, want %q in it", got, want)
			}
		})
	}
	got := formTargets([]string{"https:", "bad;", "https:", "cursor:"})
	if diff := cmp.Diff([]string{"https:", "cursor:"}, got); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
}

// Security CONS-09.
func TestSameOrigin(t *testing.T) {
	for name, c := range map[string]struct {
		endpoint, origin, site string
		want                   bool
	}{
		"own origin":                   {"https://a.example/mcp", "https://a.example", "same-origin", true},
		"own origin with a port":       {"http://localhost:8000/mcp", "http://localhost:8000", "", true},
		"default port in the endpoint": {"https://a.example:443/mcp", "https://a.example", "", true},
		"capitals in the endpoint":     {"https://A.example/mcp", "https://a.example", "", true},
		"nothing said":                 {"https://a.example/mcp", "", "", true},
		"typed by the person":          {"https://a.example/mcp", "", "none", true},
		"site alone":                   {"https://a.example/mcp", "", "same-origin", true},
		"other host":                   {"https://a.example/mcp", "https://evil.example", "", false},
		"other scheme":                 {"https://a.example/mcp", "http://a.example", "", false},
		"other port":                   {"http://localhost:8000/mcp", "http://localhost:8001", "", false},
		"subdomain":                    {"https://a.example/mcp", "https://b.a.example", "same-site", false},
		"name that continues":          {"https://a.example/mcp", "https://a.example.evil.example", "", false},
		"null":                         {"https://a.example/mcp", "null", "same-origin", false},
		"null and an empty endpoint":   {"", "null", "", false},
		"same site alone":              {"https://a.example/mcp", "", "same-site", false},
		"cross site alone":             {"https://a.example/mcp", "", "cross-site", false},
		"origin with a path":           {"https://a.example/mcp", "https://a.example/x", "", false},
		"origin with a user":           {"https://a.example/mcp", "https://a.example@evil.example", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/mcp/consent", nil)
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			if c.site != "" {
				r.Header.Set("Sec-Fetch-Site", c.site)
			}
			if got := SameOrigin(r, c.endpoint); got != c.want {
				t.Errorf("SameOrigin = %t, want %t", got, c.want)
			}
		})
	}
}

func TestSameOriginRefusesTwoOrigins(t *testing.T) {
	r := httptest.NewRequest("POST", "/mcp/consent", nil)
	r.Header["Origin"] = []string{"https://a.example", "https://evil.example"}
	if SameOrigin(r, "https://a.example/mcp") {
		t.Error("SameOrigin = true with two origins, want false")
	}
}
