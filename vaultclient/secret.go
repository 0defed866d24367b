package vaultclient

import "log/slog"

// Secret holds a credential that must not reach a log, an error text or a JSON
// document. Only [Secret.Reveal] gives it away, so that one search finds every
// place that uses it.
type Secret struct{ s string }

// NewSecret wraps s.
func NewSecret(s string) Secret { return Secret{s} }

// Reveal returns the credential itself.
func (s Secret) Reveal() string { return s.s }

// IsZero reports whether there is no credential.
func (s Secret) IsZero() bool { return s.s == "" }

// String implements fmt.Stringer.
func (Secret) String() string { return "[redacted]" }

// GoString implements fmt.GoStringer, which %#v uses.
func (Secret) GoString() string { return "vaultclient.Secret([redacted])" }

// MarshalText implements encoding.TextMarshaler, which JSON and zap use.
func (Secret) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue("[redacted]") }
