package authserver_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
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

// A provider whose clock is late gives tokens that have ended.
func TestIdentityTokenEndsAtOnce(t *testing.T) {
	k := newKeepEnv(t)
	k.up.set(func() {
		k.up.change = func(c map[string]any) { c["exp"] = c["iat"].(int64) - 50 }
	})
	k.clock.advance(time.Hour)
	k.wantUnavailable("an ID token that has ended")
	for range 20 {
		k.wantUnavailable("at once again")
	}
	k.wantRenewals(1, 1)
	k.up.set(func() { k.up.change = nil })
	k.clock.advance(5 * time.Second)
	k.wantWhole("when the clock is right")
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

// Security FED-16, FED-17: what makes no login makes no renewal.
func TestIdentityTokenRefusals(t *testing.T) {
	set := func(name string, value any) func(*upstream) {
		return func(u *upstream) { u.change = func(c map[string]any) { c[name] = value } }
	}
	fails := func(serve http.HandlerFunc) func(*upstream) {
		return func(u *upstream) { u.fault = serve }
	}
	answer := func(change func(map[string]any)) func(*upstream) {
		return func(u *upstream) {
			u.answered = func(a map[string]any) error { change(a); return nil }
		}
	}
	for name, change := range map[string]func(*upstream){
		"the refresh token is over": fails(answerWith(400, `{"error":"invalid_grant","error_description":"inner"}`)),
		"it repeats the refresh token": func(u *upstream) {
			u.fault = func(w http.ResponseWriter, r *http.Request) {
				writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant", "error_description": r.FormValue("refresh_token")})
			}
		},
		"the provider wants to see":    fails(answerWith(400, `{"error":"interaction_required"}`)),
		"another subject":              set("sub", "43"),
		"another issuer":               set("iss", "https://other.example.com"),
		"another nonce":                set("nonce", "other"),
		"another audience":             set("aud", "other"),
		"made for another client":      set("azp", "other"),
		"ended long ago":               set("exp", 1),
		"of the future":                set("iat", 1<<40),
		"signed by another":            func(u *upstream) { u.idp.set(func() { u.key = newSigningKey(u.T, "first") }) },
		"no ID token":                  answer(func(a map[string]any) { delete(a, "id_token") }),
		"an ID token that is none":     answer(func(a map[string]any) { a["id_token"] = "inner" }),
		"the same ID token once more":  func(u *upstream) { same := u.given[1]; answer(func(a map[string]any) { a["id_token"] = same })(u) },
		"the answer to it is lost":     func(u *upstream) { u.answered = func(map[string]any) error { return errors.New("lost") } },
		"nothing: there is no refresh": func(u *upstream) { clear(u.live) },
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeepEnv(t)
			b := k.newBrowser()
			k.access, k.refreshed = k.logIn(b)
			public, private := get(k.idp, &k.idp.key), get(k.idp, &k.idp.key)
			k.idp.set(func() { // goes on with the first key when another one signs
				k.idp.keys = func(w http.ResponseWriter, _ *http.Request) {
					key, err := public.PublicKey()
					if err != nil {
						t.Error(err)
					}
					writeJSON(w, http.StatusOK, map[string]any{"keys": []any{key}})
				}
			})
			k.up.set(func() { change(k.up) })
			k.clock.advance(time.Hour)
			if name == "the answer to it is lost" {
				k.wantUnavailable("first")
				k.rest() // the refresh token is spent now, which the provider says
			}
			k.wantGone("renewal")
			k.wantGone("once more")
			if asked, _ := k.up.count(); asked > 2 {
				t.Errorf("provider was asked %d times", asked)
			}
			if k.isLoggedIn(b) {
				t.Error("the browser's login still counts")
			}
			if p := b.get(testPath + "/connect"); !strings.HasPrefix(p.location, testPath+"/login?") {
				t.Errorf("page = %d %s, want the login", p.status, p.location)
			}
			k.up.set(func() { k.up.fault, k.up.change, k.up.answered = nil, nil, nil })
			k.idp.set(func() { k.idp.key = private })
			k.logIn(k.newBrowser()) // another client of the person
			k.wantWhole("after a login")
			if !k.isLoggedIn(b) {
				t.Error("the browser's login does not count after another one")
			}
		})
	}
}

