package authserver

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
)

// Grant types (RFC 6749 sections 4.1.3 and 6).
const (
	grantCode    = "authorization_code"
	grantRefresh = "refresh_token"
)

// tokens is the answer of the token endpoint (RFC 6749 section 5.1).
type tokens struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
	RefreshToken string `json:"refresh_token,omitempty"`
	Scope        string `json:"scope"`
}

// grantTypes are those that this server has.
func (s *Server) grantTypes() []string {
	types := []string{grantCode, grantRefresh}
	if s.cfg.DeviceAuthorization {
		types = append(types, grantDevice)
	}
	return types
}

// serveToken parses a token request once and gives it to its grant type (RFC
// 6749 section 3.2).
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	form, err := readForm(w, r, "resource")
	var t *tokens
	if err == nil {
		t, err = s.grant(w, r, form)
	}
	s.tellTokens(form.Get("grant_type"), err)
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	w.Header().Set("Pragma", "no-cache")
	s.writeJSON(w, http.StatusOK, t)
}

func (s *Server) grant(w http.ResponseWriter, r *http.Request, form url.Values) (*tokens, error) {
	switch form.Get("grant_type") {
	case "":
		return nil, ErrInvalidRequest.because(nil, "grant_type is missing")
	case grantCode:
		client, err := s.authenticateClient(w, r, form, s.tokenClient)
		if err != nil {
			return nil, err
		}
		return s.redeemCode(r, client, form)
	case grantRefresh:
		return s.refreshAuthenticated(w, r, form)
	case grantDevice:
		if s.cfg.DeviceAuthorization {
			return s.redeemDevice(w, r, form)
		}
	}
	return nil, ErrUnsupportedGrantType.because(nil, "grant_type must be %s", strings.Join(s.grantTypes(), " or "))
}

// redeemCode gives tokens for an authorization code (RFC 6749 section 4.1.3).
// Whatever fails before the code is taken leaves it good: a client that
// authenticates wrongly once may try again.
func (s *Server) redeemCode(r *http.Request, client *Client, form url.Values) (*tokens, error) {
	ctx := r.Context()
	code := form.Get("code")
	if code == "" {
		return nil, ErrInvalidRequest.because(nil, "code is missing")
	}
	if form.Get("code_verifier") == "" {
		return nil, ErrInvalidRequest.because(nil, "code_verifier is missing")
	}
	c, err := s.cfg.Store.Code(ctx, hashOf(code), s.cfg.Now())
	if errors.Is(err, ErrNotFound) {
		return nil, ErrInvalidGrant.because(nil, "the code is unknown or has expired")
	}
	if err != nil {
		return nil, err
	}
	if err := s.checkCode(r, client, c, form); err != nil {
		return nil, err
	}
	return s.giveTokens(ctx, client, c)
}

// giveTokens makes the family that a code gives, and takes the code.
func (s *Server) giveTokens(ctx context.Context, client *Client, c *Code) (*tokens, error) {
	now := s.cfg.Now()
	family := &Family{
		ID: c.FamilyID, UserID: c.UserID, ClientID: c.ClientID, Resource: c.Resource, Scopes: c.Scopes,
		CreatedAt: now, ExpiresAt: now.Add(s.cfg.AccessTokenLifetime + clockSkew), Generation: 1,
	}
	refresh := ""
	if client.mayRefresh() {
		var err error
		if refresh, err = s.newRefreshToken(family.ID); err != nil {
			return nil, err
		}
		family.Current, family.ExpiresAt = hashOf(refresh), now.Add(s.cfg.RefreshIdle)
	}
	return s.takeCode(ctx, c, family, refresh)
}

// takeCode takes the code, which exactly one request can, and mints the tokens.
func (s *Server) takeCode(ctx context.Context, c *Code, family *Family, refresh string) (*tokens, error) {
	// The access token comes first: if it cannot be signed the code stays good.
	lifetime, err := s.accessLifetime(ctx, family.UserID)
	if err != nil {
		return nil, err
	}
	access, err := s.mintAccessToken(ctx, family, family.Scopes, lifetime)
	if err != nil {
		return nil, err
	}
	err = s.cfg.Store.RedeemCode(ctx, c.Hash, family)
	if errors.Is(err, ErrTaken) {
		// A code that comes again may be stolen: what it gave ends (RFC 6749
		// section 4.1.2).
		if err := s.revokeFamily(ctx, &Family{ID: c.FamilyID, UserID: c.UserID, ClientID: c.ClientID}, "code_replayed"); err != nil {
			return nil, err
		}
		return nil, ErrInvalidGrant.because(nil, "the code was used before")
	}
	if errors.Is(err, ErrNotFound) {
		return nil, ErrInvalidGrant.because(nil, "the code is unknown or has expired")
	}
	if err != nil {
		return nil, err
	}
	s.log.Info("authorization given", zap.String("user", c.UserID), zap.String("client_id", c.ClientID), zap.String("family", family.ID))
	return s.tokenAnswer(access, lifetime, refresh, family.Scopes), nil
}

// checkCode checks all that a code is bound to.
func (s *Server) checkCode(r *http.Request, client *Client, c *Code, form url.Values) error {
	if c.ClientID != client.ID {
		return ErrInvalidGrant.because(nil, "the code was given to another client")
	}
	if c.Resource != s.cfg.Endpoint(r) {
		return ErrInvalidGrant.because(nil, "the code was given for another resource")
	}
	// OAuth 2.1 drops redirect_uri here; clients that send it mean it.
	if uri, sent := form["redirect_uri"]; sent && uri[0] != c.RedirectURI {
		return ErrInvalidGrant.because(nil, "redirect_uri is not that of the authorization request")
	}
	if err := s.checkResource(r, form["resource"]); err != nil {
		return err
	}
	return verifyPKCE(c.CodeChallenge, form.Get("code_verifier"))
}

// checkResource refuses any resource but the endpoint (RFC 8707 section 2). A
// single trailing slash is let through: clients add it. Absence means the only
// resource there is: older clients do not send it.
func (s *Server) checkResource(r *http.Request, resources []string) error {
	endpoint := s.cfg.Endpoint(r)
	for _, res := range resources {
		if res != endpoint && res != endpoint+"/" {
			return ErrInvalidTarget.because(nil, "this server is the resource %s and no other", endpoint)
		}
	}
	return nil
}

func (s *Server) tokenAnswer(access string, lifetime time.Duration, refresh string, scopes []string) *tokens {
	return &tokens{
		AccessToken: access, TokenType: "Bearer", ExpiresIn: int64(lifetime.Seconds()),
		RefreshToken: refresh, Scope: strings.Join(scopes, " "),
	}
}

// narrowScopes returns the scopes that a refresh asks for, which must all have
// been granted (RFC 6749 section 6).
func narrowScopes(granted []string, requested string) ([]string, error) {
	if strings.TrimSpace(requested) == "" {
		return granted, nil
	}
	scopes := strings.Fields(requested)
	for _, sc := range scopes {
		if !slices.Contains(granted, sc) {
			return nil, ErrInvalidScope.because(nil, "a scope was asked for that was not granted")
		}
	}
	return scopes, nil
}
