package authserver_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

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
