package authserver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"
	"unique"

	"go.uber.org/zap"
)

// ErrInvalidToken reports an access token that is not good here, for whatever
// reason: 401 with error="invalid_token" (RFC 6750 section 3.1).
var ErrInvalidToken = errors.New("invalid access token")

// Access is what a good access token stands for.
type Access struct {
	User       *User
	ClientID   string
	ClientName string
	Scopes     []string
	Expiry     time.Time
	// IdentityToken is the token itself, if it is the identity provider's and not
	// this server's (see [TokenVerifier]); empty otherwise.
	IdentityToken Secret
}

type tokenHash [sha256.Size]byte

// verification is a verified token that is kept, because a signature costs
// some hundred times a look-up.
type verification struct {
	access    Access
	resource  string       // whom the token is for: endpoint and issuer
	issuedAt  int64        // Unix seconds
	family    string       // id
	checkedAt atomic.Int64 // when the family was last seen alive, Unix nanoseconds
	// foreignUntil is how long a token of the identity provider is kept, in Unix
	// seconds; zero for one of this server.
	foreignUntil int64
}

// clockSkew is how far the clocks of two nodes may be apart.
const clockSkew = time.Minute

// live checks that a token is for the endpoint and that it has begun and not
// ended at now.
func (v *verification) live(endpoint string, now time.Time) error {
	switch {
	case v.resource != endpoint:
		return fmt.Errorf("%w: it is for another resource", ErrInvalidToken)
	case !now.Before(v.access.Expiry):
		return fmt.Errorf("%w: it has expired", ErrInvalidToken)
	case time.Unix(v.issuedAt, 0).After(now.Add(clockSkew)):
		return fmt.Errorf("%w: it is not valid yet", ErrInvalidToken)
	}
	return nil
}

// hashToken hashes a token without a copy of it on the heap, unless it is longer
// than ours are: each call does this.
func hashToken(token string) tokenHash {
	var room [1024]byte
	return sha256.Sum256(append(room[:0], token...))
}

// Verify returns what the access token stands for at the endpoint. The error is
// [ErrInvalidToken], or another one when the store did not answer.
func (s *Server) Verify(ctx context.Context, token, endpoint string) (*Access, error) {
	hash := hashToken(token)
	now := s.cfg.Now()
	v, ok := s.verified.Get(hash)
	if !ok || v.isForeign() && now.Unix() >= v.foreignUntil {
		var err error
		if v, err = s.verifyAndKeep(ctx, token, hash); err != nil {
			return nil, err
		}
	}
	if v.isForeign() {
		if !now.Before(v.access.Expiry) {
			return nil, fmt.Errorf("%w: it has expired", ErrInvalidToken)
		}
		return &v.access, nil
	}
	if err := v.live(endpoint, now); err != nil {
		return nil, err
	}
	if err := s.checkFamily(ctx, v, now); err != nil {
		if errors.Is(err, ErrInvalidToken) {
			s.verified.Remove(hash)
		}
		return nil, err
	}
	if s.identityGone(ctx, v.access.User.ID) {
		return nil, fmt.Errorf("%w: the login at the identity provider is over", ErrInvalidToken)
	}
	return &v.access, nil
}

// verifyAndKeep verifies a token and keeps the result. If anything was forgotten
// meanwhile, what was read may be what had to go: then it serves this call alone,
// for which the family is read once more.
func (s *Server) verifyAndKeep(ctx context.Context, token string, hash tokenHash) (*verification, error) {
	begun, now := s.forgets.Load(), s.cfg.Now()
	v, err := s.verifyAnew(ctx, token)
	if err != nil {
		return nil, err
	}
	s.verified.Add(hash, v)
	if s.forgets.Load() != begun {
		s.verified.Remove(hash)
		return v, nil
	}
	v.checkedAt.Store(now.UnixNano())
	return v, nil
}

