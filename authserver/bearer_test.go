package authserver_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

const (
	bearerAudience = "https://tools.example.com"
	agent          = "research agent"
)

func acceptTokens(cfg *authserver.OIDCConfig) { cfg.AcceptAudiences = []string{bearerAudience} }

// bearer is a good access token of the provider for the person "42", with changes
// to its header and claims: nil takes one out.
func (e *oidcEnv) bearer(head, changes map[string]any) string {
	e.Helper()
	return e.signedBy(get(e.idp, &e.idp.key), head, changes)
}

func (e *oidcEnv) signedBy(key jwk.Key, head, changes map[string]any) string {
	e.Helper()
	now := e.clock.Now()
	header := map[string]any{"alg": "ES256", "typ": "at+jwt", "kid": key.KeyID()}
	claims := map[string]any{
		"iss": e.idp.URL, "sub": "42", "aud": bearerAudience, "client_id": agent, "jti": "j", "scope": "openid",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	for all, some := range map[*map[string]any]map[string]any{&header: head, &claims: changes} {
		maps.Copy(*all, some)
		maps.DeleteFunc(*all, func(_ string, value any) bool { return value == nil })
	}
	return encodeJWT(e.TB.(*testing.T), header, claims, func(input string) []byte {
		var raw any
		if err := key.Raw(&raw); err != nil {
			e.Fatal(err)
		}
		signer, err := jws.NewSigner(jwa.ES256)
		if err != nil {
			e.Fatal(err)
		}
		signature, err := signer.Sign([]byte(input), raw)
		if err != nil {
			e.Fatal(err)
		}
		return signature
	})
}

// checked returns what a token is worth: the subject, or the kind of refusal.
func (e *oidcEnv) checked(token string) string {
	subject, err := e.verify(token)
	switch {
	case errors.Is(err, authserver.ErrInvalidToken):
		return "invalid"
	case err != nil:
		return "unavailable"
	}
	return subject
}

// Security RS-09, JWT-01, JWT-02: of all that an identity provider signs,
// only an access token of a person for an audience that the operator has named is
// good here.
func TestBearer(t *testing.T) {
	const good, bad = "42", "invalid"
	type m = map[string]any
	tests := map[string]struct {
		head, claims m
		want         string
	}{
		"an access token":                    {nil, nil, good},
		"without a type":                     {m{"typ": nil}, nil, good},
		"of the type JWT":                    {m{"typ": "JWT"}, nil, good},
		"with the type in full":              {m{"typ": "application/at+jwt"}, nil, good},
		"without a key's id":                 {m{"kid": nil}, nil, good},
		"for several audiences":              {nil, m{"aud": []string{"other", bearerAudience}}, good},
		"issued a minute ahead":              {nil, m{"iat": e0.Add(time.Minute).Unix(), "nbf": e0.Add(time.Minute).Unix()}, good},
		"for another audience":               {nil, m{"aud": "https://other.example.com"}, bad},
		"for the client of the login":        {nil, m{"aud": idpClient}, bad},
		"for an audience that begins so":     {nil, m{"aud": bearerAudience + "/more"}, bad},
		"for no audience":                    {nil, m{"aud": nil}, bad},
		"of another issuer":                  {nil, m{"iss": "https://idp.example"}, bad},
		"of an issuer with a slash":          {nil, m{"iss": "ISSUER/"}, bad},
		"without an issuer":                  {nil, m{"iss": nil}, bad},
		"that has ended":                     {nil, m{"exp": e0.Unix()}, bad},
		"without an end":                     {nil, m{"exp": nil}, bad},
		"with an end that is a text":         {nil, m{"exp": "9999999999"}, bad},
		"of the future":                      {nil, m{"iat": e0.Add(2 * time.Minute).Unix()}, bad},
		"not valid yet":                      {nil, m{"nbf": e0.Add(2 * time.Minute).Unix()}, bad},
		"without a subject":                  {nil, m{"sub": nil}, bad},
		"with a subject that is a number":    {nil, m{"sub": 42}, bad},
		"with a very long subject":           {nil, m{"sub": strings.Repeat("4", 1025)}, bad},
		"with a very long client":            {nil, m{"client_id": strings.Repeat("4", 513)}, bad},
		"bound to a key":                     {nil, m{"cnf": m{"jkt": "x"}}, bad},
		"an ID token":                        {m{"typ": "JWT"}, m{"nonce": "n"}, bad},
		"an ID token with a hash":            {m{"typ": "JWT"}, m{"at_hash": "n"}, bad},
		"an ID token by its own word":        {m{"typ": "JWT"}, m{"typ": "ID"}, bad},
		"a refresh token":                    {m{"typ": "JWT"}, m{"typ": "Refresh"}, bad},
		"a logout token":                     {m{"typ": "logout+jwt"}, nil, bad},
		"a logout token without a type":      {nil, m{"events": m{}}, bad},
		"of a program (RFC 9068)":            {nil, m{"sub": agent}, bad},
		"of a program (Auth0)":               {nil, m{"gty": "client-credentials"}, bad},
		"of a program (Entra)":               {nil, m{"idtyp": "app"}, bad},
		"signed by none":                     {m{"alg": "none"}, nil, bad},
		"of another algorithm":               {m{"alg": "ES384"}, nil, bad},
		"with a key's id that leads outside": {m{"kid": "../../etc/passwd"}, nil, bad},
		"critical":                           {m{"crit": []string{"b64"}, "b64": true}, nil, bad},
		"very long":                          {nil, m{"more": strings.Repeat("x", 16<<10)}, bad},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			e := newOIDCEnv(t, acceptTokens)
			if iss, ok := tc.claims["iss"].(string); ok {
				tc.claims["iss"] = strings.ReplaceAll(iss, "ISSUER", e.idp.URL)
			}
			if got := e.checked(e.bearer(tc.head, tc.claims)); got != tc.want {
				t.Errorf("it is %q, want %q", got, tc.want)
			}
		})
	}
}

