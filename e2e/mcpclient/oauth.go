package mcpclient

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Tokens is the answer of the token endpoint.
type Tokens struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
	Scope        string `json:"scope"`
}

// OAuthError is an error answer of an OAuth endpoint (RFC 6749 section 5.2).
type OAuthError struct {
	Status      int    `json:"-"`
	Code        string `json:"error"`
	Description string `json:"error_description"`
}

// Error implements error.
func (e *OAuthError) Error() string {
	return fmt.Sprintf("%s (%d): %s", e.Code, e.Status, e.Description)
}

// Register registers a client (RFC 7591), a public one unless
// [Client.AuthMethod] says otherwise.
func (c *Client) Register(ctx context.Context, name, redirectURI string) error {
	if c.AuthMethod == "" {
		c.AuthMethod = "none"
	}
	body, err := json.Marshal(map[string]any{
		"client_name": name, "redirect_uris": []string{redirectURI},
		"grant_types":                []string{"authorization_code", "refresh_token"},
		"response_types":             []string{"code"},
		"token_endpoint_auth_method": c.AuthMethod,
	})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Server.RegistrationEndpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, answer, err := c.send(req, http.StatusCreated)
	if err != nil {
		return fmt.Errorf("registering: %w", err)
	}
	var client struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	if err := decode(resp, answer, &client); err != nil {
		return err
	}
	if client.ID == "" || (client.Secret == "") != (c.AuthMethod == "none") {
		return fmt.Errorf("registering a client with %s gives the id %q and a secret of %d bytes", c.AuthMethod, client.ID, len(client.Secret))
	}
	c.ClientID, c.Secret, c.RedirectURI = client.ID, client.Secret, redirectURI
	return nil
}

// AuthorizeURL begins an authorization and returns the address for the browser.
func (c *Client) AuthorizeURL() string {
	c.state, c.verifier = rand.Text(), rand.Text()+rand.Text()
	sum := sha256.Sum256([]byte(c.verifier))
	q := url.Values{
		"response_type": {"code"}, "client_id": {c.ClientID}, "redirect_uri": {c.RedirectURI},
		"state": {c.state}, "resource": {c.Resource.Resource},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	if c.scope != "" {
		q.Set("scope", c.scope)
	}
	return c.Server.AuthorizationEndpoint + "?" + q.Encode()
}

// Redeem takes the redirect to the client and changes its code for tokens.
func (c *Client) Redeem(ctx context.Context, redirect *url.URL) error {
	q := redirect.Query()
	if !strings.HasPrefix(redirect.String(), c.RedirectURI+"?") {
		return fmt.Errorf("redirect goes to %s, not to %s", redirect.Redacted(), c.RedirectURI)
	}
	if q.Get("state") != c.state || q.Get("iss") != c.Server.Issuer {
		return fmt.Errorf("redirect has the state %q and issuer %q, want %q and %q", q.Get("state"), q.Get("iss"), c.state, c.Server.Issuer)
	}
	if code := q.Get("error"); code != "" {
		return &OAuthError{Code: code, Description: q.Get("error_description")}
	}
	return c.token(ctx, url.Values{
		"grant_type": {"authorization_code"}, "code": {q.Get("code")},
		"redirect_uri": {c.RedirectURI}, "code_verifier": {c.verifier},
	})
}

// Refresh changes the refresh token for new tokens.
func (c *Client) Refresh(ctx context.Context) error {
	return c.token(ctx, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {c.Tokens.RefreshToken}})
}

func (c *Client) token(ctx context.Context, form url.Values) error {
	form.Set("resource", c.Resource.Resource)
	resp, body, err := c.post(ctx, c.Server.TokenEndpoint, form)
	if err != nil {
		return fmt.Errorf("%s: %w", form.Get("grant_type"), err)
	}
	var tokens Tokens
	if err := decode(resp, body, &tokens); err != nil {
		return err
	}
	if resp.Header.Get("Cache-Control") != "no-store" || !strings.EqualFold(tokens.TokenType, "Bearer") || tokens.AccessToken == "" {
		return fmt.Errorf("tokens of type %q with Cache-Control %q", tokens.TokenType, resp.Header.Get("Cache-Control"))
	}
	c.Tokens = tokens
	return nil
}

// Revoke revokes a token (RFC 7009).
func (c *Client) Revoke(ctx context.Context, token string) error {
	_, _, err := c.post(ctx, c.Server.RevocationEndpoint, url.Values{"token": {token}})
	if err != nil {
		return fmt.Errorf("revoking: %w", err)
	}
	return nil
}

// post sends a form of this client; an error in the form of OAuth becomes an [OAuthError].
func (c *Client) post(ctx context.Context, address string, form url.Values) (*http.Response, []byte, error) {
	if c.AuthMethod != "client_secret_basic" {
		form.Set("client_id", c.ClientID)
	}
	if c.AuthMethod == "client_secret_post" {
		form.Set("client_secret", c.Secret)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.AuthMethod == "client_secret_basic" {
		req.SetBasicAuth(url.QueryEscape(c.ClientID), url.QueryEscape(c.Secret))
	}
	resp, body, err := c.send(req, http.StatusOK)
	if err != nil && resp != nil {
		refused := &OAuthError{Status: resp.StatusCode}
		if json.Unmarshal(body, refused) == nil && refused.Code != "" {
			return nil, nil, refused
		}
	}
	return resp, body, err
}
