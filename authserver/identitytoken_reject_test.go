package authserver_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

func TestRejectIdentityToken(t *testing.T) {
	reject := func(k *keepEnv, token string) (string, error) {
		got, err := k.server.RejectIdentityToken(k.Context(), k.userID, token, authserver.TokenRefused)
		return got.Token.Reveal(), err
	}
	t.Run("is renewed once", func(t *testing.T) {
		k := newKeepEnv(t)
		first := k.mustToken()
		second, err := reject(k, first)
		if err != nil || second == first || k.mustToken() != second {
			t.Fatalf("RejectIdentityToken = %.10q, %v; want another one", second, err)
		}
		if again, err := reject(k, first); err != nil || again != second {
			t.Errorf("the first once more = %.10q, %v; want the second", again, err)
		}
		k.wantRenewals(1, 1)
		if _, err := reject(k, second); !errors.Is(err, authserver.ErrIdentityTokenGone) {
			t.Errorf("the second = %v, want ErrIdentityTokenGone", err)
		}
		k.wantGone("refused twice")
		k.wantRenewals(1, 1)
		if _, err := reject(k, second); !errors.Is(err, authserver.ErrIdentityTokenGone) {
			t.Errorf("when it is dead = %v, want ErrIdentityTokenGone", err)
		}
		k.logIn(k.newBrowser())
		k.wantWhole("after a login")
	})
	t.Run("one that was good for a while is renewed again", func(t *testing.T) {
		k := newKeepEnv(t)
		if _, err := reject(k, k.mustToken()); err != nil {
			t.Fatal(err)
		}
		k.clock.advance(time.Hour)
		k.mustToken()
		if _, err := reject(k, k.mustToken()); err != nil {
			t.Errorf("RejectIdentityToken = %v", err)
		}
		k.wantRenewals(3, 3)
	})
	t.Run("cannot be renewed", func(t *testing.T) {
		k := newKeepEnv(t, noRefresh)
		if _, err := reject(k, k.mustToken()); !errors.Is(err, authserver.ErrIdentityTokenGone) {
			t.Errorf("RejectIdentityToken = %v, want ErrIdentityTokenGone", err)
		}
		k.wantGone("refused")
	})
	t.Run("the provider is away", func(t *testing.T) {
		k := newKeepEnv(t)
		k.up.set(func() { k.up.fault = hangUp })
		first := k.mustToken()
		if _, err := reject(k, first); !errors.Is(err, authserver.ErrIdentityTokenUnavailable) {
			t.Errorf("RejectIdentityToken = %v, want ErrIdentityTokenUnavailable", err)
		}
		k.up.set(func() { k.up.fault = nil })
		k.rest()
		if second, err := reject(k, first); err != nil || second == first {
			t.Errorf("when it is back = %.10q, %v; want another one", second, err)
		}
	})
	t.Run("many at once", func(t *testing.T) {
		k := newKeepEnv(t)
		first := k.mustToken()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if token, err := reject(k, first); err != nil || token == first {
					t.Errorf("RejectIdentityToken = %.10q, %v", token, err)
				}
			})
		}
		wg.Wait()
		k.wantRenewals(1, 1)
	})
	t.Run("a person who is not known", func(t *testing.T) {
		k := newKeepEnv(t)
		if _, err := k.server.RejectIdentityToken(t.Context(), "nobody", "x", authserver.TokenRefused); !errors.Is(err, authserver.ErrIdentityTokenGone) {
			t.Errorf("RejectIdentityToken = %v, want ErrIdentityTokenGone", err)
		}
	})
}
