package authserver_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

func TestManyCallsShareOneIdentityRenewal(t *testing.T) {
	k := newKeepEnv(t)
	k.clock.advance(2 * time.Hour)
	nodes := []*authserver.Server{k.server, k.newServer()}
	var wg sync.WaitGroup
	var mu sync.Mutex
	tokens := make(map[string]bool)
	for i := range 50 {
		wg.Go(func() {
			token, err := nodes[i%len(nodes)].IdentityToken(t.Context(), k.userID)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			tokens[token.Token.Reveal()] = true
		})
	}
	wg.Wait()
	k.wantRenewals(1, 1)
	if len(tokens) != 1 {
		t.Errorf("%d different tokens, want 1", len(tokens))
	}
}

// A node that ends while it renews holds the others up for a while only.
func TestIdentityRenewalOfALostNode(t *testing.T) {
	t.Parallel()
	k := newKeepEnv(t)
	k.clock.advance(time.Hour)
	kept, err := k.store.IdentityTokens(t.Context(), k.userID)
	if err != nil {
		t.Fatal(err)
	}
	lease := fmt.Sprintf("identity renewal:%s:%d", k.userID, kept.Version)
	if first, err := k.store.TakeOnce(t.Context(), lease, k.clock.Now().Add(25*time.Second)); err != nil || !first {
		t.Fatalf("TakeOnce = %t, %v", first, err)
	}
	k.wantUnavailable("while the other node may be at it")
	k.wantRenewals(0, 0)
	k.rest()
	k.wantWhole("after that")
	k.wantRenewals(1, 1)
}

// The renewal goes on when who asked for it gives up.
func TestIdentityRenewalOutlivesItsCaller(t *testing.T) {
	var renewals authserver.IdentityRenewals
	k := newKeepEnv(t, func(_ *upstream, c *authserver.Config) { c.IdentityRenewals = &renewals })
	ctx, cancel := context.WithCancel(t.Context())
	k.up.set(func() { k.up.answered = func(map[string]any) error { cancel(); return nil } })
	k.clock.advance(time.Hour)
	if _, err := k.server.IdentityToken(ctx, k.userID); err != nil && !errors.Is(err, authserver.ErrIdentityTokenUnavailable) {
		t.Errorf("IdentityToken = %v, want ErrIdentityTokenUnavailable", err)
	}
	renewals.Wait()
	k.wantWhole("the next call")
	k.wantRenewals(1, 1)
}

func TestIdentityTokenAfterARestart(t *testing.T) {
	k := newKeepEnv(t)
	first := k.mustToken()
	k.server = k.newServer()
	if k.mustToken() != first {
		t.Error("another token after a restart")
	}
	k.clock.advance(time.Hour)
	k.wantWhole("renewed after a restart")
	k.wantRenewals(1, 1)
}
