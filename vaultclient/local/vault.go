// Package local is the embedded vault: people connect their accounts on pages
// of this server, and the grants are kept sealed in its own store.
//
// It owns the connect flow towards providers and the renewal of grants. Who is
// logged in in a browser it is told; it does not know MCP, the authorization
// server's protocol, or Caddy.
package local

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/connect"
)

// Config configures a [Vault]. Zero values mean the documented default.
type Config struct {
	// Endpoint returns the canonical URL of the MCP endpoint for r. The vault's
	// pages lie below it: /connect, /connect/callback and /account. Required.
	Endpoint func(r *http.Request) string
	// Providers by name.
	Providers map[string]*vaultclient.Provider
	// Store keeps the grants. Required.
	Store Store
	// Sealer protects what travels through browsers. Required.
	Sealer connect.Sealer
	// Browser tells who is logged in. Required.
	Browser connect.Browser
	// Pages renders what people see. Required.
	Pages connect.Pages
	// HTTP sends requests to token endpoints. Required.
	HTTP http.RoundTripper

	// Renewals is shared by the vaults that use one store, so that a grant is
	// renewed once for all of them. nil means one of its own.
	Renewals *Renewals

	// LinkLifetime of a link to connect: at most 1 h. Default 15 min.
	LinkLifetime time.Duration
	// AttemptLifetime is how long a person may take at the provider. Default
	// 10 min.
	AttemptLifetime time.Duration
	// RefreshAhead is how long before its end an access token is renewed, at
	// most a tenth of its life. Default 1 min.
	RefreshAhead time.Duration

	// Record is told of each [Event]. It must not block. Optional.
	Record func(Event)
	// Logger; nil means none.
	Logger *zap.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Vault is the embedded vault of one endpoint. It is safe for concurrent use.
type Vault struct {
	// The pages: ServeConnect, ServeCallback and ServeAccount.
	*connect.Handler

	cfg Config
	log *zap.Logger
	// known is what each call needs of a provider, by its name.
	known map[string]known
}

// known is what follows from a provider's settings.
type known struct {
	client string   // [vaultclient.Provider.Client]
	scopes []string // its own, by their full names
}

var _ vaultclient.Vault = (*Vault)(nil)

// New returns a vault, or an error that names the setting that is missing or out
// of bounds.
func New(cfg Config) (*Vault, error) {
	if cfg.Store == nil {
		return nil, errors.New("local vault: Store is required")
	}
	if cfg.HTTP == nil {
		return nil, errors.New("local vault: HTTP is required")
	}
	if cfg.RefreshAhead == 0 {
		cfg.RefreshAhead = time.Minute
	}
	if cfg.RefreshAhead < 0 || cfg.RefreshAhead > time.Hour {
		return nil, fmt.Errorf("local vault: refresh ahead %v: want more than 0 and at most 1h", cfg.RefreshAhead)
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Renewals == nil {
		cfg.Renewals = new(Renewals)
	}
	v := &Vault{cfg: cfg, log: cfg.Logger, known: make(map[string]known)}
	for name, p := range cfg.Providers {
		v.known[name] = known{client: p.Client(), scopes: p.AllScopes(nil)}
	}
	var err error
	v.Handler, err = connect.New(connect.Config{
		Name: "local vault", Endpoint: cfg.Endpoint, Grants: grants{v}, Sealer: cfg.Sealer, Browser: cfg.Browser,
		Pages: cfg.Pages, Once: cfg.Store, LinkLifetime: cfg.LinkLifetime, AttemptLifetime: cfg.AttemptLifetime,
		Logger: cfg.Logger, Now: cfg.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("local vault: %w", err)
	}
	return v, nil
}

// ConnectURL returns the page of the endpoint where the person of req connects
// an account, or widens what was granted. It works for that person alone, until
// LinkLifetime is over.
func (v *Vault) ConnectURL(endpoint string, req vaultclient.Request) (string, error) {
	return v.URL(endpoint, &connect.Link{UserID: req.UserID, Provider: req.Provider, Label: req.Label, Scopes: req.Scopes})
}

// Credential implements [vaultclient.Vault].
func (v *Vault) Credential(ctx context.Context, req vaultclient.Request) (*vaultclient.Credential, error) {
	if g := v.recent(ctx, req); g != nil {
		return credentialOf(g), nil
	}
	p, g, err := v.grant(ctx, req)
	if err != nil {
		return nil, err
	}
	if missing := p.Missing(g.Scopes, v.needed(p, req)); len(missing) > 0 {
		return nil, &vaultclient.ConnectError{
			Provider: req.Provider, Reason: vaultclient.ReasonScopesMissing, Missing: missing,
		}
	}
	left := g.Expiry.Sub(v.cfg.Now())
	if g.Expiry.IsZero() || left > v.ahead(g) {
		return credentialOf(g), nil
	}
	if g.RefreshToken.IsZero() {
		if left > 0 {
			return credentialOf(g), nil
		}
		return nil, connectFirst(req, errors.New("the access token has ended and there is no refresh token"))
	}
	renewed, err := v.renew(ctx, p, g)
	if errors.Is(err, vaultclient.ErrUnavailable) && left > 0 {
		v.log.Warn("a grant could not be renewed ahead of its end", zap.String("provider", p.Name), zap.Error(err))
		return credentialOf(g), nil
	}
	if err != nil {
		return nil, err
	}
	return credentialOf(renewed), nil
}

// Renew implements [vaultclient.Vault].
func (v *Vault) Renew(ctx context.Context, req vaultclient.Request, refused *vaultclient.Credential) (*vaultclient.Credential, error) {
	p, g, err := v.grant(ctx, req)
	if err != nil {
		return nil, err
	}
	if g.Version != refused.Version {
		return credentialOf(g), nil // somebody else renewed it meanwhile
	}
	if g.RefreshToken.IsZero() {
		return nil, connectFirst(req, errors.New("the provider refused the access token and there is no refresh token"))
	}
	renewed, err := v.renew(ctx, p, g)
	if err != nil {
		return nil, err
	}
	return credentialOf(renewed), nil
}

// ahead is how long before its end g is renewed. The bound by its life keeps
// every call from renewing a token that is short-lived.
func (v *Vault) ahead(g *Grant) time.Duration {
	const part = 10
	return max(0, min(v.cfg.RefreshAhead, g.Expiry.Sub(g.UpdatedAt)/part))
}

// recent returns a grant as the store read it a moment ago, if nothing is to be
// done about it. Whatever ends in a renewal or an error is read anew.
func (v *Vault) recent(ctx context.Context, req vaultclient.Request) *Grant {
	p, g, err := v.read(ctx, req, v.cfg.Store.RecentGrant)
	if err != nil || len(p.Missing(g.Scopes, v.needed(p, req))) > 0 ||
		!g.Expiry.IsZero() && g.Expiry.Sub(v.cfg.Now()) <= v.ahead(g) {
		return nil
	}
	return g
}

// needed returns the full names of all scopes that req needs.
func (v *Vault) needed(p *vaultclient.Provider, req vaultclient.Request) []string {
	if len(req.Scopes) == 0 {
		return v.known[req.Provider].scopes
	}
	return p.AllScopes(req.Scopes)
}

// grant reads a living grant and its provider.
func (v *Vault) grant(ctx context.Context, req vaultclient.Request) (*vaultclient.Provider, *Grant, error) {
	return v.read(ctx, req, v.cfg.Store.Grant)
}

// readGrant is a way to read a grant of a [Store].
type readGrant func(ctx context.Context, userID, provider, label string) (*Grant, error)

func (v *Vault) read(ctx context.Context, req vaultclient.Request, read readGrant) (*vaultclient.Provider, *Grant, error) {
	p := v.cfg.Providers[req.Provider]
	if p == nil {
		return nil, nil, fmt.Errorf("provider %q is not configured", req.Provider)
	}
	g, err := read(ctx, req.UserID, req.Provider, req.Label)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, nil, connectFirst(req, nil)
	case err != nil:
		return nil, nil, fmt.Errorf("%w: reading a grant: %w", vaultclient.ErrUnavailable, err)
	case g.Damaged != nil:
		v.log.Error("a stored grant cannot be read", zap.String("provider", g.Provider), zap.String("user", g.UserID), zap.Error(g.Damaged))
		return nil, nil, connectFirst(req, g.Damaged)
	case g.Dead:
		return nil, nil, connectFirst(req, errors.New("the provider ended the grant"))
	case g.Client != v.known[req.Provider].client:
		return nil, nil, connectFirst(req, errors.New("the grant was made with another provider or client of that name"))
	}
	return p, g, nil
}

func connectFirst(req vaultclient.Request, cause error) error {
	return &vaultclient.ConnectError{
		Provider: req.Provider, Reason: vaultclient.ReasonAuthorizationRequired, Cause: cause,
	}
}

func credentialOf(g *Grant) *vaultclient.Credential {
	return &vaultclient.Credential{Token: g.AccessToken, Expiry: g.Expiry, Version: g.Version}
}
