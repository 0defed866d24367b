package local_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/local"
)

func grantOf(user string) vaultclient.Request {
	return vaultclient.Request{UserID: user, Provider: "p"}
}

func TestRenewalAheadOfTheEnd(t *testing.T) {
	e := newEnv(t)
	e.connect("alice")
	first, _ := e.token("alice")
	e.clock.advance(58 * time.Minute)
	if again, err := e.token("alice"); err != nil || again != first || e.provider.refreshes != 0 {
		t.Errorf("2 minutes before the end = %q, %v, %d renewals; want %q and none", again, err, e.provider.refreshes, first)
	}
	e.clock.advance(90 * time.Second)
	second, err := e.token("alice")
	if err != nil || second == first || e.provider.refreshes != 1 {
		t.Errorf("30 s before the end = %q, %v, %d renewals", second, err, e.provider.refreshes)
	}
	e.clock.advance(24 * time.Hour)
	if third, err := e.token("alice"); err != nil || third == second {
		t.Errorf("a day later = %q, %v: the rotated refresh token was not kept", third, err)
	}
}

// A token that lives shorter than RefreshAhead is not renewed by every call.
func TestShortLivedTokens(t *testing.T) {
	e := newEnv(t)
	e.provider.set(func(p *provider) { p.lifetime = 30 })
	e.connect("alice")
	for range 20 {
		if _, err := e.token("alice"); err != nil {
			t.Fatal(err)
		}
		e.clock.advance(time.Second)
	}
	if e.provider.refreshes != 0 {
		t.Errorf("%d renewals within 20 of 30 s, want none", e.provider.refreshes)
	}
	e.clock.advance(8 * time.Second)
	if _, err := e.token("alice"); err != nil || e.provider.refreshes != 1 {
		t.Errorf("2 s before the end: %v, %d renewals, want 1", err, e.provider.refreshes)
	}
}

// Security PROV-05: one flight per grant, for 50 calls at once.
func TestManyCallsShareOneRenewal(t *testing.T) {
	e := newEnv(t)
	e.connect("alice")
	e.clock.advance(2 * time.Hour)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := e.token("alice"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if e.provider.refreshes != 1 {
		t.Errorf("%d renewals, want 1", e.provider.refreshes)
	}
}

func TestManyRefusalsShareOneRenewal(t *testing.T) {
	e := newEnv(t)
	e.connect("alice")
	refused, err := e.vault.Credential(context.Background(), grantOf("alice"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			c, err := e.vault.Renew(context.Background(), grantOf("alice"), refused)
			if err != nil || c.Token.Reveal() == refused.Token.Reveal() {
				t.Errorf("Renew = %v, %v", c, err)
			}
		})
	}
	wg.Wait()
	if e.provider.refreshes != 1 {
		t.Errorf("%d renewals, want 1", e.provider.refreshes)
	}
}

// Security VAULT-09.
func TestDeadGrant(t *testing.T) {
	e := newEnv(t)
	e.connect("alice")
	e.provider.set(func(p *provider) { clear(p.live) })
	e.clock.advance(2 * time.Hour)
	var connect *vaultclient.ConnectError
	if _, err := e.token("alice"); !errors.As(err, &connect) || connect.Reason != vaultclient.ReasonAuthorizationRequired {
		t.Fatalf("token = %v, want a ConnectError", err)
	}
	g, err := e.store.Grant(context.Background(), "alice", "p", "")
	if err != nil || !g.Dead || !g.AccessToken.IsZero() || !g.RefreshToken.IsZero() {
		t.Errorf("stored grant = %+v, %v, want it dead and empty", g, err)
	}
	if _, err := e.token("alice"); !errors.As(err, &connect) || e.provider.refreshes != 1 {
		t.Errorf("once more = %v after %d renewals, want none more", err, e.provider.refreshes)
	}
	e.connect("alice")
	if _, err := e.token("alice"); err != nil {
		t.Errorf("connected anew: %v", err)
	}
}

func TestProviderAway(t *testing.T) {
	e := newEnv(t)
	e.connect("alice")
	e.provider.set(func(p *provider) { p.answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) } })
	first, _ := e.token("alice")
	e.clock.advance(59*time.Minute + 30*time.Second)
	if again, err := e.token("alice"); err != nil || again != first {
		t.Errorf("while the token is good = %q, %v, want it", again, err)
	}
	e.clock.advance(time.Minute)
	if _, err := e.token("alice"); !errors.Is(err, vaultclient.ErrUnavailable) {
		t.Errorf("after its end = %v, want ErrUnavailable", err)
	}
	e.provider.set(func(p *provider) { p.answer = nil })
	if _, err := e.token("alice"); err != nil {
		t.Errorf("when it is back: %v", err)
	}
}

