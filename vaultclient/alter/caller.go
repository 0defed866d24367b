package alter

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"unicode/utf8"
)

// CallerType says whether a service or an agent calls.
type CallerType string

// Types of callers. There are no others.
const (
	CallerService CallerType = "service"
	CallerAgent   CallerType = "agent"
)

// Caller is who calls, for the vault's record.
type Caller struct {
	// Name is a free label, or the UUID of a managed agent, which must exist
	// then: at most 255 printable ASCII characters. Empty: nobody is named.
	Name string
	// Type is by default that of the key: [CallerAgent] for an agent's key, else
	// [CallerService].
	Type CallerType
}

const maxCallerName = 255

// withType fills in the type that fits the key.
func (c Caller) withType(kind KeyKind) (Caller, error) {
	if c.Type == "" {
		c.Type = CallerService
		if kind == KeyAgent {
			c.Type = CallerAgent
		}
	}
	if c.Type != CallerService && c.Type != CallerAgent {
		return c, invalid("caller type %q: want service or agent", c.Type)
	}
	if len(c.Name) > maxCallerName || !isPrintable([]byte(c.Name)) || c.Name != strings.TrimSpace(c.Name) {
		return c, invalid("caller %q: want at most %d printable ASCII characters, no blanks around them", cut(c.Name), maxCallerName)
	}
	return c, nil
}

// CheckCaller reports whether c can be a caller.
func CheckCaller(c Caller) (Caller, error) { return c.withType(KeyApp) }

func (c Caller) set(h http.Header) {
	if c.Name != "" {
		h.Set(headerCaller, c.Name)
		h.Set(headerCallerType, string(c.Type))
	}
}

// Limits of the audit context.
const (
	maxContextKeys   = 20
	maxContextKey    = 64
	maxContextValue  = 512
	maxContextHeader = 4096
)

type auditContextKey struct{}

// WithAuditContext returns a context whose calls tell the vault more for its
// record, such as {"tool": "list_messages"}. Values replace those of ctx under
// the same name. At most 20 names of 64 characters, values of 512, and 4096 bytes
// of ASCII JSON in all; a call with more is refused with [ErrInvalid].
func WithAuditContext(ctx context.Context, values map[string]string) context.Context {
	merged := maps.Clone(auditContext(ctx))
	if merged == nil {
		merged = make(map[string]string, len(values))
	}
	maps.Copy(merged, values)
	return context.WithValue(ctx, auditContextKey{}, merged)
}

// auditContext is what [WithAuditContext] collected; it must not be changed.
func auditContext(ctx context.Context) map[string]string {
	values, _ := ctx.Value(auditContextKey{}).(map[string]string)
	return values
}

// contextHeader is the audit context as the vault wants it.
func contextHeader(values map[string]string) (string, error) {
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > maxContextKeys {
		return "", invalid("audit context of %d names: at most %d", len(values), maxContextKeys)
	}
	for k, v := range values {
		if k == "" || utf8.RuneCountInString(k) > maxContextKey || utf8.RuneCountInString(v) > maxContextValue {
			return "", invalid("audit context %q: names have 1 to %d characters, values at most %d", cut(k), maxContextKey, maxContextValue)
		}
	}
	text, err := encode(values)
	if err != nil {
		return "", err
	}
	if len(text) > maxContextHeader {
		return "", invalid("audit context of %d bytes: at most %d", len(text), maxContextHeader)
	}
	return string(text), nil
}

// isUUID reports whether s is a UUID in its canonical form (RFC 9562 section 4).
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}

// rememberActor keeps the id by which the vault knows the caller. The first one
// stays.
func (c *Client) rememberActor(h http.Header) {
	id := h.Get(headerActorID)
	if c.actorID.Load() == nil && isUUID(id) {
		c.actorID.CompareAndSwap(nil, &id)
	}
}
