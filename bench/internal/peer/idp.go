package peer

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"math/big"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/client"
)

// IDP is an OpenID Connect provider that logs in whoever sits at the browser,
// at once, and signs with RS256, as most do.
type IDP struct {
	origin string
	key    *rsa.PrivateKey
	codes  sync.Map // code: login
}

type login struct{ name, client, nonce string }

// NewIDP returns the provider at an origin.
func NewIDP(origin string) (*IDP, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	return &IDP{origin: origin, key: key}, err
}

// Handler returns the provider's endpoints.
func (p *IDP) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /jwks", p.keys)
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	return mux
}

func (p *IDP) discovery(w http.ResponseWriter, _ *http.Request) {
	answerJSON(w, http.StatusOK, map[string]any{
		"issuer": p.origin, "authorization_endpoint": p.origin + "/authorize",
		"token_endpoint": p.origin + "/token", "jwks_uri": p.origin + "/jwks",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256"}, "code_challenge_methods_supported": []string{"S256"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
	})
}

func (p *IDP) keys(w http.ResponseWriter, _ *http.Request) {
	encode := base64.RawURLEncoding.EncodeToString
	answerJSON(w, http.StatusOK, map[string]any{"keys": []any{map[string]any{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "1",
		"n": encode(p.key.N.Bytes()), "e": encode(big.NewInt(int64(p.key.E)).Bytes()),
	}}})
}

func (p *IDP) authorize(w http.ResponseWriter, r *http.Request) {
	q, code := r.URL.Query(), rand.Text()
	p.codes.Store(code, login{r.Header.Get(client.PersonField), q.Get("client_id"), q.Get("nonce")})
	redirectWith(w, r, q, url.Values{"code": {code}})
}

func (p *IDP) token(w http.ResponseWriter, r *http.Request) {
	found, ok := p.codes.LoadAndDelete(r.PostFormValue("code"))
	if !ok {
		answerJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
		return
	}
	who, now := found.(login), time.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": p.origin, "sub": who.name, "aud": who.client, "nonce": who.nonce,
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"email": who.name + "@bench.test", "email_verified": true, "name": who.name,
	})
	token.Header["kid"] = "1"
	signed, err := token.SignedString(p.key)
	if err != nil {
		http.Error(w, "signing failed", http.StatusInternalServerError)
		return
	}
	answerJSON(w, http.StatusOK, map[string]any{
		"access_token": rand.Text(), "token_type": "Bearer", "expires_in": 3600, "id_token": signed,
	})
}
