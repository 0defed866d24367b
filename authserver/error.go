package authserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"go.uber.org/zap"
)

// Error is a failure that the OAuth client is told about. Code and Description
// go over the wire (RFC 6749 sections 4.1.2.1 and 5.2); the wrapped cause goes
// to the log only.
type Error struct {
	Code        string // such as "invalid_grant"
	Description string // for the developer of the client; no user data
	Status      int    // HTTP status where the answer is not a redirect
	cause       error
}

// Sentinels for errors.Is. They compare by Code alone.
var (
	ErrInvalidRequest       = &Error{Code: "invalid_request", Status: http.StatusBadRequest}
	ErrInvalidClient        = &Error{Code: "invalid_client", Status: http.StatusUnauthorized}
	ErrInvalidGrant         = &Error{Code: "invalid_grant", Status: http.StatusBadRequest}
	ErrInvalidScope         = &Error{Code: "invalid_scope", Status: http.StatusBadRequest}
	ErrInvalidTarget        = &Error{Code: "invalid_target", Status: http.StatusBadRequest}
	ErrUnsupportedGrantType = &Error{Code: "unsupported_grant_type", Status: http.StatusBadRequest}
	ErrUnsupportedResponse  = &Error{Code: "unsupported_response_type", Status: http.StatusBadRequest}
	ErrRequestNotSupported  = &Error{Code: "request_not_supported", Status: http.StatusBadRequest}
	ErrRequestURINotAllowed = &Error{Code: "request_uri_not_supported", Status: http.StatusBadRequest}
	ErrAccessDenied         = &Error{Code: "access_denied", Status: http.StatusForbidden}
	ErrLoginRequired        = &Error{Code: "login_required", Status: http.StatusBadRequest}
	ErrConsentRequired      = &Error{Code: "consent_required", Status: http.StatusBadRequest}
	ErrServer               = &Error{Code: "server_error", Status: http.StatusInternalServerError}
	ErrUnavailable          = &Error{Code: "temporarily_unavailable", Status: http.StatusServiceUnavailable}
	ErrInvalidRedirectURI   = &Error{Code: "invalid_redirect_uri", Status: http.StatusBadRequest}
	ErrInvalidMetadata      = &Error{Code: "invalid_client_metadata", Status: http.StatusBadRequest}
	ErrUnauthorizedClient   = &Error{Code: "unauthorized_client", Status: http.StatusBadRequest}
	ErrAuthorizationPending = &Error{Code: "authorization_pending", Status: http.StatusBadRequest} // RFC 8628 section 3.5
	ErrSlowDown             = &Error{Code: "slow_down", Status: http.StatusBadRequest}
	ErrExpiredToken         = &Error{Code: "expired_token", Status: http.StatusBadRequest}
	ErrTooManyRequests      = &Error{Code: "too_many_requests", Status: http.StatusTooManyRequests}
)

// because returns a copy of e with a description and a private cause. The
// sentinel itself is never changed.
func (e *Error) because(cause error, format string, args ...any) *Error {
	c := *e
	c.Description, c.cause = descriptionText(fmt.Sprintf(format, args...)), cause
	return &c
}

// descriptionText keeps s within the characters of error_description: no quote,
// no backslash, nothing outside printable ASCII (RFC 6749 section 5.2).
func descriptionText(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < 0x20 || c > 0x7e || c == '\\' || c == '"' {
			b[i] = '\''
		}
	}
	return string(b)
}

// Error implements error. The text is for the log: it names the cause.
func (e *Error) Error() string {
	msg := e.Code
	if e.Description != "" {
		msg += ": " + e.Description
	}
	if e.cause != nil {
		msg += ": " + e.cause.Error()
	}
	return msg
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether target is an *Error with the same Code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// asError makes an *Error of any error. What is not one already is a fault of
// ours: the store did not answer, and a later try may succeed.
func asError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return ErrUnavailable.because(err, "the server cannot do this at the moment, try again")
}

// writeError answers with the error in JSON (RFC 6749 section 5.2).
func (s *Server) writeError(w http.ResponseWriter, r *http.Request, err error) {
	e := asError(err)
	s.logError(r, e)
	if e.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	s.writeJSON(w, e.Status, struct {
		Error       string `json:"error"`
		Description string `json:"error_description,omitempty"`
	}{e.Code, e.Description})
}

// logError writes faults of ours as errors, and those of clients for whoever
// looks for them.
func (s *Server) logError(r *http.Request, e *Error) {
	fields := []zap.Field{zap.String("path", r.URL.Path), zap.String("error", e.Code), zap.String("description", e.Description)}
	if e.cause != nil {
		fields = append(fields, zap.NamedError("cause", e.cause))
	}
	if e.Status >= http.StatusInternalServerError {
		s.log.Error("oauth request failed", fields...)
		return
	}
	s.log.Debug("oauth request refused", fields...)
}

// writeJSON answers with v, never to be stored (RFC 6749 section 5.1, RFC 7591
// section 3.2.1).
func (s *Server) writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		s.log.Error("encoding an answer failed", zap.Error(err))
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone, which is not ours to mend
}
