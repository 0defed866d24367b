// Package bearerproxy stands between a client that knows no authorization, such
// as the official conformance suite, and a protected server: a reverse proxy on
// loopback that adds a bearer token and changes nothing else, neither Host nor
// Origin.
package bearerproxy

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"time"
)

// Proxy passes requests on. Close it after use.
type Proxy struct {
	// URL is the origin of the proxy, such as http://localhost:1234, without a
	// slash at its end. To the server it is a public address of its own.
	URL string

	token  atomic.Pointer[string]
	server *http.Server
}

// New starts a proxy on a free port of loopback. Target is the origin of the
// server, which need not run yet: until then the answer is 502.
func New(target string) (*Proxy, error) {
	to, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("parsing the address of the server: %w", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	p := &Proxy{URL: fmt.Sprintf("http://localhost:%d", ln.Addr().(*net.TCPAddr).Port)}
	p.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { p.rewrite(r, to) },
		FlushInterval: -1, // event streams
		// Without this, a proxy of the environment would be asked.
		Transport: &http.Transport{ResponseHeaderTimeout: time.Minute},
		// The request fails, which is what its client has to tell.
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}}
	go p.server.Serve(ln) //nolint:errcheck // it ends with Close
	return p, nil
}

// SetToken begins to add a token to requests that have none of their own. It may
// be called while requests are on their way.
func (p *Proxy) SetToken(token string) { p.token.Store(&token) }

// Close ends the proxy and all connections.
func (p *Proxy) Close() { _ = p.server.Close() }

func (p *Proxy) rewrite(r *httputil.ProxyRequest, to *url.URL) {
	r.SetURL(to)
	r.Out.Host = r.In.Host
	if token := p.token.Load(); token != nil && r.Out.Header.Get("Authorization") == "" {
		r.Out.Header.Set("Authorization", "Bearer "+*token)
	}
}
