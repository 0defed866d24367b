package local_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/internal/web"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/local"
)

// damagingStore has lost what was in every grant up to a version.
type damagingStore struct {
	local.Store
	version int64
}

func (s *damagingStore) Grant(ctx context.Context, userID, provider, label string) (*local.Grant, error) {
	g, err := s.Store.Grant(ctx, userID, provider, label)
	return s.damage(g), err
}

func (s *damagingStore) RecentGrant(ctx context.Context, userID, provider, label string) (*local.Grant, error) {
	return s.Grant(ctx, userID, provider, label)
}

func (s *damagingStore) Grants(ctx context.Context, userID string) ([]*local.Grant, error) {
	grants, err := s.Store.Grants(ctx, userID)
	for i := range grants {
		grants[i] = s.damage(grants[i])
	}
	return grants, err
}

func (s *damagingStore) damage(g *local.Grant) *local.Grant {
	if g == nil || g.Version > s.version {
		return g
	}
	return &local.Grant{UserID: g.UserID, Provider: g.Provider, Label: g.Label, Version: g.Version, Dead: true, Damaged: errors.New("damaged")}
}

// Security VAULT-04: a call asks the person to connect again, which helps, and
// the account page shows the grant and can end it.
func TestDamagedGrant(t *testing.T) {
	e := newEnv(t)
	e.connect("alice")
	e.vault = e.newVault(&damagingStore{e.store, 1})
	damaged := func() {
		t.Helper()
		var connect *vaultclient.ConnectError
		if _, err := e.token("alice"); !errors.As(err, &connect) || connect.Reason != vaultclient.ReasonAuthorizationRequired {
			t.Fatalf("Credential of a damaged grant = %v, want a ConnectError", err)
		}
		if p := e.newBrowser("alice").get("/mcp/account"); p.status != http.StatusOK || !strings.Contains(p.body, `"Dead":true`) {
			t.Errorf("account page = %d %s, want the grant, dead", p.status, p.body)
		}
	}
	damaged()
	e.connect("alice")
	if _, err := e.token("alice"); err != nil {
		t.Errorf("Credential after connecting again: %v", err)
	}
	g, err := e.store.Grant(t.Context(), "alice", "p", "")
	if err != nil || !g.CreatedAt.Equal(e.clock.Now()) || g.Version != 2 {
		t.Errorf("stored grant = %+v, %v; want version 2, made now", g, err)
	}
	e.vault = e.newVault(&damagingStore{e.store, 2})
	damaged()
	b := e.newBrowser("alice")
	form := url.Values{"token": {b.get("/mcp/account").member("Form", "Token").(string)}, "disconnect": {web.EncodeConnection("p", "")}}
	if p := b.do(http.MethodPost, "/mcp/account", form, "Origin", e.base); p.status != http.StatusSeeOther {
		t.Errorf("disconnecting = %d %s", p.status, p.body)
	}
	if _, err := e.store.Grant(t.Context(), "alice", "p", ""); !errors.Is(err, local.ErrNotFound) {
		t.Errorf("grant after disconnecting: %v, want ErrNotFound", err)
	}
}
