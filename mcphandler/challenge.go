package mcphandler

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"go.uber.org/zap"
)

// retryAfter is how many seconds a client is asked to wait while tokens or
// sessions cannot be checked.
const retryAfter = "5"

// authenticate returns who sent r, or answers r and returns nil.
func (h *Handler) authenticate(w http.ResponseWriter, r *http.Request) *Caller {
	caller, err := h.cfg.Authenticator.Authenticate(r)
	switch {
	case err == nil && caller != nil && caller.UserID != "":
		if !h.hasScopes(caller) {
			h.insufficientScope(w, r)
			return nil
		}
		return caller
	case err == nil:
		h.logger.Error("authenticator named no caller")
		h.challenge(w, r, false)
	case errors.Is(err, ErrNoToken):
		h.challenge(w, r, false)
	case errors.Is(err, ErrInvalidToken):
		h.challenge(w, r, true)
	default:
		h.logger.Warn("access token not verified", zap.Error(err))
		unavailable(w, nil, "access tokens cannot be verified at the moment")
	}
	return nil
}

// challenge answers 401 (RFC 6750 section 3, RFC 9728 section 5.1). Nothing of
// the request goes into it.
func (h *Handler) challenge(w http.ResponseWriter, r *http.Request, badToken bool) {
	f := &failure{status: http.StatusUnauthorized, code: codeInvalidRequest, message: "an access token is required"}
	if badToken {
		f.message = badTokenMessage
	}
	f.challenge = h.bearerChallenge(h.cfg.Endpoint(r), badToken)
	refuse(w, f)
}

const (
	badTokenMessage  = "the access token is invalid or expired"
	fewScopesMessage = "the access token lacks a scope of this endpoint"
)

// bearerChallenge is the challenge of the endpoint.
func (h *Handler) bearerChallenge(endpoint string, badToken bool) string {
	if badToken {
		return Challenge(endpoint, h.cfg.Scopes, "invalid_token")
	}
	return Challenge(endpoint, h.cfg.Scopes, "")
}

// Challenge returns the value of WWW-Authenticate for a request to what an
// endpoint protects. code is one of RFC 6750 section 3.1, or empty when there
// was no token; scopes are those that a token must have.
func Challenge(endpoint string, scopes []string, code string) string {
	var b strings.Builder
	b.WriteString("Bearer ")
	switch code {
	case "":
	case "invalid_token":
		b.WriteString(`error="invalid_token", error_description="` + badTokenMessage + `", `)
	default:
		b.WriteString(`error="` + code + `", error_description="` + fewScopesMessage + `", `)
	}
	b.WriteString(`resource_metadata="` + metadataURL(endpoint) + `"`)
	if len(scopes) > 0 {
		b.WriteString(`, scope="` + strings.Join(scopes, " ") + `"`)
	}
	return b.String()
}

// loginAgain is the failure of a call whose tool found that the person's login
// is over, though the token is good: for the client it is the same.
func (h *Handler) loginAgain(endpoint string) *failure {
	return &failure{
		status: http.StatusUnauthorized, code: codeInvalidRequest, message: badTokenMessage + "; log in again",
		challenge: h.bearerChallenge(endpoint, true),
	}
}

// hasScopes reports whether the token has all scopes of the endpoint.
func (h *Handler) hasScopes(caller *Caller) bool {
	for _, scope := range h.cfg.Scopes {
		if !slices.Contains(caller.Scopes, scope) {
			return false
		}
	}
	return true
}

// insufficientScope answers 403 and names all scopes that are needed, so that
// the client can ask for them at once (RFC 6750 section 3.1; MCP 2025-11-25,
// scope challenge handling).
func (h *Handler) insufficientScope(w http.ResponseWriter, r *http.Request) {
	refuse(w, &failure{
		status: http.StatusForbidden, code: codeInvalidRequest, message: fewScopesMessage,
		challenge: Challenge(h.cfg.Endpoint(r), h.cfg.Scopes, "insufficient_scope"),
	})
}

// metadataURL returns where the metadata of the protected resource lie
// (RFC 9728 section 3.1): the well-known part goes between host and path.
func metadataURL(endpoint string) string {
	const wellKnown = "/.well-known/oauth-protected-resource"
	u, err := url.Parse(endpoint)
	if err != nil {
		return wellKnown
	}
	return u.Scheme + "://" + u.Host + wellKnown + strings.TrimSuffix(u.EscapedPath(), "/")
}

// isScopeToken reports whether s is a scope-token of RFC 6749 section 3.3, which
// also keeps it from ending the quoted string of a challenge.
func isScopeToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

// unavailable answers 503: the same request may well succeed later.
func unavailable(w http.ResponseWriter, id []byte, message string) {
	send(w, failed(id, unavailableFailure(message)))
}

func unavailableFailure(message string) *failure {
	return &failure{status: http.StatusServiceUnavailable, code: codeInternal, message: message}
}
