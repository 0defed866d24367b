package demo

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestFromLoopback(t *testing.T) {
	for name, c := range map[string]struct {
		peer, host string
		status     int
	}{
		"IPv4":                  {"127.0.0.1:5000", "localhost:8001", http.StatusOK},
		"IPv6":                  {"[::1]:5000", "[::1]:8001", http.StatusOK},
		"IPv4 in IPv6":          {"[::ffff:127.0.0.1]:5000", "127.0.0.1", http.StatusOK},
		"other machine":         {"192.0.2.1:5000", "localhost:8001", http.StatusForbidden},
		"no address":            {"@", "localhost:8001", http.StatusForbidden},
		"other name":            {"127.0.0.1:5000", "evil.example:8001", http.StatusMisdirectedRequest},
		"name below localhost":  {"127.0.0.1:5000", "localhost.evil.example", http.StatusMisdirectedRequest},
		"address elsewhere":     {"127.0.0.1:5000", "192.0.2.1", http.StatusMisdirectedRequest},
		"no name":               {"127.0.0.1:5000", "", http.StatusMisdirectedRequest},
		"name that is not one":  {"127.0.0.1:5000", "localhost:x", http.StatusMisdirectedRequest},
		"user before the name":  {"127.0.0.1:5000", "evil@localhost@x", http.StatusMisdirectedRequest},
		"unspecified address":   {"127.0.0.1:5000", "0.0.0.0:8001", http.StatusMisdirectedRequest},
		"loopback with a zone":  {"127.0.0.1:5000", "[::1%25lo]", http.StatusMisdirectedRequest},
		"all of 127 is a peer":  {"127.9.9.9:5000", "127.0.0.2", http.StatusOK},
		"link-local other peer": {"[fe80::1%eth0]:5000", "localhost", http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/authorize", nil)
			r.RemoteAddr, r.Host = c.peer, c.host
			w := httptest.NewRecorder()
			if ok := fromLoopback(w, r); ok != (c.status == http.StatusOK) || w.Code != c.status {
				t.Errorf("let through: %v, status %d, want %d", ok, w.Code, c.status)
			}
		})
	}
}

func TestLoopbackURL(t *testing.T) {
	for text, target := range map[string]string{ // target is empty for a refused one
		"http://localhost:8000/cb?a=b": "http://localhost:8000",
		"http://127.0.0.1/cb":          "http://127.0.0.1",
		"http://[::1]:8000/cb":         "http:",
		"https://localhost/cb":         "https://localhost",
		"http://localhost/cb#":         "",
		"http://a@localhost/cb":        "",
		"http://localhost.example/cb":  "",
		"https://mcp.localhost:1/cb":   "https://mcp.localhost:1",
		"http://mylocalhost/cb":        "",
		"http://localhost;x/cb":        "",
		"//localhost/cb":               "",
		"localhost":                    "",
		"":                             "",
	} {
		u, ok := loopbackURL(text)
		if ok != (target != "") {
			t.Errorf("%q is accepted: %v", text, ok)
			continue
		}
		if ok && formTarget(u) != target {
			t.Errorf("%q has the form target %q, want %q", text, formTarget(u), target)
		}
	}
}
