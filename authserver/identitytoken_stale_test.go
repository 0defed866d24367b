package authserver_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
	"github.com/google/go-cmp/cmp"
)

// prompts logs the person in by the client and returns what the provider was told
// to ask at each time that the browser came there.
func (k *keepEnv) prompts(b *browser) []string {
	k.Helper()
	before := len(get(k.idp, &k.idp.requests))
	p := b.get(k.callbackURL(b))
	for range 5 {
		if strings.HasPrefix(p.location, callback) {
			break
		}
		p = b.get(p.location)
	}
	status, answer, _ := k.token(codeForm(k.clientID, k.params(p).Get("code")))
	if status != 200 {
		k.Fatalf("token = %d %v", status, answer)
	}
	var prompts []string
	for _, q := range get(k.idp, &k.idp.requests)[before:] {
		prompts = append(prompts, q.Get("prompt"))
	}
	return prompts
}

// A provider that lets people in unasked gives a token of as old a login, which
// is refused as well: the person would be sent round for ever.
func TestLoginTooOld(t *testing.T) {
	for name, tc := range map[string]struct {
		why      authserver.Refusal
		known    bool          // the browser is logged in here
		authTime time.Duration // of the next login, from now; 0: not told
		want     []string
	}{
		"a browser that is logged in":    {authserver.LoginTooOld, true, 0, []string{"login"}},
		"another one":                    {authserver.LoginTooOld, false, 0, []string{"", "login"}},
		"whose login was long ago":       {authserver.LoginTooOld, false, -time.Hour, []string{"", "login"}},
		"who was asked now":              {authserver.LoginTooOld, false, time.Second, []string{""}},
		"a token refused for its own":    {authserver.TokenRefused, false, 0, []string{""}},
		"in a browser that is logged in": {authserver.TokenRefused, true, 0, []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeepEnv(t, noRefresh)
			b := k.newBrowser()
			if tc.known {
				k.logIn(b)
			}
			token := k.mustToken()
			if _, err := k.server.RejectIdentityToken(t.Context(), k.userID, token, tc.why); !errors.Is(err, authserver.ErrIdentityTokenGone) {
				t.Fatalf("RejectIdentityToken = %v, want ErrIdentityTokenGone", err)
			}
			k.wantGone("refused")
			if tc.authTime != 0 {
				k.up.set(func() { k.up.authTime = k.clock.Now().Add(tc.authTime) })
			}
			if diff := cmp.Diff(tc.want, k.prompts(b)); diff != "" {
				t.Errorf("the provider is told to ask (-want +got):\n%s", diff)
			}
			k.mustToken()
			if diff := cmp.Diff([]string{""}, k.prompts(k.newBrowser())); diff != "" {
				t.Errorf("at the login after it (-want +got):\n%s", diff)
			}
		})
	}
}

// The reason is kept through a renewal that does not help.
func TestLoginTooOldAfterARenewal(t *testing.T) {
	for name, change := range map[string]func(*upstream){
		"its token is refused too":  func(*upstream) {},
		"it gives no other token":   func(u *upstream) { u.shape = func(answer map[string]any) { delete(answer, "id_token") } },
		"the provider refuses it":   func(u *upstream) { clear(u.live) },
		"a later one of this login": func(u *upstream) { u.kept = true },
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeepEnv(t)
			k.up.set(func() { change(k.up) })
			token, err := authserver.IdentityToken{Token: authserver.NewSecret(k.mustToken())}, error(nil)
			for range 3 {
				if err == nil {
					token, err = k.server.RejectIdentityToken(t.Context(), k.userID, token.Token.Reveal(), authserver.LoginTooOld)
				}
			}
			if !errors.Is(err, authserver.ErrIdentityTokenGone) {
				t.Fatalf("RejectIdentityToken = %v, want ErrIdentityTokenGone", err)
			}
			k.up.set(func() { k.up.shape = nil })
			if diff := cmp.Diff([]string{"", "login"}, k.prompts(k.newBrowser())); diff != "" {
				t.Errorf("the provider is told to ask (-want +got):\n%s", diff)
			}
		})
	}
}

// A login for a page of this server goes on there, and cancels nothing else.
func TestLoginTooOldForAPage(t *testing.T) {
	k := newKeepEnv(t, noRefresh)
	if _, err := k.server.RejectIdentityToken(t.Context(), k.userID, k.mustToken(), authserver.LoginTooOld); !errors.Is(err, authserver.ErrIdentityTokenGone) {
		t.Fatal(err)
	}
	b := k.newBrowser()
	p := b.get(testPath + "/connect")
	for range 8 {
		if p.location == "" || strings.HasPrefix(p.location, testPath+"/connect") {
			break
		}
		p = b.get(p.location)
	}
	last := get(k.idp, &k.idp.requests)
	if at, err := url.Parse(p.location); err != nil || at.Path != testPath+"/connect" || last[len(last)-1].Get("prompt") != "login" {
		t.Errorf("the login ends at %d %q, asked for %v", p.status, p.location, last[len(last)-1])
	}
}
