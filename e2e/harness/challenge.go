package harness

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"testing"
)

// challengeProxy starts a proxy that gets the http-01 challenges of a host (RFC
// 8555 section 8.3) from a port of loopback, and nothing else. An authority asks
// port 80, which a test cannot have.
func challengeProxy(t testing.TB, host string, port int) string {
	t.Helper()
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Host = fmt.Sprintf("127.0.0.1:%d", port)
		r.Out.Host = host
	}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Hostname() != host || !strings.HasPrefix(r.URL.Path, "/.well-known/acme-challenge/") {
			http.Error(w, "not forwarded", http.StatusForbidden)
			return
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}
