package authserver

import (
	"context"
	"errors"
	"net/http"
	"net/url"
)

// serveRevoke ends an authorization (RFC 7009). Either of its tokens ends all of
// it: whoever gives a token up is done. An unknown token is no error (section
// 2.2), and the hint is not needed to find one.
func (s *Server) serveRevoke(w http.ResponseWriter, r *http.Request) {
	form, err := readForm(w, r)
	if err == nil {
		err = s.revoke(w, r, form)
	}
	if err != nil {
		s.writeError(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

func (s *Server) revoke(w http.ResponseWriter, r *http.Request, form url.Values) error {
	client, err := s.authenticateClient(w, r, form, s.tokenClient)
	if err != nil {
		return err
	}
	token := form.Get("token")
	if token == "" {
		return ErrInvalidRequest.because(nil, "token is missing")
	}
	id, err := s.familyOfToken(r.Context(), token)
	if err != nil || id == "" {
		return err
	}
	family, err := s.cfg.Store.Family(r.Context(), id)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if family.ClientID != client.ID {
		return ErrInvalidGrant.because(nil, "the token was given to another client") // RFC 7009 section 2.1
	}
	return s.revokeFamily(r.Context(), family, "revoked_by_client")
}

// familyOfToken finds the family of a refresh or an access token, expired or
// not; an empty id means that it is neither.
func (s *Server) familyOfToken(ctx context.Context, token string) (string, error) {
	if id, ok := s.familyOfRefresh(token); ok {
		return id, nil
	}
	claims, err := s.parseAccessToken(ctx, token)
	if errors.Is(err, ErrInvalidToken) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return claims.Family, nil
}
