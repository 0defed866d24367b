package altermcp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

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
	stop     context.CancelFunc
	swept    chan struct{}
}

// storeModule is a guest of http.alter_mcp.stores: where rows are kept.
type storeModule interface {
	// dsn names the store: two endpoints with the same one share it.
	dsn() string
	// exists reports whether there is data already, which a new key could not
	// open.
	exists() (bool, error)
	// open opens it, making it if need be.
	open(ctx context.Context, o store.Options) (*store.DB, error)
}

// joinState returns the open store of a module, opening it if no endpoint has.
// key is the configured encryption key, or nil for the one in Caddy's storage.
func joinState(ctx caddy.Context, m storeModule, key []byte, log *zap.Logger) (*state, error) {
	value, _, err := states.LoadOrNew(m.dsn(), func() (caddy.Destructor, error) {
		return openState(ctx, m, key, log)
	})
	if err != nil {
		return nil, err
	}
	st := value.(*state)
	if key == nil {
		if st.keyed {
			err := errors.New("encryption_key is missing: another endpoint, or the running configuration, has one for the same store")
			return nil, errors.Join(err, st.leave())
		}
		return st, nil
	}
	given, err := newSealer(key)
	if err == nil && given.fingerprint != st.sealer.fingerprint {
		err = errors.New("encryption_key differs from that of another endpoint, or of the running configuration, with the same store")
	}
	if err != nil {
		return nil, errors.Join(err, st.leave())
	}
	return st, nil
}

func openState(ctx caddy.Context, m storeModule, key []byte, log *zap.Logger) (*state, error) {
	keyed := key != nil
	if !keyed {
		exists, err := m.exists()
		if err != nil {
			return nil, err
		}
		if key, err = storedKey(ctx, ctx.Storage(), exists); err != nil {
			return nil, err
		}
	}
	s, err := newSealer(key)
	if err != nil {
		return nil, err
	}
	// The state outlives the configuration that opened it.
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	db, err := m.open(background, store.Options{Sealer: s, Fingerprint: s.fingerprint, Logger: log})
	if err != nil {
		stop()
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	st := &state{dsn: m.dsn(), db: db, sealer: s, keyed: keyed, stop: stop, swept: make(chan struct{})}
	go st.sweep(background, log)
	return st, nil
}

// sweep removes rows past their end until the state ends.
func (st *state) sweep(ctx context.Context, log *zap.Logger) {
	defer close(st.swept)
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if err := st.db.Sweep(ctx, now); err != nil && ctx.Err() == nil {
				log.Warn("sweeping the store failed", zap.Error(err))
			}
		}
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
	<-st.swept
	st.renewals.Wait()
	return st.db.Close()
}
