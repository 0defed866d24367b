package altermcp

import (
	"fmt"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// Registration limits RFC 7591 registration of clients.
type Registration struct {
	// No client can register.
	Off bool `json:"off,omitempty"`
	// How many registrations one address may make at once; an IPv6 address
	// counts as its /64. Default: 60.
	Rate int `json:"rate,omitempty"`
	// Over which time that many are allowed again. Default: 10m.
	Window caddy.Duration `json:"window,omitempty"`
	// The most clients that are kept. Default: 10000.
	MaxClients int `json:"max_clients,omitempty"`
	// After how long a client that never got a token is removed. Default: 24h.
	UnusedFor caddy.Duration `json:"unused_for,omitempty"`
	// After how long a client is removed that was used and has no living
	// authorization. Default: 400d.
	IdleFor caddy.Duration `json:"idle_for,omitempty"`
}

// ClientDocuments limits client ID metadata documents.
type ClientDocuments struct {
	// No such client is accepted.
	Off bool `json:"off,omitempty"`
	// Only documents of these hosts: names, or `*.example.com` for all below
	// one. Default: any public host.
	Hosts []string `json:"hosts,omitempty"`
}

// check refuses hosts that no document could have.
func (c *ClientDocuments) check() error {
	for _, host := range c.Hosts {
		if !isDomain(strings.TrimPrefix(host, "*.")) || strings.Contains(host, ":") || !strings.Contains(host, ".") {
			return fmt.Errorf("client_documents %q: want off alone, host names, or *.example.com for all below one", host)
		}
	}
	return nil
}

// Lifetimes of an endpoint; zero means the default.
type Lifetimes struct {
	// Of an access token. At most 24h. Default: 1h.
	AccessToken caddy.Duration `json:"access_token,omitempty"`
	// Of an authorization code. At most 10m. Default: 60s.
	Code caddy.Duration `json:"code,omitempty"`
	// How long a person may take to log in. At most 1h. Default: 10m.
	Login caddy.Duration `json:"login,omitempty"`
	// Of a login in a browser without use. At most 400d. Default: 7d.
	Session caddy.Duration `json:"session,omitempty"`
	// Of a refresh token without use. At most 400d. Default: 90d.
	Refresh caddy.Duration `json:"refresh,omitempty"`
	// How long the predecessor of a refresh token still gives the same
	// successor, for clients that lost the answer. At most 60s; 0 is off.
	// Default: 30s.
	RefreshGrace *caddy.Duration `json:"refresh_grace,omitempty"`
	// Of a link to connect an account. At most 1h. Default: 15m.
	ConnectLink caddy.Duration `json:"connect_link,omitempty"`
	// Of an MCP session of the handshake revisions. At most 30d. Default: 7d.
	MCPSession caddy.Duration `json:"mcp_session,omitempty"`
	// How long verified tokens are accepted while the store does not answer.
	// At most 1h. Default: 5m.
	MaxStaleness caddy.Duration `json:"max_staleness,omitempty"`
}

// Limits of requests; zero means the default.
type Limits struct {
	// The most bytes of an MCP request. At most 64MiB. Default: 4MiB.
	Body int64 `json:"body,omitempty"`
	// How deep an MCP request may nest. At most 1000. Default: 64.
	Nesting int `json:"nesting,omitempty"`
	// The most messages of a batch, which only revision 2025-03-26 knows. At
	// most 1000. Default: 32.
	Batch int `json:"batch,omitempty"`
	// The most tools in one answer of tools/list. At most 10000. Default: 200.
	Page int `json:"page,omitempty"`
	// The most MCP requests of one person that are served at once; more get
	// 429. At most 10000. Default: 64.
	Requests int `json:"requests,omitempty"`
}

// checkBounds checks lifetimes and limits that no other package checks.
func (h *Handler) checkBounds() error {
	if h.ClientDocuments != nil {
		if err := h.ClientDocuments.check(); err != nil {
			return err
		}
	}
	if l := h.Lifetimes; l != nil {
		for name, b := range map[string]struct{ value, most time.Duration }{
			"connect_link":  {time.Duration(l.ConnectLink), time.Hour},
			"mcp_session":   {time.Duration(l.MCPSession), 30 * 24 * time.Hour},
			"access_token":  {time.Duration(l.AccessToken), 24 * time.Hour},
			"code":          {time.Duration(l.Code), 10 * time.Minute},
			"login":         {time.Duration(l.Login), time.Hour},
			"session":       {time.Duration(l.Session), 400 * 24 * time.Hour},
			"refresh":       {time.Duration(l.Refresh), 400 * 24 * time.Hour},
			"max_staleness": {time.Duration(l.MaxStaleness), time.Hour},
		} {
			if b.value < 0 || b.value > b.most {
				return fmt.Errorf("lifetimes: %s %v: want more than 0 and at most %v", name, b.value, b.most)
			}
		}
		if g := l.RefreshGrace; g != nil && (*g < 0 || time.Duration(*g) > time.Minute) {
			return fmt.Errorf("lifetimes: refresh_grace %v: want 0 to 60s", time.Duration(*g))
		}
	}
	if l := h.Limits; l != nil {
		for name, b := range map[string]struct{ value, most int64 }{
			"body": {l.Body, 64 << 20}, "nesting": {int64(l.Nesting), 1000},
			"batch": {int64(l.Batch), 1000}, "page": {int64(l.Page), 10_000},
			"requests": {int64(l.Requests), 10_000},
		} {
			if b.value < 0 || b.value > b.most {
				return fmt.Errorf("limits: %s %d: want more than 0 and at most %d", name, b.value, b.most)
			}
		}
	}
	return nil
}
