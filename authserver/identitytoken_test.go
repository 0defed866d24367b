package authserver_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

func withLife(life time.Duration) func(*upstream, *authserver.Config) {
	return func(u *upstream, _ *authserver.Config) { u.life = life }
}

func keepAccess(_ *upstream, c *authserver.Config) {
	c.KeepIdentityToken = authserver.IdentityTokenAccess
}

func noRefresh(u *upstream, _ *authserver.Config) { u.offline = false }

func TestIdentityTokenKinds(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*upstream, *authserver.Config)
		token  int // which of those that the provider gave
	}{
		"the ID token":     {func(*upstream, *authserver.Config) {}, 1},
		"the access token": {keepAccess, 0},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeepEnv(t, tc.change)
			got, err := k.server.IdentityToken(t.Context(), k.userID)
			if want := k.up.given[tc.token]; err != nil || got.Token.Reveal() != want || !got.Expiry.Equal(k.clock.Now().Add(time.Hour)) {
				t.Errorf("IdentityToken = %.20q of %v, %v; want %.20q for an hour", got.Token.Reveal(), got.Expiry, err, want)
			}
			stored, err := k.store.IdentityTokens(t.Context(), k.userID)
			if err != nil || stored.Tokens.ID.IsZero() == stored.Tokens.Access.IsZero() {
				t.Errorf("stored are %+v, %v; want one of the two tokens", stored, err)
			}
		})
	}
}

func TestIdentityTokenOff(t *testing.T) {
	k := newKeepEnv(t, func(_ *upstream, c *authserver.Config) { c.KeepIdentityToken = "" })
	if _, err := k.store.IdentityTokens(t.Context(), k.userID); !errors.Is(err, authserver.ErrNotFound) {
		t.Errorf("stored is %v, want nothing", err)
	}
	if _, err := k.server.IdentityToken(t.Context(), k.userID); !errors.Is(err, authserver.ErrIdentityTokenGone) {
		t.Errorf("IdentityToken = %v, want ErrIdentityTokenGone", err)
	}
	k.clock.advance(2 * time.Hour)
	if _, refresh := k.mustRefresh(k.clientID, k.refreshed); refresh == "" {
		t.Error("no refresh token")
	}
	k.wantRenewals(0, 0)
	cfg := k.cfg
	cfg.KeepIdentityToken = "refresh"
	if _, err := authserver.New(cfg); err == nil || !strings.Contains(err.Error(), "want id or access") {
		t.Errorf("New with another kind = %v", err)
	}
}

func TestIdentityTokenScope(t *testing.T) {
	offers := func(scopes ...string) func(map[string]any) {
		return func(m map[string]any) { m["scopes_supported"] = scopes }
	}
	for name, tc := range map[string]struct {
		metadata func(map[string]any)
		keep     authserver.IdentityTokenKind
		scopes   []string
		want     string
	}{
		"asked for when the provider has it": {offers("openid", "offline_access"), authserver.IdentityTokenID, nil, "openid email profile offline_access"},
		"not when it has not":                {offers("openid"), authserver.IdentityTokenID, nil, "openid email profile"},
		"not when it does not say":           {nil, authserver.IdentityTokenAccess, nil, "openid email profile"},
		"not when nothing is kept":           {offers("offline_access"), "", nil, "openid email profile"},
		"once":                               {offers("offline_access"), authserver.IdentityTokenID, []string{"openid", "offline_access"}, "openid offline_access"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newOIDCEnvWith(t, func(c *authserver.Config) { c.KeepIdentityToken = tc.keep },
				func(c *authserver.OIDCConfig) { c.Scopes = tc.scopes })
			e.idp.set(func() { e.idp.metadata = tc.metadata })
			e.callbackURL(e.newBrowser())
			if got := e.idp.requests[0].Get("scope"); got != tc.want {
				t.Errorf("scope is %q, want %q", got, tc.want)
			}
		})
	}
}

func TestIdentityTokenRenewal(t *testing.T) {
	for name, change := range map[string]func(*upstream, *authserver.Config){
		"ID token": withLife(time.Hour), "access token": keepAccess,
		"refresh token that does not rotate": func(u *upstream, _ *authserver.Config) { u.kept = true },
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeepEnv(t, change)
			if name == "refresh token that does not rotate" { // the login's is live
				k.up.set(func() { k.up.offline = false })
			}
			first := k.mustToken()
			k.clock.advance(time.Hour - 61*time.Second)
			if again := k.mustToken(); again != first {
				t.Error("renewed 61 s before the end")
			}
			k.wantRenewals(0, 0)
			k.clock.advance(time.Second)
			second := k.mustToken()
			if second == first {
				t.Error("not renewed 60 s before the end")
			}
			k.wantRenewals(1, 1)
			k.clock.advance(20 * time.Hour)
			k.wantWhole("a day later")
			k.wantRenewals(2, 2)
			if k.mustToken() == second {
				t.Error("the same token a day later")
			}
		})
	}
}

