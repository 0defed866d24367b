package authserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// IdentityTokenKind says which token of the identity provider a [Server] keeps of
// the people who log in. The zero value is none.
type IdentityTokenKind string

// Kinds of tokens. There are no others.
const (
	// IdentityTokenID is the ID token (OpenID Connect Core 1.0 section 2).
	IdentityTokenID IdentityTokenKind = "id"
	// IdentityTokenAccess is the access token, for a provider whose access
	// tokens are made for whoever resolves people by them.
	IdentityTokenAccess IdentityTokenKind = "access"
)

// Errors of [Server.IdentityToken] and [Server.RejectIdentityToken].
var (
	// ErrIdentityTokenGone: the person must log in again. [Server.Verify]
	// refuses the person's access tokens from then on, so that clients see to
	// it.
	ErrIdentityTokenGone = errors.New("the identity provider's token is gone")
	// ErrIdentityTokenUnavailable: there is none at the moment, and a later try
	// may get one without a login.
	ErrIdentityTokenUnavailable = errors.New("the identity provider's token is not to be had at the moment")
)

// IdentityTokens is what an identity provider gave for a person, at a login or at
// a renewal. Its times are those that the provider named, by the provider's
// clock.
type IdentityTokens struct {
	// Issuer, Subject and Nonce of the ID token of the login that Refresh goes
	// back to. Subject is its sub, which is not always the [Person]'s.
	Issuer, Subject, Nonce string

	ID           Secret
	IDExpiry     time.Time
	Access       Secret
	AccessExpiry time.Time
	// Refresh renews them; empty where the provider gives none.
	Refresh Secret
}

// of returns the token of a kind and its end.
func (t *IdentityTokens) of(kind IdentityTokenKind) (Secret, time.Time) {
	if kind == IdentityTokenAccess {
		return t.Access, t.AccessExpiry
	}
	return t.ID, t.IDExpiry
}

// only returns t without the token that is not of the kind: what nobody asks for
// is not kept.
func (t IdentityTokens) only(kind IdentityTokenKind) IdentityTokens {
	if kind == IdentityTokenAccess {
		t.ID, t.IDExpiry = Secret{}, time.Time{}
	} else {
		t.Access, t.AccessExpiry = Secret{}, time.Time{}
	}
	return t
}

// KeptTokens is what is stored of a person's [IdentityTokens].
type KeptTokens struct {
	UserID string
	// Version changes with each write. 0 in a write: whatever is stored is
	// replaced.
	Version int64
	// Tokens are empty when Dead.
	Tokens IdentityTokens
	// Dead: the provider renews them no more, or nobody takes them. Only a login
	// helps.
	Dead bool
	// Refused: they came in place of some that were refused where they were
	// used. When they are refused too, another renewal will not help.
	Refused bool
	// Stale: they are dead because the login is too old where they are used. One
	// at which nobody is asked anything is as old.
	Stale bool
	// Damaged is why the stored row does not open. Such tokens are dead. It is
	// not stored.
	Damaged   error
	UpdatedAt time.Time
}

// IdentityToken is a person's token of the identity provider.
type IdentityToken struct {
	Token  Secret
	Expiry time.Time
}

const (
	// identityAhead is how long before its end a token is renewed, at most
	// 1/identityAheadPart of its life: every call would renew a token that is
	// short-lived otherwise.
	identityAhead     = time.Minute
	identityAheadPart = 4
	// identityRest is the least time between two renewals that are due by the
	// end of a token, whatever ends a provider gives its tokens.
	identityRest = 5 * time.Second
)

// IdentityToken returns the token of the identity provider that is kept of a
// person, as [Config.KeepIdentityToken] says. It lives for another minute at
// least, or a quarter of its life if that is less, and is renewed ahead of that
// where the provider gave a refresh token. While the provider is away it is good
// until its end. The error is [ErrIdentityTokenGone] or
// [ErrIdentityTokenUnavailable].
func (s *Server) IdentityToken(ctx context.Context, userID string) (IdentityToken, error) {
	k, err := s.livingTokens(ctx, userID)
	if err != nil {
		return IdentityToken{}, err
	}
	return s.identityTokenOf(k), nil
}

// Refusal says why a token of the identity provider is refused where it is used.
type Refusal string

// Refusals of tokens.
const (
	// TokenRefused: it is not good there.
	TokenRefused Refusal = "refused"
	// LoginTooOld: it is, but the person has logged in too long ago.
	LoginTooOld Refusal = "login too old"
)