// Security OPS-02, OPS-03.
func TestIdentityProviderAway(t *testing.T) {
	for name, change := range map[string]func(*keepEnv){
		"it hangs up":              func(k *keepEnv) { k.up.fault = hangUp },
		"503":                      func(k *keepEnv) { k.up.fault = answerWith(503, "inner") },
		"429":                      func(k *keepEnv) { k.up.fault = answerWith(429, `{"error":"invalid_grant "}`) },
		"no JSON":                  func(k *keepEnv) { k.up.fault = answerWith(200, "<html>inner") },
		"operator's wrong secret":  func(k *keepEnv) { k.up.fault = answerWith(401, `{"error":"invalid_client"}`) },
		"renewals are not allowed": func(k *keepEnv) { k.up.fault = answerWith(400, `{"error":"unauthorized_client"}`) },
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeepEnv(t)
			first := k.mustToken()
			k.up.set(func() { change(k) })
			k.clock.advance(time.Hour - 30*time.Second)
			for range 20 {
				if k.mustToken() != first {
					t.Fatal("not the old token while it lives")
				}
			}
			if asked, _ := k.up.count(); asked > 2 { // two ways of client authentication
				t.Errorf("provider was asked %d times at once", asked)
			}
			k.clock.advance(30 * time.Second)
			for range 20 {
				k.wantUnavailable("after its end")
			}
			if asked, _ := k.up.count(); asked > 4 {
				t.Errorf("provider was asked %d times in 30 s", asked)
			}
			k.up.set(func() { k.up.fault = nil })
			k.rest()
			k.wantWhole("when it is back")
		})
	}
}

// The provider rotates, and then its keys cannot be fetched: what it rotated must
// not be lost.
func TestIdentityProviderKeysAway(t *testing.T) {
	k := newKeepEnv(t)
	key := newSigningKey(t, "second")
	k.idp.set(func() { k.idp.key, k.idp.keys = key, answerWith(503, "") })
	k.clock.advance(time.Hour)
	k.wantUnavailable("while its keys are away")
	k.wantRenewals(1, 1)
	k.idp.set(func() { k.idp.keys = nil })
	k.rest()
	k.wantWhole("when they are back")
	k.wantRenewals(2, 2)
}

// A lost answer is no harm where the provider takes the old refresh token again.
func TestIdentityRenewalAnswerLost(t *testing.T) {
	k := newKeepEnv(t)
	k.up.set(func() {
		k.up.kept, k.up.answered = true, func(map[string]any) error { return errors.New("lost") }
	})
	k.clock.advance(time.Hour)
	k.wantUnavailable("the answer is lost")
	k.up.set(func() { k.up.answered = nil })
	k.rest()
	k.wantWhole("the next time")
}

func TestIdentityTokenOfAnotherProvider(t *testing.T) {
	k := newKeepEnv(t)
	other := newIDP(t)
	other.clock = k.clock
	identity, err := authserver.NewOIDCIdentity(authserver.OIDCConfig{
		Issuer: other.URL, ClientID: idpClient, ClientSecret: idpSecret, Now: k.clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	k.server = k.newServer(func(c *authserver.Config) { c.Identity = identity })
	k.clock.advance(time.Hour)
	k.wantGone("after a change of the identity provider")
	if n := other.count("/token"); n != 0 {
		t.Errorf("the other provider got %d token requests", n)
	}
}

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
	if _, err := k.server.RejectIdentityToken(t.Context(), k.userID, kept.Tokens.ID.Reveal()); !errors.Is(err, authserver.ErrIdentityTokenGone) {
		t.Fatalf("RejectIdentityToken = %v", err)
	}
	if status, answer, _ := k.token(codeForm(k.clientID, code)); status != 400 || answer["error"] != "invalid_grant" {
		t.Errorf("token = %d %v, want invalid_grant", status, answer)
	}
}

func TestRejectIdentityToken(t *testing.T) {
	reject := func(k *keepEnv, token string) (string, error) {
		got, err := k.server.RejectIdentityToken(k.Context(), k.userID, token)
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
		if _, err := k.server.RejectIdentityToken(t.Context(), "nobody", "x"); !errors.Is(err, authserver.ErrIdentityTokenGone) {
			t.Errorf("RejectIdentityToken = %v, want ErrIdentityTokenGone", err)
		}
	})
}

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

func TestSecretShowsNothing(t *testing.T) {
	const hidden = "what nobody may see"
	s := authserver.NewSecret(hidden)
	tokens := authserver.IdentityTokens{ID: s, Access: s, Refresh: s}
	b, err := json.Marshal(tokens)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		string(b), fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q %x", tokens, tokens, tokens, tokens, tokens, s), s.LogValue().String(),
	} {
		if strings.Contains(text, hidden) || strings.Contains(text, fmt.Sprintf("%x", hidden)) {
			t.Errorf("shown as %s", text)
		}
	}
	if s.Reveal() != hidden || s.IsZero() || !s.Equal(authserver.NewSecret(hidden)) || s.Equal(authserver.NewSecret("other")) {
		t.Error("the secret is not what was put in")
	}
}
