package authserver_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// TestTokensOfAnIdentityProvider: what an identity provider signs for a person is
// no access token here, even when it names this endpoint as its audience.
//
// Security RS-09, JWT-02.
func TestTokensOfAnIdentityProvider(t *testing.T) {
	e := newEnv(t)
	access, _ := e.login(e.publicClient(), "alice")
	_, own := decodeJWT(t, access)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := e.clock.Now()
	claims := func(changes map[string]any) map[string]any {
		all := map[string]any{
			"iss": "https://idp.example", "sub": "alice", "aud": e.base + testPath, "client_id": "c", "scope": "mcp",
			"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": "j",
		}
		for name, value := range changes {
			all[name] = value
		}
		return all
	}
	for name, tc := range map[string]struct {
		typ    string
		claims map[string]any
	}{
		"access token for an API of its own":   {"at+jwt", claims(map[string]any{"aud": "https://api.idp.example"})},
		"access token for this endpoint":       {"at+jwt", claims(nil)},
		"access token in this server's name":   {"at+jwt", claims(map[string]any{"iss": e.base + testPath, "sub": own["sub"], "sid": own["sid"]})},
		"access token without a type":          {"JWT", claims(nil)},
		"ID token":                             {"JWT", claims(map[string]any{"aud": "client at the provider", "nonce": "n", "email": "alice@example.com"})},
		"ID token that calls itself an access": {"at+jwt", claims(map[string]any{"aud": []string{e.base + testPath, "other"}, "nonce": "n"})},
		"logout token":                         {"logout+jwt", claims(map[string]any{"events": map[string]any{}})},
	} {
		t.Run(name, func(t *testing.T) {
			token := encodeJWT(t, map[string]any{"alg": "ES256", "typ": tc.typ, "kid": "idp"}, tc.claims, func(input string) []byte {
				signer, err := jws.NewSigner(jwa.ES256)
				if err != nil {
					t.Fatal(err)
				}
				signature, err := signer.Sign([]byte(input), key)
				if err != nil {
					t.Fatal(err)
				}
				return signature
			})
			if user, err := e.verify(token); !errors.Is(err, authserver.ErrInvalidToken) {
				t.Errorf("Verify = %q, %v, want ErrInvalidToken", user, err)
			}
		})
	}
}

// Security JWT-01: a token may be a minute from the future, and not a second
// past its end.
func TestClockSkew(t *testing.T) {
	for name, tc := range map[string]struct {
		after time.Duration
		good  bool
	}{
		"ten minutes early":       {-10 * time.Minute, false},
		"a minute and more early": {-61 * time.Second, false},
		"a minute early":          {-time.Minute, true},
		"half a minute early":     {-30 * time.Second, true},
		"just before its end":     {time.Hour - time.Second, true},
		"at its end":              {time.Hour, false},
		"half a minute late":      {time.Hour + 30*time.Second, false},
		"ten minutes late":        {time.Hour + 10*time.Minute, false},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			access, _ := e.login(e.publicClient(), "alice")
			e.clock.advance(tc.after)
			if _, err := e.verify(access); (err == nil) != tc.good || err != nil && !errors.Is(err, authserver.ErrInvalidToken) {
				t.Errorf("Verify: %v, want it to be good: %v", err, tc.good)
			}
		})
	}
}
