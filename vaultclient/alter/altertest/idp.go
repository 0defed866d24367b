package altertest

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"
)

// keyID names the only key of the identity provider.
const keyID = "altertest-1"

var base64url = base64.RawURLEncoding

func (v *Vault) openIDConfiguration(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]any{
		"issuer":                                v.Issuer(),
		"jwks_uri":                              v.Issuer() + "/jwks.json",
		"authorization_endpoint":                v.Issuer() + "/authorize",
		"token_endpoint":                        v.Issuer() + "/token",
		"response_types_supported":              []string{"code"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{"ES256"},
		"code_challenge_methods_supported":      []string{"S256"},
	})
}

func (v *Vault) jwks(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, map[string]any{"keys": []any{v.publicJWK()}})
}

func (v *Vault) publicJWK() map[string]any {
	point, err := v.idpKey.PublicKey.Bytes() // 4, x, y
	if err != nil {
		return nil
	}
	return map[string]any{
		"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": keyID,
		"x": base64url.EncodeToString(point[1:33]), "y": base64url.EncodeToString(point[33:]),
	}
}

// UserToken returns a token of the identity provider for a person, who need
// not be one of Config.People. A negative ttl gives one that has expired.
func (v *Vault) UserToken(person string, ttl time.Duration) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.userToken(person, ttl)
}

func (v *Vault) userToken(person string, ttl time.Duration) string { return v.idToken(person, ttl, "") }

// idToken is a user token that answers a request with a nonce.
func (v *Vault) idToken(person string, ttl time.Duration, nonce string) string {
	p := v.person(person)
	now := v.now()
	claims := map[string]any{
		"iss": v.Issuer(), "aud": v.config.Audience, "sub": p.Name, "iat": now.Unix(), "exp": now.Add(ttl).Unix(),
		"email": p.Email, "email_verified": true, "name": p.Name,
	}
	if len(p.Groups) > 0 {
		claims["groups"] = p.Groups
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	return v.sign("JWT", claims)
}

func (v *Vault) person(name string) Person {
	i := slices.IndexFunc(v.config.People, func(p Person) bool { return p.Name == name })
	if i < 0 {
		return Person{Name: name, Email: name + "@example.com"}
	}
	return v.config.People[i]
}

// SignToken signs any claims with the identity provider's key, for tokens that
// the vault must refuse.
func (v *Vault) SignToken(claims map[string]any) string { return v.sign("JWT", claims) }

// sign makes an ES256 JWS (RFC 7518, section 3.4).
func (v *Vault) sign(typ string, claims map[string]any) string {
	header := map[string]any{"alg": "ES256", "kid": keyID, "typ": typ}
	signed := base64url.EncodeToString(bytesOf(header)) + "." + base64url.EncodeToString(bytesOf(claims))
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, v.idpKey, digest[:])
	if err != nil {
		return ""
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signed + "." + base64url.EncodeToString(signature[:])
}

// subject verifies a user token and returns whose it is, "" without token. The
// caller holds the lock.
func (v *Vault) subject(token string) (string, *refusal) {
	if token == "" {
		return "", nil
	}
	claims, err := v.verify(token)
	if err != nil {
		return "", refuse(401, "jwt_validation_error", err.Error())
	}
	return claims.Subject, nil
}

type userClaims struct {
	Issuer   string `json:"iss"`
	Audience string `json:"aud"`
	Subject  string `json:"sub"`
	Expires  int64  `json:"exp"`
}

func (v *Vault) verify(token string) (*userClaims, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("the user token is no JWT")
	}
	signature, err := base64url.DecodeString(parts[2])
	if err != nil || len(signature) != 64 {
		return nil, fmt.Errorf("the user token's signature is malformed")
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	if !ecdsa.Verify(&v.idpKey.PublicKey, digest[:], r, s) {
		return nil, fmt.Errorf("the user token's signature is wrong")
	}
	payload, err := base64url.DecodeString(parts[1])
	if err != nil {
		return nil, fmt.Errorf("the user token's payload is malformed")
	}
	var c userClaims
	if err := json.Unmarshal(payload, &c); err != nil {
		return nil, fmt.Errorf("the user token's claims are malformed")
	}
	switch {
	case c.Issuer != v.Issuer():
		return nil, fmt.Errorf("the user token is of issuer %s", c.Issuer)
	case c.Audience != v.config.Audience:
		return nil, fmt.Errorf("the user token is for %s", c.Audience)
	case c.Subject == "":
		return nil, fmt.Errorf("the user token has no subject")
	case c.Expires <= v.now().Unix():
		return nil, fmt.Errorf("the user token has expired")
	}
	return &c, nil
}

func writeJSON(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(bytesOf(body))
}
