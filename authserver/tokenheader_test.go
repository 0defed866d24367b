package authserver_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// TestKeysInTheHeader signs with keys that the token itself names, or that
// everybody knows: none is trusted, none is fetched, and none costs time.
//
// Security RS-04, RS-05, RS-08.
func TestKeysInTheHeader(t *testing.T) {
	var fetched atomic.Int64
	listener := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { fetched.Add(1) }))
	defer listener.Close()
	e := newEnv(t)
	access, _ := e.login(e.publicClient(), "alice")
	head, claims := decodeJWT(t, access)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own, err := jwk.FromRaw(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	with := func(name string, value any) map[string]any {
		all := map[string]any{name: value}
		for n, v := range head {
			if _, ok := all[n]; !ok {
				all[n] = v
			}
		}
		return all
	}
	sign := func(input string) []byte {
		signer, err := jws.NewSigner(jwa.ES256)
		if err != nil {
			t.Fatal(err)
		}
		signature, err := signer.Sign([]byte(input), key)
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}
	public := e.publicKey()
	mac := func(secret []byte) func(string) []byte {
		return func(input string) []byte {
			m := hmac.New(sha256.New, secret)
			m.Write([]byte(input))
			return m.Sum(nil)
		}
	}
	wrapped := `{"alg":"PBES2-HS512+A256KW","enc":"A256GCM","p2c":2147483647,"p2s":"AAAAAAAAAAA","typ":"at+jwt"}`
	for name, token := range map[string]string{
		"jwk":                   encodeJWT(t, with("jwk", own), claims, sign),
		"jku":                   encodeJWT(t, with("jku", listener.URL+"/keys"), claims, sign),
		"x5u":                   encodeJWT(t, with("x5u", listener.URL+"/chain"), claims, sign),
		"x5c":                   encodeJWT(t, with("x5c", []string{base64.StdEncoding.EncodeToString(public)}), claims, sign),
		"HMAC by our key, DER":  encodeJWT(t, with("alg", "HS256"), claims, mac(public)),
		"HMAC by our key, PEM":  encodeJWT(t, with("alg", "HS256"), claims, mac(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}))),
		"HMAC by secret":        encodeJWT(t, with("alg", "HS256"), claims, mac([]byte("secret"))),
		"encrypted, costly key": base64.RawURLEncoding.EncodeToString([]byte(wrapped)) + strings.Repeat(".AAAAAAAAAAAAAAAA", 4),
		"unknown critical":      encodeJWT(t, with("crit", []string{"x"}), claims, sign),
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			if user, err := e.verify(token); !errors.Is(err, authserver.ErrInvalidToken) {
				t.Errorf("Verify = %q, %v, want ErrInvalidToken", user, err)
			}
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("Verify took %v, want 3 s at most", took)
			}
		})
	}
	if n := fetched.Load(); n != 0 {
		t.Errorf("%d requests for keys, want none", n)
	}
}

// publicKey returns the key that tokens are verified with, as DER.
func (e *env) publicKey() []byte {
	e.Helper()
	var set struct{ Keys []json.RawMessage }
	if err := json.Unmarshal([]byte(e.newBrowser().get(testPath+"/jwks.json").body), &set); err != nil || len(set.Keys) != 1 {
		e.Fatalf("key set %v: %v", set, err)
	}
	key, err := jwk.ParseKey(set.Keys[0])
	if err != nil {
		e.Fatal(err)
	}
	var raw ecdsa.PublicKey
	if err := key.Raw(&raw); err != nil {
		e.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&raw)
	if err != nil {
		e.Fatal(err)
	}
	return der
}
