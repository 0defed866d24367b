package authserver_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

const audience = "https://crm.example.com"

func (e *env) assertion() authserver.Assertion {
	return authserver.Assertion{
		Issuer: e.base + testPath, Audience: audience, UserID: "u-1", ClientID: "c-1",
		Email: "alice@example.com", Name: "Alice", Groups: []string{"eng", "ops"},
	}
}

func (e *env) assert(a authserver.Assertion) string {
	e.Helper()
	signed, err := e.server.Assert(e.Context(), a)
	if err != nil {
		e.Fatal(err)
	}
	return signed.Reveal()
}

// opened verifies a token by the published key and returns its header and claims.
func (e *env) opened(token string) (header, claims map[string]any) {
	e.Helper()
	key, err := x509.ParsePKIXPublicKey(e.publicKey())
	if err != nil {
		e.Fatal(err)
	}
	payload, err := jws.Verify([]byte(token), jws.WithKey(jwa.ES256, key))
	if err != nil {
		e.Fatal(err)
	}
	head, err := base64.RawURLEncoding.DecodeString(token[:strings.Index(token, ".")])
	if err != nil {
		e.Fatal(err)
	}
	if err := json.Unmarshal(head, &header); err != nil {
		e.Fatal(err)
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		e.Fatal(err)
	}
	return header, claims
}

// Whoever has the keys of the endpoint can check who is meant, and for how long.
func TestAssert(t *testing.T) {
	e := newEnv(t)
	now := float64(e.clock.Now().Unix())
	all := map[string]any{
		"iss": e.base + testPath, "aud": audience, "sub": "u-1", "client_id": "c-1", "iat": now, "exp": now + 120,
		"email": "alice@example.com", "email_verified": true, "name": "Alice", "groups": []any{"eng", "ops"},
	}
	for name, test := range map[string]struct {
		change func(*authserver.Assertion)
		less   []string
	}{
		"all":            {func(*authserver.Assertion) {}, nil},
		"only a person":  {func(a *authserver.Assertion) { a.ClientID, a.Email, a.Name, a.Groups = "", "", "", nil }, []string{"client_id", "email", "email_verified", "name", "groups"}},
		"without e-mail": {func(a *authserver.Assertion) { a.Email = "" }, []string{"email", "email_verified"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := e.assertion()
			test.change(&a)
			header, claims := e.opened(e.assert(a))
			if header["typ"] != authserver.AssertionType || header["alg"] != "ES256" || header["kid"] == "" {
				t.Errorf("header %v", header)
			}
			if id, ok := claims["jti"].(string); !ok || len(id) < 20 {
				t.Errorf("jti %v", claims["jti"])
			}
			delete(claims, "jti")
			want := make(map[string]any, len(all))
			for name, value := range all {
				want[name] = value
			}
			for _, name := range test.less {
				delete(want, name)
			}
			if diff := cmp.Diff(want, claims); diff != "" {
				t.Errorf("claims (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAssertIsOfEachRequest(t *testing.T) {
	e := newEnv(t)
	first, second := e.assert(e.assertion()), e.assert(e.assertion())
	_, a := e.opened(first)
	_, b := e.opened(second)
	if a["jti"] == b["jti"] {
		t.Error("two assertions have the same id")
	}
	e.clock.advance(time.Hour)
	if _, later := e.opened(e.assert(e.assertion())); later["iat"].(float64) != a["iat"].(float64)+3600 {
		t.Errorf("an hour later iat is %v, first it was %v", later["iat"], a["iat"])
	}
}

// Neither kind of token passes for the other, though the same key signs both.
// Security JWT-02.
func TestAssertionIsNoAccessToken(t *testing.T) {
	e := newEnv(t)
	access, refresh := e.login(e.publicClient(), "alice")
	header, claims := e.opened(access)
	if header["typ"] == authserver.AssertionType || claims["aud"] == audience {
		t.Errorf("an access token has %v and %v of an assertion", header["typ"], claims["aud"])
	}
	a := e.assertion()
	a.UserID = claims["sub"].(string)
	a.ClientID = claims["client_id"].(string)
	assertion := e.assert(a)
	if user, err := e.verify(assertion); err == nil {
		t.Errorf("the assertion is an access token of %s", user)
	}
	if status, answer, _ := e.token(refreshForm(a.ClientID, assertion)); status != 400 || answer["error"] != "invalid_grant" {
		t.Errorf("the assertion as refresh token: %d %v", status, answer)
	}
	if user, err := e.verify(access); err != nil || user == "" || refresh == "" {
		t.Errorf("the access token: %q, %v", user, err)
	}
}

func TestAssertRefuses(t *testing.T) {
	e := newEnv(t)
	for name, change := range map[string]func(*authserver.Assertion){
		"no issuer":                func(a *authserver.Assertion) { a.Issuer = "" },
		"no audience":              func(a *authserver.Assertion) { a.Audience = "" },
		"nobody":                   func(a *authserver.Assertion) { a.UserID = "" },
		"one for itself as server": func(a *authserver.Assertion) { a.Audience = a.Issuer },
	} {
		a := e.assertion()
		change(&a)
		if signed, err := e.server.Assert(t.Context(), a); err == nil || !signed.IsZero() {
			t.Errorf("%s: %v, want an error", name, err)
		}
	}
}
