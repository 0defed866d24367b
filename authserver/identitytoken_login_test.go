package authserver_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// A login that brings no token that can be used is none: the pages that need one
// would send the browser to log in for ever.
func TestLoginWithoutAnIdentityToken(t *testing.T) {
	t.Run("it has ended already", func(t *testing.T) {
		k := newKeepEnv(t, noRefresh)
		k.up.set(func() { k.up.life = -30 * time.Second })
		if got := k.hear(); got != fault {
			t.Errorf("client hears %q, want %q", got, fault)
		}
	})
	t.Run("there is none", func(t *testing.T) {
		e := newEnv(t, func(c *authserver.Config) { c.KeepIdentityToken = authserver.IdentityTokenID })
		b := e.newBrowser()
		p := b.get(testPath + "/connect")
		p = b.submit(b.get(p.location), "username", "alice", "password", "ecila")
		if p.status != http.StatusBadGateway || p.location != "" {
			t.Errorf("login = %d %s\n%s", p.status, p.location, p.body)
		}
	})
	t.Run("it can be renewed", func(t *testing.T) {
		k := newKeepEnv(t)
		k.up.set(func() { k.up.life = -30 * time.Second })
		k.access, k.refreshed = k.logIn(k.newBrowser())
		k.up.set(func() { k.up.life = time.Hour })
		k.clock.advance(5 * time.Second)
		k.wantWhole("renewed")
	})
}

// Some providers give a refresh token at the first login alone.
func TestLoginWithoutARefreshToken(t *testing.T) {
	k := newKeepEnv(t)
	k.up.set(func() { k.up.offline = false })
	first := k.mustToken()
	k.logIn(k.newBrowser())
	if k.mustToken() == first {
		t.Error("the newest login does not count")
	}
	k.clock.advance(time.Hour)
	k.wantWhole("renewed by the earlier one")
}

// Somebody logs in while a renewal is under way.
func TestLoginDuringARenewal(t *testing.T) {
	for name, offline := range map[string]bool{"with a refresh token": true, "that goes on with the spent one": false} {
		t.Run(name, func(t *testing.T) {
			k := newKeepEnv(t)
			k.clock.advance(time.Hour)
			k.up.set(func() {
				k.up.offline = offline
				k.up.answered = func(map[string]any) error { k.logIn(k.newBrowser()); return nil }
			})
			got, err := k.server.IdentityToken(t.Context(), k.userID)
			if err != nil || got.Token.Reveal() != k.mustToken() {
				t.Errorf("IdentityToken = %v, which is not the one that counts", err)
			}
			k.up.set(func() { k.up.answered = nil })
			k.clock.advance(time.Hour)
			k.wantWhole("an hour later")
		})
	}
}

// What a login brings can be renewed at once, whatever failed before it.
func TestLoginEndsTheRestAfterAFailure(t *testing.T) {
	k := newKeepEnv(t)
	k.up.set(func() { k.up.fault = hangUp })
	if _, err := k.server.RejectIdentityToken(t.Context(), k.userID, k.mustToken(), authserver.TokenRefused); !errors.Is(err, authserver.ErrIdentityTokenUnavailable) {
		t.Errorf("RejectIdentityToken = %v, want ErrIdentityTokenUnavailable", err)
	}
	k.up.set(func() { k.up.fault = nil })
	k.logIn(k.newBrowser())
	if _, err := k.server.RejectIdentityToken(t.Context(), k.userID, k.mustToken(), authserver.TokenRefused); err != nil {
		t.Errorf("RejectIdentityToken after a login = %v", err)
	}
}
