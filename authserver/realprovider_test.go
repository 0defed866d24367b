//go:build e2e

package authserver_test

import (
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// realProvider is an authorization server that keeps the tokens of an OpenID
// Connect provider that others wrote, which e2e's TestIdentityTokens starts.
type realProvider struct {
	*env
	clientID string
}

// newRealProvider asks the provider for prompt, if that is not empty.
func newRealProvider(t *testing.T, prompt string) *realProvider {
	t.Helper()
	issuer := os.Getenv("E2E_ISSUER")
	if issuer == "" {
		t.Fatal("E2E_ISSUER does not name the provider: run e2e/run -run TestIdentityTokens")
	}
	params := make(map[string]string)
	if prompt != "" {
		params["prompt"] = prompt
	}
	e := newEnv(t, func(c *authserver.Config) {
		identity, err := authserver.NewOIDCIdentity(authserver.OIDCConfig{
			Issuer: issuer, ClientID: "e2e", ClientSecret: "e2e-secret", Now: c.Now,
			AuthorizeParams: params,
		})
		if err != nil {
			t.Fatal(err)
		}
		c.Identity, c.KeepIdentityToken, c.AccessTokenLifetime = identity, authserver.IdentityTokenID, 24*time.Hour
	})
	e.clock.advance(time.Since(e.clock.Now()))
	p := &realProvider{e, e.publicClient()}
	p.control("/client", `{"redirect_uri":"`+e.base+testPath+`/login/callback"}`)
	return p
}

func (p *realProvider) control(path, body string) {
	p.Helper()
	if answer := p.newBrowser().postJSON(os.Getenv("E2E_CONTROL")+path, body); answer.status != http.StatusOK {
		p.Fatalf("%s of the provider = %d", path, answer.status)
	}
}

// logIn goes the whole way as alice and returns the client's tokens, and how many
// pages the provider has shown.
func (p *realProvider) logIn(b *browser) (access, refresh string, pages int) {
	p.Helper()
	at := p.authorizeURL(p.clientID)
	answer := b.submit(b.get(at), "decision", "allow")
	at = p.base + testPath + "/"
	for range 20 {
		if strings.HasPrefix(answer.location, callback) {
			code := p.params(answer).Get("code")
			if code == "" {
				p.Fatalf("login ends with %s", answer.location)
			}
			status, tokens, _ := p.token(codeForm(p.clientID, code))
			if status != http.StatusOK {
				p.Fatalf("token = %d %v", status, tokens)
			}
			return tokens["access_token"].(string), tokens["refresh_token"].(string), pages
		}
		if answer.location == "" {
			pages++
			answer = b.post(at, url.Values{"person": {"alice"}})
			continue
		}
		from, err := url.Parse(at)
		if err != nil {
			p.Fatal(err)
		}
		next, err := from.Parse(answer.location)
		if err != nil {
			p.Fatal(err)
		}
		at = next.String()
		answer = b.get(at)
	}
	p.Fatalf("the login ends with %d at %s\n%s", answer.status, at, answer.body)
	return "", "", 0
}

// nextSecond waits until the provider's clock, which is the real one, shows another
// second.
func nextSecond() { time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) }

