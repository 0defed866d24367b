package altermcp

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/alter-mcp/caddy-alter-mcp/mcphandler"
)

// checkIdentity checks what the next handler is told of the person.
func (a *Auth) checkIdentity() error {
	if a.SignedIdentity == nil {
		return nil
	}
	if err := a.SignedIdentity.Check(); err != nil {
		return fmt.Errorf("signed_identity: %w", err)
	}
	if http.CanonicalHeaderKey(a.IdentityTokenHeader) == a.SignedIdentity.HeaderName() {
		return fmt.Errorf("signed_identity: header %s is that of identity_token_header; want another", a.SignedIdentity.HeaderName())
	}
	return nil
}

// removeTold removes what only this handler may tell the next one: nobody names
// another person. The access token is not read yet where it has the same header.
func (a *Auth) removeTold(h http.Header) {
	if a.IdentityTokenHeader != "" {
		h.Del(a.IdentityTokenHeader)
	}
	if a.SignedIdentity != nil && a.SignedIdentity.HeaderName() != "Authorization" {
		h.Del(a.SignedIdentity.HeaderName())
	}
}

// addSignedIdentity tells the next handler who asks, by a statement that it can
// check, if that is wanted. It comes after the access token was removed.
func (a *Auth) addSignedIdentity(w http.ResponseWriter, r *http.Request, caller *mcphandler.Caller) error {
	if a.SignedIdentity == nil {
		return nil
	}
	token, err := a.found.running.signer.signIdentity(r.Context(), caller, a.SignedIdentity.Audience, "", "")
	switch {
	case errors.Is(err, mcphandler.ErrInvalidToken):
		return a.refuse(w, r, http.StatusUnauthorized, "invalid_token", err)
	case err != nil:
		return unavailableError(w, err)
	}
	setForNext(r.Header, a.SignedIdentity.HeaderName(), a.SignedIdentity.HeaderValue(token))
	return nil
}
