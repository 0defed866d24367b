package local

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// renewTimeout bounds a renewal: the token endpoint, and writes before and after.
const renewTimeout = 30 * time.Second

// renew gets a new access token for a grant. Calls at the same time share one
// flight, which goes on when the caller that began it gives up: the provider may
// have rotated the refresh token by then.
func (v *Vault) renew(ctx context.Context, p *vaultclient.Provider, g *Grant) (*Grant, error) {
	key := strconv.Quote(g.UserID) + strconv.Quote(g.Provider) + strconv.Quote(g.Label)
	flight := v.renewal.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), renewTimeout)
		defer cancel()
		return v.renewAlone(ctx, p, g)
	})
	select {
	case res := <-flight:
		if res.Err != nil {
			return nil, res.Err
		}
		return res.Val.(*Grant), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// renewAlone renews a grant unless that was done since g was read. What the
// provider gave is stored before anybody uses it.
func (v *Vault) renewAlone(ctx context.Context, p *vaultclient.Provider, g *Grant) (*Grant, error) {
	newest, err := v.cfg.Store.Grant(ctx, g.UserID, g.Provider, g.Label)
	if errors.Is(err, ErrNotFound) || err == nil && newest.Dead {
		return nil, connectFirst(requestOf(g), nil)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: reading a grant: %w", vaultclient.ErrUnavailable, err)
	}
	if newest.Version != g.Version {
		return newest, nil
	}
	tokens, err := p.Refresh(ctx, v.cfg.HTTP, newest.RefreshToken)
	if vaultclient.IsDead(err) {
		return nil, v.bury(ctx, newest, err)
	}
	if err != nil {
		return nil, fmt.Errorf("renewing a grant: %w", err)
	}
	newest.take(tokens, v.cfg.Now())
	if err := v.cfg.Store.PutGrant(ctx, newest); err != nil {
		if errors.Is(err, ErrConflict) { // connected anew, or renewed by another node
			return v.cfg.Store.Grant(ctx, g.UserID, g.Provider, g.Label)
		}
		return nil, fmt.Errorf("%w: storing a renewed grant: %w", vaultclient.ErrUnavailable, err)
	}
	v.log.Debug("grant renewed", zap.String("provider", p.Name), zap.String("user", g.UserID))
	return newest, nil
}

// bury marks a grant that the provider will not renew. Its tokens are erased.
func (v *Vault) bury(ctx context.Context, g *Grant, cause error) error {
	v.log.Info("grant is dead", zap.String("provider", g.Provider), zap.String("user", g.UserID), zap.Error(cause))
	g.Dead, g.UpdatedAt = true, v.cfg.Now()
	g.AccessToken, g.RefreshToken = vaultclient.Secret{}, vaultclient.Secret{}
	if err := v.cfg.Store.PutGrant(ctx, g); err != nil && !errors.Is(err, ErrConflict) {
		return fmt.Errorf("%w: storing a dead grant: %w", vaultclient.ErrUnavailable, err)
	}
	return connectFirst(requestOf(g), cause)
}

// take puts new tokens into a grant. A provider that gives no new refresh token
// means the old one to go on.
func (g *Grant) take(t *vaultclient.Tokens, now time.Time) {
	g.AccessToken = t.AccessToken
	if !t.RefreshToken.IsZero() {
		g.RefreshToken = t.RefreshToken
	}
	g.Expiry = time.Time{}
	if t.ExpiresIn > 0 {
		g.Expiry = now.Add(t.ExpiresIn)
	}
	if t.Scopes != nil {
		g.Scopes = t.Scopes
	}
	g.Dead, g.UpdatedAt = false, now
}

func requestOf(g *Grant) vaultclient.Request {
	return vaultclient.Request{UserID: g.UserID, Provider: g.Provider, Label: g.Label}
}