// e0 is the time of the tests' clock at the beginning.
var e0 = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// Security JWT-02: the public key is no secret, and another key is none.
func TestBearerSignatures(t *testing.T) {
	e := newOIDCEnv(t, acceptTokens)
	token := e.bearer(nil, nil)
	input, signature := token[:strings.LastIndex(token, ".")], token[strings.LastIndex(token, ".")+1:]
	public, err := e.idp.key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(public)
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	_, claims = decodeJWT(t, token)
	byPublicKey := encodeJWT(t, map[string]any{"alg": "HS256", "typ": "at+jwt", "kid": "first"}, claims, func(input string) []byte {
		mac := hmac.New(sha256.New, text)
		mac.Write([]byte(input))
		return mac.Sum(nil)
	})
	stranger := newSigningKey(t, "first")
	for name, token := range map[string]string{
		"HS256 by the public key":          byPublicKey,
		"another key of the same id":       e.signedBy(stranger, nil, nil),
		"another key without an id":        e.signedBy(stranger, map[string]any{"kid": nil}, nil),
		"another key that it brings along": e.signedBy(stranger, map[string]any{"jwk": mustMap(t, stranger)}, nil),
		"without a signature":              input + ".",
		"a signature of another token":     e.bearer(nil, map[string]any{"sub": "43"})[:len(input)] + "." + signature,
		"a part more":                      token + ".x",
		"a blank more":                     token + " ",
	} {
		if got := e.checked(token); got != "invalid" {
			t.Errorf("%s: it is %q", name, got)
		}
	}
}

