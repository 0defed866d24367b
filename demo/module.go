package demo

import (
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	caddy.RegisterModule(Handler{})
	httpcaddyfile.RegisterHandlerDirective("alter_mcp_demo_provider", parseDirective)
	httpcaddyfile.RegisterDirectiveOrder("alter_mcp_demo_provider", httpcaddyfile.Before, "invoke")
}

// providers holds the providers in use: what people allowed survives a reload.
var providers = caddy.NewUsagePool()

// Handler serves Postbox, a made-up mail service with an OAuth 2.0 provider. It
// asks nobody for a password, and so answers only requests from this machine
// (others get 403) under a loopback host name (others get 421). It answers every
// path. For demos and tests alone.
type Handler struct {
	// The one client that Postbox knows; placeholders are allowed. Required.
	ClientID string `json:"client_id,omitempty"`
	// The client's secret; placeholders are allowed. Required.
	ClientSecret string `json:"client_secret,omitempty"`
	// How long an access token is good for, at least 1s. Default: 5m
	TokenLifetime caddy.Duration `json:"token_lifetime,omitempty"`

	key      *providerKey // nil until the provider is joined
	provider *Provider
}

// providerKey is all that makes one provider different from another.
type providerKey struct {
	clientID, clientSecret string
	lifetime               time.Duration
}

// pooled makes a provider a member of the pool.
type pooled struct{ provider *Provider }

// Destruct implements caddy.Destructor. Memory needs no closing.
func (pooled) Destruct() error { return nil }

// CaddyModule implements caddy.Module.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.alter_mcp_demo_provider",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision joins the provider of these settings.
func (h *Handler) Provision(caddy.Context) error {
	if h.TokenLifetime != 0 && time.Duration(h.TokenLifetime) < time.Second {
		return fmt.Errorf("token_lifetime %v: want at least 1s", time.Duration(h.TokenLifetime))
	}
	id, err := expand("client_id", h.ClientID)
	if err != nil {
		return err
	}
	secret, err := expand("client_secret", h.ClientSecret)
	if err != nil {
		return err
	}
	key := providerKey{id, secret, time.Duration(h.TokenLifetime)}
	value, _, err := providers.LoadOrNew(key, func() (caddy.Destructor, error) {
		return pooled{NewProvider(Options{ClientID: id, ClientSecret: secret, TokenLifetime: key.lifetime})}, nil
	})
	if err != nil {
		return fmt.Errorf("joining the provider: %w", err)
	}
	h.key, h.provider = &key, value.(pooled).provider
	return nil
}

// expand replaces the placeholders of a required setting.
func expand(name, value string) (string, error) {
	text, err := caddy.NewReplacer().ReplaceOrErr(value, true, true)
	if err != nil {
		return "", fmt.Errorf("expanding %s: %w", name, err)
	}
	if text == "" {
		return "", fmt.Errorf("%s is missing", name)
	}
	return text, nil
}

// Cleanup leaves the provider. It is called after a failed Provision too.
func (h *Handler) Cleanup() error {
	if h.key == nil {
		return nil
	}
	_, err := providers.Delete(*h.key)
	return err
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	if fromLoopback(w, r) {
		h.provider.ServeHTTP(w, r)
	}
	return nil
}

func parseDirective(helper httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	h := new(Handler)
	return h, h.UnmarshalCaddyfile(helper.Dispenser)
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Syntax:
//
//	alter_mcp_demo_provider [<matcher>] {
//	    client_id      <id>
//	    client_secret  <secret>
//	    token_lifetime <duration>
//	}
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // directive name
	if d.NextArg() {
		return d.Errf("alter_mcp_demo_provider takes no value, found %q", d.Val())
	}
	seen := make(map[string]bool)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		if seen[name] {
			return d.Errf("%s is already set", name)
		}
		seen[name] = true
		args := d.RemainingArgs()
		if len(args) != 1 {
			return d.Errf("%s takes one value, found %d", name, len(args))
		}
		if err := h.set(d, name, args[0]); err != nil {
			return err
		}
	}
	return nil
}

func (h *Handler) set(d *caddyfile.Dispenser, name, value string) error {
	switch name {
	case "client_id":
		h.ClientID = value
	case "client_secret":
		h.ClientSecret = value
	case "token_lifetime":
		lifetime, err := caddy.ParseDuration(value)
		if err != nil || lifetime < time.Second {
			return d.Errf("token_lifetime %q: want a duration of at least 1s, such as 5m", value)
		}
		h.TokenLifetime = caddy.Duration(lifetime)
	default:
		return d.Errf("alter_mcp_demo_provider has no setting %q; want client_id, client_secret, token_lifetime", name)
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyfile.Unmarshaler       = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
)