// verifyAnew verifies a token and reads whom it stands for.
func (s *Server) verifyAnew(ctx context.Context, token string) (*verification, error) {
	claims, err := s.parseAccessToken(ctx, token)
	if errors.Is(err, ErrInvalidToken) {
		return s.verifyForeign(ctx, token, err)
	}
	if err != nil {
		return nil, err
	}
	if claims.Issuer != claims.Audience { // each endpoint is the issuer of its tokens
		return nil, fmt.Errorf("%w: it is for another resource", ErrInvalidToken)
	}
	a, err := s.cfg.Store.Authorization(ctx, claims.Family)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, fmt.Errorf("%w: the authorization is gone", ErrInvalidToken)
	case err != nil:
		return nil, fmt.Errorf("reading the authorization of a token: %w", err)
	case !a.Family.RevokedAt.IsZero():
		return nil, fmt.Errorf("%w: it was revoked", ErrInvalidToken)
	case a.Family.UserID != claims.Subject || a.Family.ClientID != claims.ClientID:
		return nil, fmt.Errorf("%w: the authorization is another's", ErrInvalidToken)
	case a.User == nil:
		return nil, fmt.Errorf("%w: the user is gone", ErrInvalidToken)
	case !s.cfg.Admit(a.User):
		return nil, fmt.Errorf("%w: the user is not admitted", ErrInvalidToken)
	}
	client, err := s.clientOf(ctx, a, claims.ClientID)
	if errors.Is(err, ErrNotFound) {
		return nil, fmt.Errorf("%w: the client is gone", ErrInvalidToken)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the client of a token: %w", err)
	}
	a.User.Issuer = shared(a.User.Issuer)
	return &verification{
		resource: shared(claims.Audience), issuedAt: claims.IssuedAt, family: claims.Family,
		access: Access{
			User: a.User, ClientID: shared(claims.ClientID), ClientName: shared(client.displayName()),
			Scopes: strings.Fields(shared(claims.Scope)), Expiry: time.Unix(claims.Expiry, 0),
		},
	}, nil
}

// shared returns the one copy of a text that most kept verifications hold.
func shared(text string) string { return unique.Make(text).Value() }

// checkFamily makes sure that the authorization behind a token is alive. While
// the store does not answer, what was last seen holds for MaxStaleness.
func (s *Server) checkFamily(ctx context.Context, v *verification, now time.Time) error {
	alive, err := s.cfg.Store.FamilyAlive(ctx, v.family)
	switch age := now.Sub(time.Unix(0, v.checkedAt.Load())); {
	case err != nil && age < s.cfg.MaxStaleness && ctx.Err() == nil:
		s.log.Warn("the store does not answer, a verified token is accepted for a while", zap.Error(err))
		return nil
	case err != nil:
		return fmt.Errorf("reading the state of a token: %w", err)
	case !alive:
		return fmt.Errorf("%w: the authorization was revoked, or is gone", ErrInvalidToken)
	}
	v.checkedAt.Store(now.UnixNano())
	return nil
}

// revokeFamily ends an authorization with all its tokens, here at once and on
// other nodes within a second. Of f only the ids are looked at.
func (s *Server) revokeFamily(ctx context.Context, f *Family, reason string) error {
	if err := s.cfg.Store.RevokeFamily(ctx, f.ID, s.cfg.Now()); err != nil {
		return fmt.Errorf("revoking an authorization: %w", err)
	}
	s.forget(func(v *verification) bool { return v.family == f.ID })
	s.log.Info("authorization revoked", zap.String("user", f.UserID), zap.String("client_id", f.ClientID),
		zap.String("family", f.ID), zap.String("reason", reason))
	return nil
}

// forgetUser drops the kept verifications of a person.
func (s *Server) forgetUser(id string) {
	s.forget(func(v *verification) bool { return v.access.User.ID == id })
}

// forget drops kept verifications: the next call of such a token is verified
// anew.
func (s *Server) forget(which func(*verification) bool) {
	s.forgets.Add(1) // first: whoever keeps something from here on finds out
	for _, hash := range s.verified.Keys() {
		if v, ok := s.verified.Peek(hash); ok && which(v) {
			s.verified.Remove(hash)
		}
	}
}
