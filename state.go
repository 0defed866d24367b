package altermcp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
	"github.com/alter-mcp/caddy-alter-mcp/store"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/local"
)

// states holds the open stores. A new configuration is started before the old
// one is cleaned up, so a store that stays configured stays open.
var states = caddy.NewUsagePool()

// sweepEvery is how often rows past their end are removed.
const sweepEvery = 10 * time.Minute

// state is an open store with the key that it is sealed by.
type state struct {
	dsn    string
	db     *store.DB
	sealer *sealer
	keyed  bool // the key is a configured one
	// renewals is shared by the vaults of all endpoints and configurations.
	renewals local.Renewals
	// identityRenewals is shared by their authorization servers.
	identityRenewals authserver.IdentityRenewals
	stop             context.CancelFunc
	kept             chan struct{} // closed when keepUp has ended
}

// storeModule is a guest of http.alter_mcp.stores: where rows are kept.
type storeModule interface {
	// dsn names the store: two endpoints with the same one share it.
	dsn() string
	// isShared reports whether other nodes may use it at the same time: then its
	// key cannot be one that this node makes.
	isShared() bool
	// exists reports whether there is data already, which a new key could not
	// open.
	exists() (bool, error)
	// open opens it, making it if need be.
	open(ctx context.Context, o store.Options) (*store.DB, error)
}

// joinState returns the open store of a module, opening it if no endpoint has.
// keys are the configured encryption keys, none for the one in Caddy's storage.
func joinState(ctx caddy.Context, m storeModule, keys [][]byte, log *zap.Logger) (*state, error) {
	value, _, err := states.LoadOrNew(m.dsn(), func() (caddy.Destructor, error) {
		return openState(ctx, m, keys, log)
	})
	if err != nil {
		return nil, err
	}
	st := value.(*state)
	if len(keys) == 0 {
		if st.keyed {
			err := errors.New("encryption_key is missing: another endpoint, or the running configuration, has one for the same store")
			return nil, errors.Join(err, st.leave())
		}
		return st, nil
	}
	given, err := newSealer(keys...)
	if err == nil && given.fingerprint != st.sealer.fingerprint {
		err = errors.New("encryption_key differs from that of another endpoint, or of the running configuration, with the same store; a new key takes a restart, with the old one after it")
	}
	if err != nil {
		return nil, errors.Join(err, st.leave())
	}
	return st, nil
}

func openState(ctx caddy.Context, m storeModule, keys [][]byte, log *zap.Logger) (*state, error) {
	keyed := len(keys) > 0
	if !keyed {
		exists, err := m.exists()
		if err != nil {
			return nil, err
		}
		key, err := storedKey(ctx, ctx.Storage(), exists)
		if err != nil {
			return nil, err
		}
		keys = [][]byte{key}
	}
	s, err := newSealer(keys...)
	if err != nil {
		return nil, err
	}
	// The state outlives the configuration that opened it.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	db, err := m.open(background, store.Options{Sealer: s, Fingerprint: s.fingerprint, Older: s.older, Logger: log})
	if err != nil {
		stop()
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	st := &state{dsn: m.dsn(), db: db, sealer: s, keyed: keyed, stop: stop, kept: make(chan struct{})}
	go st.keepUp(background, log)
	return st, nil
}

// keepUp seals by a new key what is sealed by older ones, and removes rows past
// their end, until the state ends.
func (st *state) keepUp(ctx context.Context, log *zap.Logger) {
	defer close(st.kept)
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	st.reseal(ctx, log)
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if err := st.db.Sweep(ctx, now); err != nil && ctx.Err() == nil {
				log.Warn("sweeping the store failed", zap.Error(err))
			}
			st.reseal(ctx, log) // which may have failed
		}
	}
}

// reseal does nothing when it has succeeded before.
func (st *state) reseal(ctx context.Context, log *zap.Logger) {
	if err := st.db.Reseal(ctx); err != nil && ctx.Err() == nil {
		log.Warn("sealing the store by the current encryption key failed", zap.Error(err))
	}
}

// leave gives up one use of the state.
func (st *state) leave() error {
	_, err := states.Delete(st.dsn)
	return err
}

// Destruct implements caddy.Destructor: the last endpoint is gone.
func (st *state) Destruct() error {
	st.stop()
	<-st.kept
	st.renewals.Wait()
	st.identityRenewals.Wait()
	return st.db.Close()
}
