// Package peer is all that the server under test talks to and is compared with:
// the provider, the identity provider, and servers that do the same work in
// other ways.
package peer

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/client"
)

// tokenPrefix begins a person's token at the provider; the name follows.
const tokenPrefix = "prov-"

// Provider is a service with an OAuth server that gives everybody a token at
// once, and an API that says whose token it got.
type Provider struct {
	answered atomic.Int64 // requests with a good token
}

// Handler returns the provider's pages and API.
func (p *Provider) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /user", p.user)
	mux.HandleFunc("POST /rpc", p.rpc)
	mux.HandleFunc("GET /count", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, p.answered.Load()) })
	return mux
}

// profile is what the API answers with, about as long as a real one.
func profile(name string) string {
	return `{"login":"` + name + `","id":4711,"type":"User","plan":"free","company":"Bench & Söhne","note":"as asked for"}`
}

func (p *Provider) user(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "+tokenPrefix)
	if !ok || name == "" {
		http.Error(w, "bad credentials", http.StatusUnauthorized)
		return
	}
	p.answered.Add(1)
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, profile(name)) //nolint:gosec // JSON, by its type
}

// rpc answers as a whole MCP server, for a proxy in front of it.
func (p *Provider) rpc(w http.ResponseWriter, r *http.Request) {
	answerRPC(w, r, func() (string, error) {
		p.answered.Add(1)
		return profile(claimedName(r)), nil
	})
}

// authorize grants whatever the person in front of the browser was asked for.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	redirectWith(w, r, r.URL.Query(), url.Values{"code": {r.Header.Get(client.PersonField)}})
}

// token gives tokens for a code, which is the person's name, or a refresh token.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	name := r.PostFormValue("code")
	if r.PostFormValue("grant_type") == "refresh_token" {
		name = strings.TrimPrefix(r.PostFormValue("refresh_token"), "again-")
	}
	if name == "" || r.PostFormValue("client_secret") != "bench-secret" {
		answerJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant"})
		return
	}
	answerJSON(w, http.StatusOK, map[string]any{
		"access_token": tokenPrefix + name, "refresh_token": "again-" + name,
		"token_type": "Bearer", "expires_in": 8 * 3600,
	})
}

// redirectWith sends a browser back to the redirect URI of an authorization
// request, with its state.
func redirectWith(w http.ResponseWriter, r *http.Request, request, answer url.Values) {
	to, err := url.Parse(request.Get("redirect_uri"))
	if err != nil || to.Host == "" || r.Header.Get(client.PersonField) == "" {
		http.Error(w, "redirect_uri or person is missing", http.StatusBadRequest)
		return
	}
	answer.Set("state", request.Get("state"))
	to.RawQuery = answer.Encode()
	w.Header().Set("Location", to.String())
	w.WriteHeader(http.StatusFound)
}

func answerJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
