// Package demo is Postbox, a made-up mail service for the demo: a small OAuth
// 2.0 provider, the API of its inboxes, and the Caddy module that serves both on
// loopback. It has mailboxes instead of people to log in, and must therefore
// never be reachable from elsewhere. It knows nothing of the rest of the module.
package demo

import (
	"encoding/json"
	"html/template"
	"net/http"
	"time"
)

const (
	defaultTokenLifetime = 300 * time.Second
	maxForm              = 64 << 10 // bytes
)

// The scopes of Postbox. A request that names none gets scopeProfile.
const (
	scopeMessages = "messages.read"
	scopeProfile  = "profile"
)

// Options set up a [Provider].
type Options struct {
	// ClientID and ClientSecret are those of the one client. An empty secret
	// fits no request.
	ClientID, ClientSecret string
	// TokenLifetime is that of an access token, in whole seconds.
	// Default: 300 s.
	TokenLifetime time.Duration
	// Now is the clock. Default: [time.Now].
	Now func() time.Time
}

// Provider is an [http.Handler] that serves Postbox: /authorize, /token,
// /revoke, /api/messages and /api/profile. Its state is in memory.
type Provider struct {
	opts   Options
	grants *grants
	page   *template.Template
	mux    *http.ServeMux
	cross  *http.CrossOriginProtection
}

// NewProvider returns a provider without any grants.
func NewProvider(o Options) *Provider {
	if o.TokenLifetime < time.Second {
		o.TokenLifetime = defaultTokenLifetime
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	p := &Provider{
		opts: o, grants: newGrants(o.Now, o.TokenLifetime), page: template.Must(template.New("").Parse(pageHTML)),
		mux: http.NewServeMux(), cross: http.NewCrossOriginProtection(),
	}
	p.mux.HandleFunc("GET /authorize", p.showAuthorize)
	p.mux.HandleFunc("POST /authorize", p.decideAuthorize)
	p.mux.HandleFunc("GET /style.css", serveStylesheet)
	p.mux.HandleFunc("POST /token", p.serveToken)
	p.mux.HandleFunc("POST /revoke", p.serveRevoke)
	p.mux.HandleFunc("GET /api/messages", p.bearer(scopeMessages, p.serveMessages))
	p.mux.HandleFunc("GET /api/profile", p.bearer("", p.serveProfile))
	return p
}

// ServeHTTP implements [http.Handler].
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	p.mux.ServeHTTP(w, r)
}

// problem is an error answer (RFC 6749, section 5.2).
type problem struct {
	Code        string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // fails only when the client is gone
}
