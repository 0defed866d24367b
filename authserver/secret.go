package authserver

import (
	"crypto/subtle"
	"log/slog"
)

// Secret holds a token of the identity provider, which must not reach a log, an
// error text or a JSON document. Only [Secret.Reveal] gives it away.
type Secret struct{ s string }

// NewSecret wraps s.
func NewSecret(s string) Secret { return Secret{s} }

// Reveal returns the token itself.
func (s Secret) Reveal() string { return s.s }

// IsZero reports whether there is no token.
func (s Secret) IsZero() bool { return s.s == "" }

// Equal reports whether two secrets are the same, in a time that tells nothing
// of where they differ.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.s), []byte(other.s)) == 1
}

// String implements fmt.Stringer.
func (Secret) String() string { return "[redacted]" }

// GoString implements fmt.GoStringer, which %#v uses.
func (Secret) GoString() string { return "authserver.Secret([redacted])" }

// MarshalText implements encoding.TextMarshaler, which JSON and zap use.
func (Secret) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue("[redacted]") }