func mustMap(t *testing.T, key jwk.Key) map[string]any {
	t.Helper()
	public, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	m, err := public.AsMap(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// With the client's own id as audience the operator says that ID tokens count.
func TestBearerIsAnIDToken(t *testing.T) {
	e := newOIDCEnv(t, func(cfg *authserver.OIDCConfig) { cfg.AcceptAudiences = []string{idpClient} })
	if got := e.checked(e.bearer(map[string]any{"typ": "JWT"}, map[string]any{"aud": idpClient, "nonce": "n", "at_hash": "h"})); got != "42" {
		t.Errorf("it is %q, want good", got)
	}
}

// A person is the same by a token as by a login, and what the token does not say is
// known of the login.
func TestBearerIsThePersonOfALogin(t *testing.T) {
	e := newOIDCEnv(t, acceptTokens)
	before, err := e.server.Verify(t.Context(), e.bearer(nil, map[string]any{"email": "alice@example.com", "email_verified": true}), e.base+testPath)
	if err != nil {
		t.Fatal(err)
	}
	user := e.person()
	if user.ID != before.User.ID {
		t.Errorf("the login is of user %s, the token of %s", user.ID, before.User.ID)
	}
	token := e.bearer(nil, map[string]any{"groups": []string{"board"}, "level": 3})
	got, err := e.server.Verify(t.Context(), token, e.base+testPath)
	if err != nil {
		t.Fatal(err)
	}
	p := got.User.Profile
	if diff := cmp.Diff([]any{"alice@example.com", true, "Alice", []string{"board"}}, []any{p.Email, p.EmailVerified, p.Name, p.Groups}); diff != "" {
		t.Errorf("profile (-want +got):\n%s", diff)
	}
	if !strings.Contains(string(p.Claims), `"level":3,`) || !strings.Contains(string(p.Claims), `"name":"Alice"`) {
		t.Errorf("claims %s, want those of the token over those of the login", p.Claims)
	}
	if got.ClientID != agent || !got.Expiry.Equal(e0.Add(time.Hour)) || got.IdentityToken.Reveal() != token {
		t.Errorf("access %+v", got)
	}
	stored, err := e.store.User(t.Context(), user.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"staff"}, stored.Profile.Groups); diff != "" {
		t.Errorf("the token changed what the login said (-want +got):\n%s", diff)
	}
	if other := e.checked(e.bearer(nil, map[string]any{"email": "alice@evil.example"})); other != "42" {
		t.Fatalf("it is %q", other)
	}
	evil, err := e.server.Verify(t.Context(), e.bearer(nil, map[string]any{"email": "alice@evil.example", "jti": "2"}), e.base+testPath)
	if err != nil || evil.User.Profile.EmailVerified {
		t.Errorf("another address is verified because the old one was: %+v, %v", evil, err)
	}
	taken := map[string]any{"email": "alice@example.com", "email_verified": false, "jti": "3"}
	if no, err := e.server.Verify(t.Context(), e.bearer(nil, taken), e.base+testPath); err != nil || no.User.Profile.EmailVerified {
		t.Errorf("an address is verified by the login, though the provider says now that it is not: %+v, %v", no, err)
	}
}

func TestBearerIsAdmitted(t *testing.T) {
	var admitted bool
	e := newOIDCEnvWith(t, func(cfg *authserver.Config) {
		cfg.Admit = func(u *authserver.User) bool { return admitted && u.Subject == "42" }
	}, acceptTokens)
	if got := e.checked(e.bearer(nil, nil)); got != "invalid" {
		t.Errorf("who is not admitted is %q", got)
	}
	if _, err := e.store.FindUser(t.Context(), e.idp.URL, "42"); !errors.Is(err, authserver.ErrNotFound) {
		t.Errorf("who is not admitted was stored: %v", err)
	}
	admitted = true
	if got := e.checked(e.bearer(nil, nil)); got != "42" {
		t.Errorf("who is admitted is %q", got)
	}
}

// A token is verified once in five minutes, and never longer than it lives.
func TestBearerIsKept(t *testing.T) {
	e := newOIDCEnv(t, acceptTokens)
	token := e.bearer(nil, map[string]any{"exp": e0.Add(20 * time.Minute).Unix()})
	if got := e.checked(token); got != "42" {
		t.Fatalf("it is %q", got)
	}
	e.idp.set(func() { e.idp.key = newSigningKey(t, "second") }) // the first is withdrawn
	for after, want := range map[time.Duration]string{time.Minute: "42", 5*time.Minute - 2*time.Second: "42"} {
		e.clock.advance(after / 2)
		if got := e.checked(token); got != want {
			t.Errorf("after %v it is %q, want %q", after, got, want)
		}
	}
	e.clock.advance(time.Hour)
	if got := e.checked(token); got != "invalid" {
		t.Errorf("past its end it is %q", got)
	}
	if got := e.checked(e.bearer(nil, nil)); got != "42" {
		t.Errorf("a token by the new key is %q", got)
	}
}

// Keys that nobody has are asked for once in ten seconds.
func TestBearerFloodReachesNoProvider(t *testing.T) {
	e := newOIDCEnv(t, acceptTokens)
	if got := e.checked(e.bearer(nil, nil)); got != "42" {
		t.Fatalf("it is %q", got)
	}
	e.clock.advance(time.Minute)
	before := e.idp.count("/keys")
	for i := range 50 {
		if got := e.checked(e.bearer(map[string]any{"kid": fmt.Sprint("k", i)}, nil)); got != "invalid" {
			t.Fatalf("it is %q", got)
		}
		if got := e.checked(e.signedBy(newSigningKey(t, "first"), nil, map[string]any{"jti": fmt.Sprint(i)})); got != "invalid" {
			t.Fatalf("it is %q", got)
		}
	}
	if n := e.idp.count("/keys") - before; n != 1 {
		t.Errorf("the keys were asked for %d times, want once", n)
	}
	if got := e.checked(e.signedBy(get(e.idp, &e.idp.key), nil, map[string]any{"iss": "https://idp.example"})); got != "invalid" || e.idp.count("/keys")-before != 1 {
		t.Errorf("a token of another issuer is %q, keys were asked for", got)
	}
}

func keysDown(w http.ResponseWriter, _ *http.Request) { http.Error(w, "inner", http.StatusBadGateway) }

// While the provider is away a token is neither good nor bad; what is known goes on.
func TestBearerWhileTheProviderIsAway(t *testing.T) {
	e := newOIDCEnv(t, acceptTokens)
	e.idp.set(func() { e.idp.keys = keysDown })
	if got := e.checked(e.bearer(nil, nil)); got != "unavailable" {
		t.Errorf("without keys it is %q", got)
	}
	e.idp.set(func() { e.idp.keys = nil })
	e.clock.advance(11 * time.Second)
	if got := e.checked(e.bearer(nil, nil)); got != "42" {
		t.Errorf("with keys it is %q", got)
	}
	e.idp.set(func() { e.idp.keys = keysDown })
	e.clock.advance(2 * time.Hour)
	if got := e.checked(e.bearer(nil, map[string]any{"exp": e0.Add(9 * time.Hour).Unix()})); got != "42" {
		t.Errorf("with old keys it is %q", got)
	}
}
