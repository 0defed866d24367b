package authserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"go.uber.org/zap"
)

// foreignKept is how long a verified token of an identity provider is taken from
// memory: how soon it is noticed that the provider withdrew a key.
const foreignKept = 5 * time.Minute

// TokenVerifier is an [Identity] whose provider's own access tokens are good at
// the endpoint, where the operator says so: for programs that have a person's
// token already and cannot log in here.
type TokenVerifier interface {
	// VerifyToken returns whom an access token stands for. The error is
	// [ErrInvalidToken], or another one while nobody can tell. It is called for
	// each token that is not kept, and for any that is not of this server.
	VerifyToken(ctx context.Context, token string) (*Bearer, error)
}

// Bearer is what an access token of an identity provider stands for.
type Bearer struct {
	// Person of the token. What the token does not say of the person is taken
	// from the last login here.
	Person
	ClientID string // to which the provider gave it; may be empty
	Expiry   time.Time
}

// verifyForeign verifies a token that is not of this server. It has the endpoint's
// scopes: that it is for the endpoint is what its audience says.
func (s *Server) verifyForeign(ctx context.Context, token string, notOwn error) (*verification, error) {
	verifier, ok := s.cfg.Identity.(TokenVerifier)
	if !ok {
		return nil, notOwn
	}
	b, err := verifier.VerifyToken(ctx, token)
	if err != nil {
		return nil, err
	}
	user, err := s.userOf(ctx, b)
	if err != nil {
		return nil, err
	}
	if !s.cfg.Admit(user) {
		return nil, fmt.Errorf("%w: the user is not admitted", ErrInvalidToken)
	}
	s.log.Info("token of the identity provider accepted", zap.String("user", user.ID), zap.String("client_id", b.ClientID))
	return &verification{
		foreignUntil: s.cfg.Now().Add(foreignKept).Unix(),
		access: Access{
			User: user, ClientID: b.ClientID, ClientName: b.ClientID, Scopes: s.scopeNames(), Expiry: b.Expiry,
			IdentityToken: NewSecret(token),
		},
	}, nil
}

// userOf returns the user of the realm whom a token stands for. One who never
// logged in here is made one, by the rules of a login; nothing is written for
// others.
func (s *Server) userOf(ctx context.Context, b *Bearer) (*User, error) {
	user, err := s.cfg.Store.FindUser(ctx, b.Issuer, b.Subject)
	switch {
	case err == nil:
		user.Profile = b.Profile.over(user.Profile)
		return user, nil
	case !errors.Is(err, ErrNotFound):
		return nil, fmt.Errorf("finding the user of a token: %w", err)
	case !s.cfg.Admit(&User{Issuer: b.Issuer, Subject: b.Subject, Profile: b.Profile}):
		return nil, fmt.Errorf("%w: the user is not admitted", ErrInvalidToken)
	}
	if user, err = s.cfg.Store.UpsertUser(ctx, randomID(), b.Issuer, b.Subject, b.Profile, s.cfg.Now()); err != nil {
		return nil, fmt.Errorf("storing the user of a token: %w", err)
	}
	return user, nil
}

// over returns the profile with what it lacks taken from another one.
func (p Profile) over(other Profile) Profile {
	if p.Email == "" {
		p.Email = other.Email
	}
	own := splitClaims(p.Claims)
	if _, said := own["email_verified"]; !said {
		p.EmailVerified = p.EmailVerified || p.Email == other.Email && other.EmailVerified
	}
	if p.Name == "" {
		p.Name = other.Name
	}
	if p.Groups == nil {
		p.Groups = other.Groups
	}
	all := splitClaims(other.Claims)
	maps.Copy(all, own)
	p.Claims = joinClaims(all)
	return p
}

// isForeign says that the token is the identity provider's.
func (v *verification) isForeign() bool { return v.foreignUntil != 0 }
