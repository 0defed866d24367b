package authserver_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// brokenTokens is a store whose rows of identity tokens cannot be read, or written
// some times.
type brokenTokens struct {
	authserver.Store
	mu       sync.Mutex
	reads    error
	damaged  error
	writes   int // that fail from now on
	conflict func()
	recent   *authserver.KeptTokens // what memory still has
}

func (b *brokenTokens) read(k *authserver.KeptTokens, err error) (*authserver.KeptTokens, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reads != nil {
		return nil, b.reads
	}
	if b.damaged != nil && err == nil {
		return &authserver.KeptTokens{UserID: k.UserID, Version: k.Version, Dead: true, Damaged: b.damaged}, nil
	}
	return k, err
}

func (b *brokenTokens) IdentityTokens(ctx context.Context, id string) (*authserver.KeptTokens, error) {
	return b.read(b.Store.IdentityTokens(ctx, id))
}

func (b *brokenTokens) RecentIdentityTokens(ctx context.Context, id string) (*authserver.KeptTokens, error) {
	if b.recent != nil {
		return b.recent, nil
	}
	return b.read(b.Store.RecentIdentityTokens(ctx, id))
}

func (b *brokenTokens) PutIdentityTokens(ctx context.Context, k *authserver.KeptTokens) error {
	b.mu.Lock()
	conflict := b.conflict
	b.conflict = nil
	fails := b.writes > 0
	b.writes--
	b.mu.Unlock()
	if fails {
		return errors.New("the disk is full")
	}
	if conflict != nil {
		conflict()
	}
	return b.Store.PutIdentityTokens(ctx, k)
}

func TestIdentityTokenStoreFaults(t *testing.T) {
	broken := func(t *testing.T) (*keepEnv, *brokenTokens) {
		store := new(brokenTokens)
		k := newKeepEnv(t, func(_ *upstream, c *authserver.Config) { store.Store, c.Store = c.Store, store })
		return k, store
	}
	t.Run("it cannot be read", func(t *testing.T) {
		k, store := broken(t)
		store.reads = errors.New("the disk is gone")
		k.wantUnavailable("read error")
	})
	t.Run("the row is damaged", func(t *testing.T) {
		k, store := broken(t)
		store.damaged = errors.New("bits have flipped")
		k.wantGone("damaged")
		if !k.logged("bits have flipped") {
			t.Error("nobody is told of the damage")
		}
	})
	t.Run("a write fails once", func(t *testing.T) {
		k, store := broken(t)
		k.clock.advance(time.Hour)
		store.writes = 1
		k.wantWhole("written the second time")
		k.wantRenewals(1, 1)
	})
	t.Run("a login cannot be written", func(t *testing.T) {
		k, store := broken(t)
		store.writes = 1
		if got := k.hear(); got != down {
			t.Errorf("client hears %q, want %q", got, down)
		}
		k.wantWhole("the earlier login goes on")
	})
	t.Run("that it is dead cannot be written", func(t *testing.T) {
		k, store := broken(t)
		k.up.set(func() { clear(k.up.live) })
		k.clock.advance(time.Hour)
		store.writes = 1
		k.wantUnavailable("the first time")
		k.rest()
		k.wantGone("the second time")
	})
	t.Run("somebody logs in while it is found dead", func(t *testing.T) {
		k, store := broken(t)
		k.up.set(func() { clear(k.up.live) })
		k.clock.advance(time.Hour)
		store.conflict = func() { k.logIn(k.newBrowser()) }
		k.wantWhole("the login counts")
	})
	t.Run("it is buried while it is read", func(t *testing.T) {
		k, store := broken(t)
		k.clock.advance(time.Hour)
		kept, err := k.store.IdentityTokens(t.Context(), k.userID)
		if err != nil {
			t.Fatal(err)
		}
		store.recent = kept
		dead := &authserver.KeptTokens{UserID: k.userID, Version: kept.Version, Dead: true}
		if err := k.store.PutIdentityTokens(t.Context(), dead); err != nil {
			t.Fatal(err)
		}
		k.wantGone("what another node found dead")
		k.wantRenewals(0, 0)
	})
	t.Run("another node comes too late with the refresh token and gives up", func(t *testing.T) {
		k, store := broken(t)
		k.clock.advance(time.Hour)
		kept, err := k.store.IdentityTokens(t.Context(), k.userID)
		if err != nil {
			t.Fatal(err)
		}
		store.conflict = func() {
			dead := &authserver.KeptTokens{UserID: k.userID, Version: kept.Version, Dead: true}
			if err := k.store.PutIdentityTokens(t.Context(), dead); err != nil {
				t.Error(err)
			}
		}
		k.wantWhole("renewed by the faster one")
	})
}