func TestRealProvider(t *testing.T) {
	p := newRealProvider(t, "consent") // for refresh tokens: OpenID Connect Core 1.0 section 11
	access, refresh, _ := p.logIn(p.newBrowser())
	user, err := p.server.Verify(t.Context(), access, p.base+testPath)
	if err != nil {
		t.Fatal(err)
	}
	id := user.User.ID
	first, err := p.server.IdentityToken(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	refused := func() (authserver.IdentityToken, error) {
		return p.server.RejectIdentityToken(t.Context(), id, first.Token.Reveal(), authserver.TokenRefused)
	}

	p.control("/fault", `{"where":"token","what":"down"}`)
	if _, err := refused(); !errors.Is(err, authserver.ErrIdentityTokenUnavailable) {
		t.Errorf("while it is down: %v, want ErrIdentityTokenUnavailable", err)
	}
	p.control("/fault", `{}`)
	p.clock.advance(26 * time.Second)
	nextSecond() // of one second the provider's tokens are the same
	second, err := refused()
	if err != nil || second.Token.Equal(first.Token) || !second.Expiry.After(p.clock.Now()) {
		t.Fatalf("renewed when refused: %v, end %v", err, second.Expiry)
	}

	// Ahead of its end, by the refresh token that the provider rotated.
	p.clock.advance(second.Expiry.Sub(p.clock.Now()) - 30*time.Second)
	nextSecond()
	third, err := p.server.IdentityToken(t.Context(), id)
	if err != nil || third.Token.Equal(second.Token) {
		t.Fatalf("renewed ahead of the end: %v", err)
	}
	kept, err := p.store.IdentityTokens(t.Context(), id)
	if err != nil || kept.Tokens.Subject != "id-alice" || !kept.Tokens.Access.IsZero() {
		t.Errorf("kept are %+v, %v", kept, err)
	}

	p.control("/fault", `{"where":"token","what":"refuses"}`)
	if _, err := p.server.RejectIdentityToken(t.Context(), id, third.Token.Reveal(), authserver.TokenRefused); !errors.Is(err, authserver.ErrIdentityTokenGone) {
		t.Errorf("when the provider refuses: %v, want ErrIdentityTokenGone", err)
	}
	p.control("/fault", `{}`)
	if _, err := p.verify(access); !errors.Is(err, authserver.ErrInvalidToken) {
		t.Errorf("Verify = %v, want ErrInvalidToken", err)
	}
	p.refused("dead", p.clientID, refresh)

	p.clock.advance(time.Since(p.clock.Now())) // the provider's tokens are of now
	p.logIn(p.newBrowser())
	if _, err := p.server.IdentityToken(t.Context(), id); err != nil {
		t.Errorf("after a login: %v", err)
	}
	if access, _ := p.mustRefresh(p.clientID, refresh); access == "" {
		t.Error("the first client gets no token after another login")
	}
}

// The provider lets a browser in that it knows, until the login is too old where
// its token is used.
func TestRealProviderAsksAnew(t *testing.T) {
	p := newRealProvider(t, "")
	b := p.newBrowser()
	logIn := func(when string, pages int) (id string, token authserver.IdentityToken) {
		t.Helper()
		access, _, shown := p.logIn(b)
		if shown != pages {
			t.Errorf("%s: the provider shows %d pages, want %d", when, shown, pages)
		}
		user, err := p.server.Verify(t.Context(), access, p.base+testPath)
		if err != nil {
			t.Fatal(err)
		}
		if token, err = p.server.IdentityToken(t.Context(), user.User.ID); err != nil {
			t.Fatal(err)
		}
		return user.User.ID, token
	}
	logOut := func() { // here, and not at the provider
		t.Helper()
		if answer := b.post(testPath+"/logout", nil, "Origin", p.base); answer.status != http.StatusOK {
			t.Fatalf("logout = %d", answer.status)
		}
	}
	reject := func(id string, token authserver.IdentityToken) {
		t.Helper()
		_, err := p.server.RejectIdentityToken(t.Context(), id, token.Token.Reveal(), authserver.LoginTooOld)
		if !errors.Is(err, authserver.ErrIdentityTokenGone) {
			t.Fatalf("RejectIdentityToken = %v, want ErrIdentityTokenGone", err)
		}
	}
	logIn("the first login", 1)
	logOut()
	id, token := logIn("a browser that the provider knows", 0)
	reject(id, token)
	id, token = logIn("too old, logged in here", 1)
	reject(id, token)
	logOut()
	logIn("too old, logged in at the provider alone", 1)
	logOut()
	logIn("after that", 0)
}
