package authserver_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

func encodeJWT(t *testing.T, head, claims map[string]any, sign func(input string) []byte) string {
	t.Helper()
	var parts []string
	for _, part := range []map[string]any{head, claims} {
		raw, err := json.Marshal(part)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString(raw))
	}
	input := strings.Join(parts, ".")
	return input + "." + base64.RawURLEncoding.EncodeToString(sign(input))
}

// Security RS-02 to RS-08, RS-10, REF-12, JWT-01, JWT-02.
func TestVerifyRefuses(t *testing.T) {
	e := newEnv(t)
	id := e.publicClient()
	code := e.newCode(id, "alice")
	_, answer, _ := e.token(codeForm(id, code))
	good, refresh := answer["access_token"].(string), answer["refresh_token"].(string)
	head, claims := decodeJWT(t, good)
	jwks := e.newBrowser().get(testPath + "/jwks.json").body
	parts := strings.Split(good, ".")
	none := func(string) []byte { return nil }
	with := func(m map[string]any, k string, v any) map[string]any {
		out := map[string]any{k: v}
		for name, value := range m {
			if name != k {
				out[name] = value
			}
		}
		return out
	}
	foreign, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signedBy := func(headers map[string]any) string {
		h := jws.NewHeaders()
		for k, v := range headers {
			if err := h.Set(k, v); err != nil {
				t.Fatal(err)
			}
		}
		payload, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		token, err := jws.Sign(payload, jws.WithKey(jwa.ES256, foreign, jws.WithProtectedHeaders(h)))
		if err != nil {
			t.Fatal(err)
		}
		return string(token)
	}
	mac := func(key string) func(string) []byte {
		return func(input string) []byte {
			m := hmac.New(sha256.New, []byte(key))
			m.Write([]byte(input))
			return m.Sum(nil)
		}
	}
	signature := func(string) []byte {
		raw, err := base64.RawURLEncoding.DecodeString(parts[2])
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for name, token := range map[string]string{
		"empty":                    "",
		"garbage":                  "abc",
		"three empty parts":        "..",
		"refresh token":            refresh,
		"code":                     code,
		"alg none":                 encodeJWT(t, with(head, "alg", "none"), claims, none),
		"alg NonE":                 encodeJWT(t, with(head, "alg", "NonE"), claims, none),
		"no signature":             parts[0] + "." + parts[1] + ".",
		"HMAC by the key set":      encodeJWT(t, with(head, "alg", "HS256"), claims, mac(jwks)),
		"HMAC by an empty secret":  encodeJWT(t, with(head, "alg", "HS256"), claims, mac("")),
		"another key, our kid":     signedBy(map[string]any{"typ": "at+jwt", "kid": head["kid"]}),
		"another key, unknown kid": signedBy(map[string]any{"typ": "at+jwt", "kid": "x"}),
		"another key, odd kid":     signedBy(map[string]any{"typ": "at+jwt", "kid": "../../etc/passwd' OR 1=1"}),
		"another key, no kid":      signedBy(map[string]any{"typ": "at+jwt"}),
		"key in the header":        signedBy(map[string]any{"typ": "at+jwt", "kid": head["kid"], "jku": e.base + "/jwks.json"}),
		"changed claims":           encodeJWT(t, head, with(claims, "sub", "bob"), signature),
		"changed end":              encodeJWT(t, head, with(claims, "exp", 9999999999), signature),
		"changed typ":              encodeJWT(t, with(head, "typ", "JWT"), claims, signature),
		"critical header":          encodeJWT(t, with(head, "crit", []string{"exp"}), claims, signature),
		"changed signature":        good[:len(good)-6] + "AAAAAA",
		"JWE form":                 "a.b.c.d.e",
		"very long":                strings.Repeat("a", 1<<20),
		"JSON serialization":       `{"payload":"` + parts[1] + `","signatures":[]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if user, err := e.verify(token); !errors.Is(err, authserver.ErrInvalidToken) {
				t.Errorf("Verify = %q, %v, want ErrInvalidToken", user, err)
			}
		})
	}
	if _, err := e.server.Verify(context.Background(), good, "https://other.example/mcp"); !errors.Is(err, authserver.ErrInvalidToken) {
		t.Errorf("at another endpoint: %v, want ErrInvalidToken", err)
	}
	if user, err := e.verify(good); err != nil || user != "alice" {
		t.Errorf("the good token = %q, %v", user, err)
	}
	if _, err := e.server.Verify(context.Background(), good, "https://other.example/mcp"); !errors.Is(err, authserver.ErrInvalidToken) {
		t.Errorf("kept, at another endpoint: %v, want ErrInvalidToken", err)
	}
	e.clock.advance(time.Hour)
	if _, err := e.verify(good); !errors.Is(err, authserver.ErrInvalidToken) {
		t.Errorf("after an hour: %v, want ErrInvalidToken", err)
	}
}

// A clock that jumps back revives nothing that was refused by its signature,
// and refuses what was made later than the allowed skew (JWT-03).
func TestVerifyWithAClockThatJumpsBack(t *testing.T) {
	e := newEnv(t)
	access, _ := e.login(e.publicClient(), "alice")
	e.clock.advance(-30 * time.Second)
	if _, err := e.verify(access); err != nil {
		t.Errorf("30 s earlier: %v", err)
	}
	e.clock.advance(-time.Hour)
	if _, err := e.verify(access); !errors.Is(err, authserver.ErrInvalidToken) {
		t.Errorf("an hour earlier: %v, want ErrInvalidToken", err)
	}
}

// A revocation by another endpoint of the process, or by the configuration before
// this one, is noticed at once.
func TestRevocationElsewhereIsNoticed(t *testing.T) {
	e := newEnv(t)
	access, _ := e.login(e.publicClient(), "alice")
	if _, err := e.verify(access); err != nil {
		t.Fatal(err)
	}
	_, claims := decodeJWT(t, access)
	if err := e.store.RevokeFamily(context.Background(), claims["sid"].(string), e.clock.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := e.verify(access); !errors.Is(err, authserver.ErrInvalidToken) {
		t.Errorf("after that: %v, want ErrInvalidToken", err)
	}
}
