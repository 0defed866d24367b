package local_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/local"
)

// meddler is a store in which something happens right before a write, once. An
// error of it is that of the write.
type meddler struct {
	local.Store
	before func() error
}

func (m *meddler) PutGrant(ctx context.Context, g *local.Grant) error {
	if before := m.before; before != nil {
		m.before = nil
		if err := before(); err != nil {
			return err
		}
	}
	return m.Store.PutGrant(ctx, g)
}

// renewWhile lets a vault renew alice's grant; before runs right before it
// stores what came of it.
func (e *env) renewWhile(before func() error) (string, error) {
	e.connect("alice")
	e.clock.advance(2 * time.Hour)
	c, err := e.newVault(&meddler{e.store, before}).Credential(e.Context(), grantOf("alice"))
	if err != nil {
		return "", err
	}
	return c.Token.Reveal(), nil
}

func wantConnectError(t *testing.T, what string, err error) {
	t.Helper()
	var connect *vaultclient.ConnectError
	if !errors.As(err, &connect) || connect.Reason != vaultclient.ReasonAuthorizationRequired {
		t.Errorf("%s = %v, want a ConnectError", what, err)
	}
}

// During a reload two vaults serve one store. The one whose refresh token came
// second is refused, and must not take the grant from the other.
func TestRefusedWhileAnotherVaultRenews(t *testing.T) {
	e := newEnv(t)
	got, err := e.renewWhile(func() error {
		_, err := e.token("alice") // with the same refresh token, which is spent
		wantConnectError(t, "the second vault", err)
		return nil
	})
	if err != nil || !strings.HasPrefix(got, "access-alice-") {
		t.Errorf("the first vault = %q, %v; want what the provider gave", got, err)
	}
	if again, err := e.token("alice"); err != nil || again != got {
		t.Errorf("the second vault after that = %q, %v; want %q", again, err, got)
	}
}

func TestRefusedAfterAnotherVaultRenewed(t *testing.T) {
	e := newEnv(t)
	e.connect("alice")
	e.clock.advance(2 * time.Hour)
	e.provider.set(func(p *provider) { clear(p.live) })
	second := e.newVault(&meddler{e.store, func() error { // right before it stores that the grant is dead
		g, err := e.store.Grant(t.Context(), "alice", "p", "")
		if err != nil {
			return err
		}
		g.AccessToken, g.Expiry = vaultclient.NewSecret("of the first"), e.clock.Now().Add(time.Hour)
		return e.store.PutGrant(t.Context(), g)
	}})
	c, err := second.Credential(t.Context(), grantOf("alice"))
	if err != nil || c.Token.Reveal() != "of the first" {
		t.Errorf("the second vault = %v, %v; want what the first one stored", c, err)
	}
}

func TestDisconnectedWhileRenewing(t *testing.T) {
	e := newEnv(t)
	_, err := e.renewWhile(func() error { return e.store.DeleteGrant(t.Context(), "alice", "p", "") })
	wantConnectError(t, "renewing", err)
	_, err = e.token("alice")
	wantConnectError(t, "after that", err)
}

func TestConnectedAnewWhileRenewing(t *testing.T) {
	e := newEnv(t)
	got, err := e.renewWhile(func() error { e.connect("alice"); return nil })
	stored, readErr := e.token("alice")
	if err != nil || readErr != nil || got != stored {
		t.Errorf("renewing = %q, %v; want the new connection's %q, %v", got, err, stored, readErr)
	}
}

// Security CRASH-04: the refresh token is spent, so a write that fails is tried
// again.
func TestStoreFailsWhileRenewing(t *testing.T) {
	e := newEnv(t)
	got, err := e.renewWhile(func() error { return errors.New("disk is full") })
	if err != nil || !strings.HasPrefix(got, "access-alice-") || e.provider.refreshes != 1 {
		t.Errorf("renewing = %q, %v after %d renewals", got, err, e.provider.refreshes)
	}
	if again, err := e.token("alice"); err != nil || again != got {
		t.Errorf("after that = %q, %v; want %q", again, err, got)
	}
}
