package local

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/internal/web"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// revokeTimeout is how long a person waits for a provider when they disconnect.
const revokeTimeout = 5 * time.Second

// Connections implements [connect.Grants]: what is connected, then what can be.
func (v grants) Connections(ctx context.Context, userID string, may func(provider string) bool) ([]web.Connection, error) {
	stored, err := v.cfg.Store.Grants(ctx, userID)
	if err != nil {
		return nil, err
	}
	var list []web.Connection
	connected := make(map[string]bool)
	for _, g := range stored {
		connected[g.Provider] = true
		c := web.Connection{
			Provider: g.Provider, Label: g.Label, Title: g.Provider, Account: g.Account,
			Scopes: g.Scopes, Since: g.CreatedAt, Dead: g.Dead,
		}
		if p := v.cfg.Providers[g.Provider]; p != nil {
			c.Title, c.Dead = p.Title, g.Dead || g.Client != p.Client()
		}
		list = append(list, c)
	}
	for _, name := range slices.Sorted(maps.Keys(v.cfg.Providers)) {
		if !connected[name] && may(name) {
			list = append(list, web.Connection{Provider: name, Title: v.cfg.Providers[name].Title})
		}
	}
	return list, nil
}

// Disconnect implements [connect.Grants]: it removes a grant, here and, as far as
// it can be done, at the provider.
func (v grants) Disconnect(ctx context.Context, userID, provider, label string) error {
	g, err := v.remove(ctx, userID, provider, label)
	if err != nil || g == nil {
		return err
	}
	v.log.Info("account disconnected", zap.String("provider", provider), zap.String("user", userID))
	v.revokeAt(ctx, g)
	return nil
}

// remove removes a grant from the store and returns what was removed; nil if there
// is none. A renewal that comes first is removed instead: what is revoked must be
// what the provider gave last.
func (v grants) remove(ctx context.Context, userID, provider, label string) (*Grant, error) {
	for {
		g, err := v.cfg.Store.Grant(ctx, userID, provider, label)
		if errors.Is(err, ErrNotFound) {
			return nil, nil
		}
		if err == nil {
			err = v.cfg.Store.DeleteGrant(ctx, g)
		}
		if !errors.Is(err, ErrConflict) {
			return g, err
		}
	}
}

// revokeAt tells the provider that the grant is given up. Here it is gone
// already, so a failure is only logged.
func (v *Vault) revokeAt(ctx context.Context, g *Grant) {
	p := v.cfg.Providers[g.Provider]
	if p == nil || g.Dead || g.Client != p.Client() {
		return
	}
	access := g.AccessToken
	if !g.Expiry.IsZero() && !v.cfg.Now().Before(g.Expiry) {
		access = vaultclient.Secret{}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeTimeout)
	defer cancel()
	if err := p.Revoke(ctx, v.cfg.HTTP, access, g.RefreshToken); err != nil {
		v.log.Warn("a grant could not be revoked at its provider", zap.String("provider", p.Name), zap.Error(err))
	}
}