// RejectIdentityToken says that a token that [Server.IdentityToken] gave was
// refused where it was used. It is renewed once, ahead of its end; when that is
// not possible, gives the same, or what it gives is refused as well, the token is
// dead and the person must log in again: because of [LoginTooOld], so that the
// identity provider asks them. It returns the token to use instead, which may be
// one that somebody else has renewed meanwhile. The errors are those of
// [Server.IdentityToken].
func (s *Server) RejectIdentityToken(ctx context.Context, userID, token string, why Refusal) (IdentityToken, error) {
	k, err := s.readTokens(ctx, userID, s.cfg.Store.IdentityTokens)
	if err != nil {
		return IdentityToken{}, err
	}
	switch current, _ := k.Tokens.of(s.cfg.KeepIdentityToken); {
	case k.Dead || !current.Equal(NewSecret(token)):
		k, err = s.living(ctx, k)
	case k.Refused || !s.renewable(k):
		k, err = s.bury(ctx, k, why, errors.New("it was refused where it is used"))
	default:
		k, err = s.renewTokens(ctx, k, why)
	}
	if err != nil {
		return IdentityToken{}, err
	}
	return s.identityTokenOf(k), nil
}

func (s *Server) identityTokenOf(k *KeptTokens) IdentityToken {
	token, end := k.Tokens.of(s.cfg.KeepIdentityToken)
	return IdentityToken{Token: token, Expiry: end}
}

// livingTokens returns what is kept of a person, renewed if it is about to end.
// What was read within the last second is taken from memory.
func (s *Server) livingTokens(ctx context.Context, userID string) (*KeptTokens, error) {
	k, err := s.readTokens(ctx, userID, s.cfg.Store.RecentIdentityTokens)
	if err != nil {
		return nil, err
	}
	return s.living(ctx, k)
}

// readTokens reads what is kept of a person with read.
func (s *Server) readTokens(
	ctx context.Context, userID string, read func(context.Context, string) (*KeptTokens, error),
) (*KeptTokens, error) {
	if s.cfg.KeepIdentityToken == "" {
		return nil, fmt.Errorf("%w: none is kept", ErrIdentityTokenGone)
	}
	k, err := read(ctx, userID)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, fmt.Errorf("%w: there is none", ErrIdentityTokenGone)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrIdentityTokenUnavailable, err)
	}
	return k, nil
}

// living returns k, or its successor if it is about to end.
func (s *Server) living(ctx context.Context, k *KeptTokens) (*KeptTokens, error) {
	now := s.cfg.Now()
	switch {
	case k.Dead:
		return nil, s.goneBy(k)
	case s.fresh(k, now):
		return k, nil
	case !s.renewable(k):
		return nil, fmt.Errorf("%w: it has ended and cannot be renewed", ErrIdentityTokenGone)
	}
	var err error
	renewed := k
	if age := now.Sub(k.UpdatedAt); age < 0 || age >= identityRest {
		renewed, err = s.renewTokens(ctx, k, "")
	}
	if errors.Is(err, ErrIdentityTokenUnavailable) && s.left(k, now) > 0 {
		s.log.Debug("an identity provider's token goes on until its end", zap.String("user", k.UserID), zap.Error(err))
		return k, nil
	}
	if err == nil && s.left(renewed, s.cfg.Now()) <= 0 {
		err = fmt.Errorf("%w: the provider gives tokens that have ended; are the clocks right?", ErrIdentityTokenUnavailable)
	}
	if err != nil {
		return nil, err
	}
	return renewed, nil
}

// goneBy is the error of dead tokens.
func (s *Server) goneBy(k *KeptTokens) error {
	if k.Damaged != nil {
		s.log.Error("an identity provider's token does not open", zap.String("user", k.UserID), zap.Error(k.Damaged))
	}
	return fmt.Errorf("%w: it is dead", ErrIdentityTokenGone)
}

// left is how long the kept token lives from now; nothing for none.
func (s *Server) left(k *KeptTokens, now time.Time) time.Duration {
	token, end := k.Tokens.of(s.cfg.KeepIdentityToken)
	if token.IsZero() {
		return 0
	}
	return end.Sub(now)
}

// ahead is how long before its end the kept token is renewed.
func (s *Server) ahead(k *KeptTokens) time.Duration {
	return max(0, min(identityAhead, s.left(k, k.UpdatedAt)/identityAheadPart))
}

// fresh reports whether the kept token is good at now without a renewal.
func (s *Server) fresh(k *KeptTokens, now time.Time) bool {
	return !k.Dead && s.left(k, now) > s.ahead(k)
}

// renewable reports whether a renewal can be tried.
func (s *Server) renewable(k *KeptTokens) bool {
	_, can := s.cfg.Identity.(TokenRenewer)
	return can && !k.Dead && !k.Tokens.Refresh.IsZero()
}
