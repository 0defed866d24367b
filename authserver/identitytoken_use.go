package authserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// errSilentLogin says that the person has to be asked, and was not.
var errSilentLogin = errors.New("the login is too old, and the identity provider has asked nothing")

// keepLogin keeps what the identity provider gave at a login, in place of what
// there was. A login without a token that can be used is none: it would be sent
// to log in again, and again.
func (s *Server) keepLogin(ctx context.Context, userID string, p *Person) error {
	kind := s.cfg.KeepIdentityToken
	if kind == "" {
		return nil
	}
	k := &KeptTokens{UserID: userID, Tokens: p.Tokens.only(kind), UpdatedAt: s.cfg.Now()}
	if old, err := s.cfg.Store.IdentityTokens(ctx, userID); err == nil {
		if old.Stale && p.Silent {
			return errSilentLogin
		}
		takeEarlierRefresh(k, old)
	}
	if token, _ := k.Tokens.of(kind); token.IsZero() || !s.fresh(k, k.UpdatedAt) && !s.renewable(k) {
		return providerFault(fmt.Errorf("it gave no %s token that has not ended, and one is to be kept", kind))
	}
	if err := s.cfg.Store.PutIdentityTokens(ctx, k); err != nil {
		return err
	}
	s.renewalFailures.Remove(userID)
	return nil
}

// takeEarlierRefresh goes on with the refresh token that an earlier login brought,
// and the nonce that goes with it: some providers give one at the first login alone.
func takeEarlierRefresh(k, old *KeptTokens) {
	if !k.Tokens.Refresh.IsZero() || old.Tokens.Issuer != k.Tokens.Issuer || old.Tokens.Subject != k.Tokens.Subject || old.Tokens.Refresh.IsZero() {
		return
	}
	k.Tokens.Refresh, k.Tokens.Nonce = old.Tokens.Refresh, old.Tokens.Nonce
}

// identityGone reports whether a person must log in again at the identity
// provider. While nobody can tell, because the provider or the store is away, the
// person need not: the provider could log nobody in either.
func (s *Server) identityGone(ctx context.Context, userID string) bool {
	if s.cfg.KeepIdentityToken == "" {
		return false
	}
	_, err := s.livingTokens(ctx, userID)
	return errors.Is(err, ErrIdentityTokenGone)
}

// loginTooOld reports whether whoever is logged in in the browser that sent r has
// to be asked by the identity provider. It spares them a login that asks nothing
// and is then found to be too old.
func (s *Server) loginTooOld(r *http.Request) bool {
	value := s.cookie(r, "")
	if s.cfg.KeepIdentityToken == "" || value == "" {
		return false
	}
	session, err := s.cfg.Store.Session(r.Context(), hashOf(value), s.cfg.Now())
	if err != nil {
		return false
	}
	k, err := s.cfg.Store.RecentIdentityTokens(r.Context(), session.UserID)
	return err == nil && k.Stale
}

// accessLifetime is how long an access token for a person is to live: not into
// the end of an identity token that cannot be renewed. A client whose token ends
// by then signs in again before a call fails.
//
// A person whose identity token is gone gets invalid_grant. The refresh token is
// not looked at then, neither rotated nor taken for reused, and its family lives
// on: a login by any client of the person makes it good again.
func (s *Server) accessLifetime(ctx context.Context, userID string) (time.Duration, error) {
	lifetime := s.cfg.AccessTokenLifetime
	if s.cfg.KeepIdentityToken == "" {
		return lifetime, nil
	}
	k, err := s.livingTokens(ctx, userID)
	switch {
	case errors.Is(err, ErrIdentityTokenGone):
		return 0, ErrInvalidGrant.because(err, "the login at the identity provider is over, log in again")
	case err != nil:
		s.log.Warn("an access token is given without a look at the identity provider's", zap.String("user", userID), zap.Error(err))
		return lifetime, nil
	case s.renewable(k):
		return lifetime, nil
	}
	return max(time.Second, min(lifetime, s.left(k, s.cfg.Now())-s.ahead(k))), nil
}