// An operator's fault, such as a wrong client secret, must not look as if the
// person could mend it.
func TestOperatorFaultIsNoConnectError(t *testing.T) {
	e := newEnv(t)
	e.connect("alice")
	e.clock.advance(2 * time.Hour)
	e.provider.set(func(p *provider) {
		p.answer = func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(401)
			_, _ = w.Write([]byte(`{"error":"invalid_client"}`))
		}
	})
	var connect *vaultclient.ConnectError
	if _, err := e.token("alice"); err == nil || errors.As(err, &connect) || errors.Is(err, vaultclient.ErrUnavailable) {
		t.Errorf("token = %v, want another error", err)
	}
	e.provider.set(func(p *provider) { p.answer = nil })
	if _, err := e.token("alice"); err != nil {
		t.Errorf("after it is mended: %v", err)
	}
}

// The renewal goes on when its caller gives up: the refresh token is spent by
// then.
func TestRenewalOutlivesItsCaller(t *testing.T) {
	e := newEnv(t)
	e.connect("alice")
	e.clock.advance(2 * time.Hour)
	ctx, cancel := context.WithCancel(context.Background())
	e.provider.set(func(p *provider) {
		p.answer = func(w http.ResponseWriter, _ *http.Request) {
			cancel()
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"access_token":"late","refresh_token":"r","expires_in":3600}`))
		}
	})
	_, _ = e.vault.Credential(ctx, grantOf("alice"))
	// Whoever asks next joins the flight or finds what it stored.
	if got, err := e.token("alice"); err != nil || got != "late" {
		t.Errorf("token = %q, %v, want what the provider gave", got, err)
	}
}

func TestGrantWithoutRefreshToken(t *testing.T) {
	e := newEnv(t)
	ctx := context.Background()
	g := &local.Grant{
		UserID: "alice", Provider: "p", Client: e.cfg.Providers["p"].Client(), AccessToken: vaultclient.NewSecret("a"), Scopes: []string{"read"},
		Expiry: e.clock.Now().Add(30 * time.Second), CreatedAt: e.clock.Now(), UpdatedAt: e.clock.Now(),
	}
	if err := e.store.PutGrant(ctx, g); err != nil {
		t.Fatal(err)
	}
	if got, err := e.token("alice"); err != nil || got != "a" {
		t.Errorf("before its end = %q, %v", got, err)
	}
	e.clock.advance(time.Minute)
	var connect *vaultclient.ConnectError
	if _, err := e.token("alice"); !errors.As(err, &connect) {
		t.Errorf("after its end = %v, want a ConnectError", err)
	}
	if _, err := e.vault.Renew(ctx, grantOf("alice"), &vaultclient.Credential{Version: g.Version}); !errors.As(err, &connect) {
		t.Errorf("Renew = %v, want a ConnectError", err)
	}
	if _, err := e.vault.Credential(ctx, vaultclient.Request{UserID: "alice", Provider: "q"}); err == nil || errors.As(err, &connect) {
		t.Errorf("of a provider that is not there = %v, want the operator's error", err)
	}
}

// Security ISO-04: nobody gets another's token, whatever happens at once.
func TestManyPeopleAtOnce(t *testing.T) {
	e := newEnv(t)
	const people = 200
	for i := range people {
		e.connect(fmt.Sprintf("u%dx", i))
	}
	var wg sync.WaitGroup
	for i := range people {
		user := fmt.Sprintf("u%dx", i)
		for range 5 {
			wg.Go(func() {
				c, err := e.vault.Credential(context.Background(), grantOf(user))
				if err == nil {
					c, err = e.vault.Renew(context.Background(), grantOf(user), c)
				}
				if err != nil || !strings.HasPrefix(c.Token.Reveal(), "access-"+user+"-") {
					t.Errorf("token of %s = %v, %v", user, c, err)
				}
			})
		}
	}
	wg.Wait()
}

// A configuration that uses a provider's name for another service, or another
// client, does not get what was granted to the first.
func TestGrantOfAnotherClient(t *testing.T) {
	e := newEnv(t)
	e.connect("alice")
	p := *e.cfg.Providers["p"]
	p.ClientID = "another"
	e.cfg.Providers["p"] = &p
	other, err := local.New(e.cfg)
	if err != nil {
		t.Fatal(err)
	}
	var connect *vaultclient.ConnectError
	if _, err := other.Credential(context.Background(), grantOf("alice")); !errors.As(err, &connect) {
		t.Errorf("Credential = %v, want a ConnectError", err)
	}
	if _, err := other.Renew(context.Background(), grantOf("alice"), &vaultclient.Credential{Version: 1}); !errors.As(err, &connect) || e.provider.refreshes != 0 {
		t.Errorf("Renew = %v after %d renewals, want a ConnectError and none", err, e.provider.refreshes)
	}
}

// Two vaults of one store, such as those of a reload, renew once.
func TestVaultsShareRenewals(t *testing.T) {
	e := newEnv(t)
	e.connect("alice")
	cfg := e.cfg
	cfg.Renewals = new(local.Renewals)
	var vaults []*local.Vault
	for range 2 {
		v, err := local.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		vaults = append(vaults, v)
	}
	e.clock.advance(2 * time.Hour)
	var wg sync.WaitGroup
	for range 20 {
		for _, v := range vaults {
			wg.Go(func() {
				if _, err := v.Credential(context.Background(), grantOf("alice")); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if e.provider.refreshes != 1 {
		t.Errorf("%d renewals, want 1", e.provider.refreshes)
	}
}