// Whoever needs it first renews: a call, a refresh, or a page.
func TestIdentityTokenRenewedByAnyUse(t *testing.T) {
	for name, use := range map[string]func(*keepEnv, *browser){
		"a refresh": func(k *keepEnv, _ *browser) { k.mustRefresh(k.clientID, k.refreshed) },
		"a call":    func(k *keepEnv, _ *browser) { k.user(k.access) },
		"a page": func(k *keepEnv, b *browser) {
			if p := b.get(testPath + "/connect"); !strings.HasPrefix(p.body, "person Alice") {
				k.Errorf("page = %d %s %q", p.status, p.location, p.body)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeepEnv(t, withLife(30*time.Minute))
			b := k.newBrowser()
			k.logIn(b)
			k.clock.advance(29 * time.Minute)
			use(k, b)
			k.wantRenewals(1, 1)
		})
	}
}

// Tokens that live shorter than the minute are not renewed by every call.
func TestIdentityTokenShortLived(t *testing.T) {
	k := newKeepEnv(t, withLife(40*time.Second))
	for range 29 {
		k.mustToken()
		k.clock.advance(time.Second)
	}
	k.wantRenewals(0, 0)
	k.clock.advance(time.Second)
	k.mustToken()
	k.wantRenewals(1, 1)
}

// An access token ends when the answer says, or the token itself, or after an hour;
// and it is renewed where no ID token comes with it.
func TestIdentityAccessTokenEnd(t *testing.T) {
	jwt := func(claims string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".c2ln"
	}
	for name, tc := range map[string]struct {
		shape func(c *clock, n int, answer map[string]any)
		life  time.Duration
	}{
		"as the answer says": {func(_ *clock, _ int, a map[string]any) { a["expires_in"] = 600 }, 10 * time.Minute},
		"as the token says": {func(c *clock, n int, a map[string]any) {
			delete(a, "expires_in")
			a["access_token"] = jwt(fmt.Sprintf(`{"exp":%d,"jti":"%d"}`, c.Now().Unix()+900, n))
		}, 15 * time.Minute},
		"a token that does not say": {func(_ *clock, n int, a map[string]any) {
			delete(a, "expires_in")
			a["access_token"] = jwt(fmt.Sprintf(`{"jti":"%d"}`, n))
		}, time.Hour},
		"no JWT": {func(_ *clock, _ int, a map[string]any) { delete(a, "expires_in") }, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeepEnv(t, keepAccess, func(u *upstream, _ *authserver.Config) {
				n := 0
				u.shape = func(a map[string]any) { n++; tc.shape(u.clock, n, a) }
			})
			k.up.set(func() { k.up.answered = func(a map[string]any) error { delete(a, "id_token"); return nil } })
			for range 2 {
				token, err := k.server.IdentityToken(t.Context(), k.userID)
				if want := k.clock.Now().Add(tc.life); err != nil || !token.Expiry.Equal(want) {
					t.Fatalf("IdentityToken ends %v, %v; want %v", token.Expiry, err, want)
				}
				k.clock.advance(tc.life)
			}
			k.wantRenewals(1, 1)
		})
	}
}

// Without a refresh token, access tokens end a minute before the identity token.
func TestIdentityTokenThatCannotBeRenewed(t *testing.T) {
	k := newKeepEnv(t, noRefresh, withLife(30*time.Minute))
	k.clock.advance(9 * time.Minute)
	status, answer, _ := k.token(refreshForm(k.clientID, k.refreshed))
	if status != http.StatusOK || answer["expires_in"] != 1200.0 {
		t.Fatalf("refresh = %d %v, want 20 minutes", status, answer)
	}
	k.access, k.refreshed = answer["access_token"].(string), answer["refresh_token"].(string)
	access, err := k.server.Verify(t.Context(), k.access, k.base+testPath)
	if want := k.clock.Now().Add(20 * time.Minute); err != nil || !access.Expiry.Equal(want) {
		t.Errorf("access token = %+v, %v, want its end at %v", access, err, want)
	}
	k.clock.advance(20*time.Minute - time.Second)
	k.mustToken()
	k.clock.advance(time.Second)
	if _, err := k.server.IdentityToken(t.Context(), k.userID); !errors.Is(err, authserver.ErrIdentityTokenGone) {
		t.Errorf("IdentityToken a minute before the end = %v, want ErrIdentityTokenGone", err)
	}
	if _, err := k.verify(k.access); !errors.Is(err, authserver.ErrInvalidToken) {
		t.Errorf("Verify = %v, want ErrInvalidToken", err)
	}
	k.refused("a minute before the end", k.clientID, k.refreshed)
	k.wantRenewals(0, 0)
	k.logIn(k.newBrowser())
	k.mustRefresh(k.clientID, k.refreshed)
}

// Codes that were given before the end are worth nothing after it.
func TestIdentityTokenEndsBeforeTheCodeIsRedeemed(t *testing.T) {
	k := newKeepEnv(t, noRefresh, withLife(30*time.Minute))
	b := k.newBrowser()
	code := k.params(b.get(k.callbackURL(b))).Get("code")
	kept, err := k.store.IdentityTokens(t.Context(), k.userID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.server.RejectIdentityToken(t.Context(), k.userID, kept.Tokens.ID.Reveal(), authserver.TokenRefused); !errors.Is(err, authserver.ErrIdentityTokenGone) {
		t.Fatalf("RejectIdentityToken = %v", err)
	}
	if status, answer, _ := k.token(codeForm(k.clientID, code)); status != 400 || answer["error"] != "invalid_grant" {
		t.Errorf("token = %d %v, want invalid_grant", status, answer)
	}
}
