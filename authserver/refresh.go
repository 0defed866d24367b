package authserver

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"go.uber.org/zap"
)

// refreshPrefix lets secret scanners know a refresh token.
const refreshPrefix = "amr_"

// newRefreshToken returns a refresh token of a family: 256 random bits and the
// sealed id of the family, so that an old token is known as one of the family
// and a made-up one is refused without a look at the store.
func (s *Server) newRefreshToken(familyID string) (string, error) {
	var secret [32]byte
	rand.Read(secret[:])
	sealed, err := s.cfg.Sealer.Seal([]byte(familyID), s.ad("refresh token"))
	if err != nil {
		return "", fmt.Errorf("sealing a refresh token: %w", err)
	}
	return refreshPrefix + base64.RawURLEncoding.EncodeToString(append(secret[:], sealed...)), nil
}

// familyOfRefresh returns the family of a refresh token, and whether it is one.
func (s *Server) familyOfRefresh(token string) (string, bool) {
	raw, isOurs := strings.CutPrefix(token, refreshPrefix)
	b, err := base64.RawURLEncoding.Strict().DecodeString(raw)
	if !isOurs || err != nil || len(b) <= 32 || len(b) > 512 {
		return "", false
	}
	id, err := s.cfg.Sealer.Open(b[32:], s.ad("refresh token"))
	return string(id), err == nil
}

// refreshAuthenticated authenticates the client and refreshes. A refresh token
// tells its family, so that one read of the store brings the client, too.
func (s *Server) refreshAuthenticated(w http.ResponseWriter, r *http.Request, form url.Values) (*tokens, error) {
	var a *Authorization
	if id, ok := s.familyOfRefresh(form.Get("refresh_token")); ok {
		var err error
		if a, err = s.cfg.Store.Authorization(r.Context(), id); err != nil && !errors.Is(err, ErrNotFound) {
			return nil, err
		}
	}
	client, err := s.authenticateClient(w, r, form, func(ctx context.Context, id string) (*Client, error) {
		return s.clientOf(ctx, a, id)
	})
	if err != nil {
		return nil, err
	}
	return s.refresh(r, client, a, form)
}

// refresh gives new tokens for a refresh token, which rotates (OAuth 2.1
// section 4.3.1). The immediate predecessor of the newest token gives, within
// the grace, the same successor once more: clients race with themselves and
// lose answers. Anything older, or later, is reuse and ends the family (RFC
// 9700 section 4.14.2). a is the authorization that the token is of; nil when it
// is of none.
func (s *Server) refresh(r *http.Request, client *Client, a *Authorization, form url.Values) (*tokens, error) {
	ctx := r.Context()
	token := form.Get("refresh_token")
	if token == "" {
		return nil, ErrInvalidRequest.because(nil, "refresh_token is missing")
	}
	if a == nil {
		return nil, ErrInvalidGrant.because(nil, "not a refresh token of this server, or the authorization is gone")
	}
	family := a.Family
	if err := s.checkRefreshable(r, client, family, form); err != nil {
		return nil, err
	}
	// Who may not come in any more gets nothing, but the family lives on: the
	// rules may be widened again.
	if a.User == nil || !s.cfg.Admit(a.User) {
		return nil, ErrInvalidGrant.because(nil, "the person may not use this server any more")
	}
	scopes, err := narrowScopes(family.Scopes, form.Get("scope"))
	if err != nil {
		return nil, err
	}
	lifetime, err := s.accessLifetime(ctx, family.UserID)
	if err != nil {
		return nil, err
	}
	next, err := s.rotate(ctx, family, client, token)
	if err != nil {
		return nil, err
	}
	access, err := s.mintAccessToken(ctx, family, scopes, lifetime)
	if err != nil {
		return nil, err
	}
	return s.tokenAnswer(access, lifetime, next, scopes), nil
}

