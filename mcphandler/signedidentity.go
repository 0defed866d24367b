package mcphandler

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// IdentityHeader is the request header of a [SignedIdentity] that names none. It
// is not Authorization, which is where the grant of a tool's provider goes.
const IdentityHeader = "X-Alter-Identity"

// maxAudience bounds an audience, in bytes: what the Alter Vault takes.
const maxAudience = 512

// SignedIdentity has requests carry a signed statement of who calls: a JWT (RFC
// 7519) for whoever reads it, good for minutes.
type SignedIdentity struct {
	// Whom the statement is for, as the `aud` that they check: an absolute URI of
	// at most 512 characters, such as `https://crm.example.com`. Required.
	Audience string `json:"audience,omitempty"`

	// The request header that carries it. In `Authorization` it comes after
	// `Bearer`; in any other it stands alone. Default: `X-Alter-Identity`.
	Header string `json:"header,omitempty"`
}

// Check returns an error that says what of the settings is wrong.
func (s *SignedIdentity) Check() error {
	u, err := url.Parse(s.Audience)
	switch {
	case s.Audience == "":
		return errors.New("the audience is missing; accepted is an absolute URI, such as https://crm.example.com")
	case err != nil || !u.IsAbs() || strings.ContainsFunc(s.Audience, func(r rune) bool { return r <= ' ' || r > '~' || r == '{' || r == '}' }):
		return fmt.Errorf("audience %q: accepted is an absolute URI, such as https://crm.example.com, without placeholders", s.Audience)
	case len(s.Audience) > maxAudience:
		return fmt.Errorf("audience of %d characters: accepted are at most %d", len(s.Audience), maxAudience)
	case !httpguts.ValidHeaderFieldName(s.HeaderName()):
		return fmt.Errorf("header %q: accepted is the name of a header", s.Header)
	}
	switch name := http.CanonicalHeaderKey(s.HeaderName()); {
	case ownedByTransport(name), name == "Cookie", name == "Content-Type":
		return fmt.Errorf("header %s has a meaning of its own; accepted is another name, such as %s", name, IdentityHeader)
	}
	return nil
}

// HeaderName is the name of the header, in its canonical form.
func (s *SignedIdentity) HeaderName() string {
	if s.Header == "" {
		return IdentityHeader
	}
	return http.CanonicalHeaderKey(s.Header)
}

// HeaderValue is the value of the header that carries token.
func (s *SignedIdentity) HeaderValue(token string) string {
	if s.HeaderName() == "Authorization" {
		return "Bearer " + token
	}
	return token
}

// check refuses what a tool cannot have beside it.
func (s *SignedIdentity) check(cfg *DeclaredConfig) error {
	if s == nil {
		return nil
	}
	if err := s.Check(); err != nil {
		return fmt.Errorf("signed_identity: %w", err)
	}
	if cfg.Request == nil {
		return errors.New("signed_identity: accepted only with request")
	}
	if cfg.Provider != "" && s.HeaderName() == "Authorization" {
		return errors.New("signed_identity: header Authorization is the provider's; accepted only in a tool without one")
	}
	for i, header := range cfg.Request.Headers {
		if strings.EqualFold(header.Name, s.HeaderName()) {
			return fmt.Errorf("request: headers[%d] %s: this field is set by signed_identity", i, header.Name)
		}
	}
	return nil
}
