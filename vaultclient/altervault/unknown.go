package altervault

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/internal/similar"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
)

// catalogueTime bounds the look into the catalogue, for which a person waits.
const catalogueTime = 10 * time.Second

// checkProvider tells the log what can be done when the vault refused something of
// a provider because the app does not know it: that is found by nobody before.
// The catalogue is asked once for each provider.
func (v *Vault) checkProvider(ctx context.Context, name string, err error) {
	if isAny(err, alter.ErrUnavailable, alter.ErrUserTokenRejected, alter.ErrStepUpRequired, alter.ErrRateLimited, alter.ErrQuotaExceeded, alter.ErrOperator) {
		return // of these the name is not the cause
	}
	if _, before := v.checked.LoadOrStore(name, true); before {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, catalogueTime)
	defer cancel()
	providers, err := v.cfg.Client.Catalogue(ctx)
	if err != nil {
		v.log.Warn("the vault refused a provider, and does not say which it has; caddy alter-mcp providers lists them, if the API key has the scope providers:read",
			zap.String("provider", name), zap.Error(err))
		return
	}
	ids := make([]string, len(providers))
	for i, p := range providers {
		ids[i] = p.ID
	}
	if !slices.Contains(ids, name) {
		v.log.Error("the vault's catalogue has no provider of this name; unless it is a managed secret, write the name as caddy alter-mcp providers lists it, or add the provider to the app",
			zap.String("provider", name), zap.Strings("similar", similar.Names(name, ids)), zap.Int("known", len(ids)))
	}
}
