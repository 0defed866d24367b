package local_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/internal/web"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/local"
)

// meddler is a store in which something happens right before a grant is written,
// or right before one is deleted, once. An error of it is that of the write.
type meddler struct {
	local.Store
	before       func() error
	beforeDelete func() error
}

func (m *meddler) PutGrant(ctx context.Context, g *local.Grant) error {
	if err := once(&m.before); err != nil {
		return err
	}
	return m.Store.PutGrant(ctx, g)
}

func (m *meddler) DeleteGrant(ctx context.Context, g *local.Grant) error {
	if err := once(&m.beforeDelete); err != nil {
		return err
	}
	return m.Store.DeleteGrant(ctx, g)
}

func once(f *func() error) error {
	do := *f
	if *f = nil; do == nil {
		return nil
	}
	return do()
}

// renewWhile lets a vault renew alice's grant; before runs right before it
// stores what came of it.
func (e *env) renewWhile(before func() error) (string, error) {
	e.connect("alice")
	e.clock.advance(2 * time.Hour)
	c, err := e.newVault(&meddler{Store: e.store, before: before}).Credential(e.Context(), grantOf("alice"))
	if err != nil {
		return "", err
	}
	return c.Token.Reveal(), nil
}

// disconnect has a person give up their grant on the account page.
func (e *env) disconnect(person string) {
	e.Helper()
	b := e.newBrowser(person)
	token, _ := b.get("/mcp/account").member("Form", "Token").(string)
	form := url.Values{"token": {token}, "disconnect": {web.EncodeConnection("p", "")}}
	if p := b.do(http.MethodPost, "/mcp/account", form, "Origin", e.base); p.status != http.StatusSeeOther {
		e.Fatalf("disconnect = %d %s", p.status, p.body)
	}
}

// wantAllRevoked fails where the provider would still renew a grant.
func (e *env) wantAllRevoked() {
	e.Helper()
	if len(e.provider.live) != 0 {
		e.Errorf("alive at the provider: %v; revoked were %v", e.provider.live, e.provider.revoked)
	}
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
	second := e.newVault(&meddler{Store: e.store, before: func() error { // right before it stores that the grant is dead
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

// What the provider gives while the person disconnects is given up, too.
func TestDisconnectedWhileRenewing(t *testing.T) {
	e := newEnv(t)
	_, err := e.renewWhile(func() error { e.disconnect("alice"); return nil })
	wantConnectError(t, "renewing", err)
	_, err = e.token("alice")
	wantConnectError(t, "after that", err)
	e.wantAllRevoked()
}

// A renewal that comes between the vault's look at a grant and its end is what
// has to be revoked.
func TestRenewedWhileDisconnecting(t *testing.T) {
	e := newEnv(t)
	e.connect("alice")
	first := e.vault
	e.vault = e.newVault(&meddler{Store: e.store, beforeDelete: func() error {
		e.clock.advance(2 * time.Hour)
		_, err := first.Credential(t.Context(), grantOf("alice"))
		return err
	}})
	e.disconnect("alice")
	if e.provider.refreshes != 1 {
		t.Errorf("%d renewals, want 1", e.provider.refreshes)
	}
	_, err := e.token("alice")
	wantConnectError(t, "after that", err)
	e.wantAllRevoked()
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
