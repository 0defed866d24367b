package client

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// redirectURI is the client's. Nobody listens there: the browser stops at it.
const redirectURI = "http://127.0.0.1:33418/callback"

// Server is the metadata of an authorization server (RFC 8414).
type Server struct {
	Issuer        string `json:"issuer"`
	Authorization string `json:"authorization_endpoint"`
	Token         string `json:"token_endpoint"`
	Registration  string `json:"registration_endpoint"`
}

// Tokens is an answer of the token endpoint.
type Tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Type    string `json:"token_type"`
}

// MetadataURL returns where the metadata of an issuer is (RFC 8414 section 3.1).
func MetadataURL(issuer string) (string, error) {
	u, err := url.Parse(issuer)
	if err != nil {
		return "", err
	}
	u.Path = "/.well-known/oauth-authorization-server" + strings.TrimRight(u.Path, "/")
	return u.String(), nil
}

// Discover reads the metadata of an issuer.
func (b *Browser) Discover(issuer string) (*Server, error) {
	address, err := MetadataURL(issuer)
	if err != nil {
		return nil, err
	}
	at, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	p, err := b.send(http.MethodGet, at, "", nil)
	if err != nil {
		return nil, err
	}
	server := new(Server)
	if err := json.Unmarshal(p.Body, server); p.Status != http.StatusOK || err != nil || server.Issuer != issuer || server.Token == "" {
		return nil, fmt.Errorf("metadata of %s: status %d: %.200s", issuer, p.Status, p.Body)
	}
	return server, nil
}

// Register registers a public client (RFC 7591) and returns its id.
func (b *Browser) Register(s *Server, name string) (string, error) {
	body, err := json.Marshal(map[string]any{
		"client_name": name, "redirect_uris": []string{redirectURI},
		"grant_types":    []string{"authorization_code", "refresh_token"},
		"response_types": []string{"code"}, "token_endpoint_auth_method": "none",
	})
	if err != nil {
		return "", err
	}
	at, err := url.Parse(s.Registration)
	if err != nil {
		return "", err
	}
	p, err := b.send(http.MethodPost, at, "application/json", body)
	if err != nil {
		return "", err
	}
	var client struct {
		ID   string   `json:"client_id"`
		Name string   `json:"client_name"`
		URIs []string `json:"redirect_uris"`
	}
	if err := json.Unmarshal(p.Body, &client); p.Status != http.StatusCreated || err != nil ||
		client.ID == "" || client.Name != name || len(client.URIs) != 1 || client.URIs[0] != redirectURI {
		return "", fmt.Errorf("registering: status %d: %.200s", p.Status, p.Body)
	}
	return client.ID, nil
}

// Login goes from the authorization request to the tokens: consent, login, code
// and exchange.
func (b *Browser) Login(s *Server, client string) (*Tokens, error) {
	q, verifier := authorization(s, client)
	back, end, err := b.visit(s.Authorization+"?"+q.Encode(), redirectURI)
	if err != nil {
		return nil, fmt.Errorf("logging in: %w", err)
	}
	if back == nil {
		return nil, fmt.Errorf("logging in: status %d at %s: %.300s", end.Status, end.at.Path, end.Body)
	}
	answer := back.Query()
	if answer.Get("state") != q.Get("state") || answer.Get("iss") != s.Issuer || answer.Get("code") == "" {
		return nil, errors.New("logging in: the redirect is not the answer to the request: " + answer.Get("error"))
	}
	return b.exchange(s, client, answer.Get("code"), verifier)
}

// authorization returns the parameters of an authorization request, and the
// verifier of its code (RFC 7636).
func authorization(s *Server, client string) (q url.Values, verifier string) {
	verifier = rand.Text() + rand.Text()
	challenge := sha256.Sum256([]byte(verifier))
	return url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {redirectURI}, "state": {rand.Text()},
		"resource": {s.Issuer}, "code_challenge_method": {"S256"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])},
	}, verifier
}

// exchange changes a code for tokens.
func (b *Browser) exchange(s *Server, client, code, verifier string) (*Tokens, error) {
	return b.token(s, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirectURI},
		"client_id": {client}, "code_verifier": {verifier}, "resource": {s.Issuer},
	})
}

// Refresh changes a refresh token for new tokens.
func (b *Browser) Refresh(s *Server, client string, old *Tokens) (*Tokens, error) {
	fresh, err := b.token(s, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {old.Refresh}, "client_id": {client}})
	if err == nil && (fresh.Access == old.Access || fresh.Refresh == old.Refresh) {
		return nil, errors.New("refreshing: a token came back unchanged")
	}
	return fresh, err
}

func (b *Browser) token(s *Server, form url.Values) (*Tokens, error) {
	at, err := url.Parse(s.Token)
	if err != nil {
		return nil, err
	}
	p, err := b.send(http.MethodPost, at, formType, []byte(form.Encode()))
	if err != nil {
		return nil, err
	}
	tokens := new(Tokens)
	if err := json.Unmarshal(p.Body, tokens); p.Status != http.StatusOK || err != nil ||
		tokens.Access == "" || tokens.Refresh == "" || !strings.EqualFold(tokens.Type, "Bearer") {
		return nil, fmt.Errorf("%s: status %d: %.200s", form.Get("grant_type"), p.Status, p.Body)
	}
	return tokens, nil
}
