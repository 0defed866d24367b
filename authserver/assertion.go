package authserver

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// AssertionType is the typ of an assertion: neither can it be taken for an access
// token (at+jwt), nor an access token for it (RFC 8725 section 3.11).
const AssertionType = "alter-mcp-identity+jwt"

// AssertionLifetime is how long an assertion is good. Each is for one request:
// what is longer than the way there is for clocks that differ.
const AssertionLifetime = 2 * time.Minute

// Assertion is what [Server.Assert] says of a person, to somebody who does not
// take access tokens of this server.
type Assertion struct {
	// Issuer is the canonical URL of the endpoint, whose metadata (RFC 8414) names
	// the keys. Required.
	Issuer string
	// Audience is who is told. It must not be the endpoint. Required.
	Audience string
	// UserID is the random id of the person in the realm, the subject. Required.
	UserID string
	// ClientID is the app by which the person asks; empty for none.
	ClientID string
	// Email is one that the identity has verified; empty for none.
	Email  string
	Name   string
	Groups []string
}

// assertionClaims are the claims of an assertion (RFC 7519 section 4.1, OpenID
// Connect Core section 5.1).
type assertionClaims struct {
	Issuer        string   `json:"iss"`
	Audience      string   `json:"aud"`
	Subject       string   `json:"sub"`
	IssuedAt      int64    `json:"iat"`
	Expiry        int64    `json:"exp"`
	ID            string   `json:"jti"`
	ClientID      string   `json:"client_id,omitempty"`
	Email         string   `json:"email,omitempty"`
	EmailVerified bool     `json:"email_verified,omitempty"`
	Name          string   `json:"name,omitempty"`
	Groups        []string `json:"groups,omitempty"`
}

// Assert signs a statement of who calls: a JWT with ES256, verified by the keys at
// <issuer>/jwks.json. It is good for [AssertionLifetime] and gives no access to
// this server.
func (s *Server) Assert(ctx context.Context, a Assertion) (Secret, error) {
	switch {
	case a.Issuer == "" || a.Audience == "" || a.UserID == "":
		return Secret{}, errors.New("making an assertion: issuer, audience and user id are required")
	case a.Audience == a.Issuer:
		return Secret{}, errors.New("making an assertion: the audience is the endpoint itself, which takes access tokens alone")
	}
	now := s.cfg.Now()
	token, err := s.sign(ctx, AssertionType, assertionClaims{
		Issuer: a.Issuer, Audience: a.Audience, Subject: a.UserID,
		IssuedAt: now.Unix(), Expiry: now.Add(AssertionLifetime).Unix(), ID: randomID(),
		ClientID: a.ClientID, Email: a.Email, EmailVerified: a.Email != "", Name: a.Name, Groups: a.Groups,
	})
	if err != nil {
		return Secret{}, fmt.Errorf("making an assertion: %w", err)
	}
	return NewSecret(token), nil
}