// checkRefreshable checks that a family lives, and what it is bound to. It
// changes nothing.
func (s *Server) checkRefreshable(r *http.Request, client *Client, family *Family, form url.Values) error {
	switch {
	case family.ClientID != client.ID:
		return ErrInvalidGrant.because(nil, "the refresh token was given to another client")
	case family.Resource != s.cfg.Endpoint(r):
		return ErrInvalidGrant.because(nil, "the refresh token was given for another resource")
	case !family.RevokedAt.IsZero():
		return ErrInvalidGrant.because(nil, "the authorization was revoked")
	case !s.cfg.Now().Before(family.ExpiresAt):
		return ErrInvalidGrant.because(nil, "the refresh token has expired")
	}
	return s.checkResource(r, form["resource"])
}

// rotate returns the successor of a refresh token. One conditional write of the
// store decides between requests that come at once.
func (s *Server) rotate(ctx context.Context, family *Family, client *Client, token string) (string, error) {
	presented := hashOf(token)
	if subtle.ConstantTimeCompare(presented, family.Current) == 1 {
		next, rotated, err := s.tryRotate(ctx, family, client, token, presented)
		if err != nil || rotated {
			return next, err
		}
	}
	family, err := s.cfg.Store.Family(ctx, family.ID) // as it is now, and with the successor
	if errors.Is(err, ErrNotFound) {
		return "", ErrInvalidGrant.because(nil, "the authorization is gone")
	}
	if err != nil {
		return "", err
	}
	if next, ok := s.graceSuccessor(family, token, presented); ok {
		return next, nil
	}
	if family.RevokedAt.IsZero() {
		s.log.Warn("refresh token reused", zap.String("user", family.UserID), zap.String("client_id", family.ClientID), zap.String("family", family.ID))
		s.tell(EventRefreshReuse, nil)
		if err := s.revokeFamily(ctx, family, "refresh_token_reused"); err != nil {
			return "", err
		}
	}
	return "", ErrInvalidGrant.because(nil, "the refresh token was used before")
}

func (s *Server) tryRotate(ctx context.Context, family *Family, client *Client, token string, presented []byte) (string, bool, error) {
	next, err := s.newRefreshToken(family.ID)
	if err != nil {
		return "", false, err
	}
	sealed, err := sealSuccessor(token, next)
	if err != nil {
		return "", false, err
	}
	now := s.cfg.Now()
	rotated, err := s.cfg.Store.RotateFamily(ctx, &Rotation{
		FamilyID: family.ID, ClientID: client.ID, ClientUsedAt: client.UsedAt,
		Presented: presented, Next: hashOf(next), Successor: sealed, Now: now, ExpiresAt: now.Add(s.cfg.RefreshIdle),
	})
	return next, rotated, err
}

// graceSuccessor returns the newest token again when its immediate predecessor
// is presented within the grace.
func (s *Server) graceSuccessor(family *Family, token string, presented []byte) (string, bool) {
	age := s.cfg.Now().Sub(family.RotatedAt)
	if !family.RevokedAt.IsZero() || s.cfg.RefreshGrace < 0 || age > s.cfg.RefreshGrace ||
		subtle.ConstantTimeCompare(presented, family.Previous) != 1 {
		return "", false
	}
	next, err := openSuccessor(token, family.Successor)
	if err != nil {
		s.log.Error("opening the successor of a refresh token failed", zap.String("family", family.ID), zap.Error(err))
		return "", false
	}
	return next, true
}

// sealSuccessor encrypts a refresh token so that only its predecessor opens it:
// the store alone does not tell it.
func sealSuccessor(predecessor, successor string) ([]byte, error) {
	aead, err := successorKey(predecessor)
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nil, []byte(successor), nil), nil
}

func openSuccessor(predecessor string, sealed []byte) (string, error) {
	aead, err := successorKey(predecessor)
	if err != nil {
		return "", err
	}
	b, err := aead.Open(nil, nil, sealed, nil)
	return string(b), err
}

// successorKey derives the key from a token of 256 random bits (RFC 5869).
func successorKey(predecessor string) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, []byte(predecessor), nil, "alter_mcp refresh token successor", 32)
	if err != nil {
		return nil, fmt.Errorf("deriving a key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("deriving a key: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}
