package altermcp

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// checkSettings reports the first setting that cannot work.
func (h *Handler) checkSettings() error {
	if err := checkPath(h.Path); err != nil {
		return err
	}
	switch h.RootDocuments {
	case "", rootUnlessClaimed, rootClaimed:
	default:
		return fmt.Errorf("root_documents %q: want %s or %s", h.RootDocuments, rootUnlessClaimed, rootClaimed)
	}
	if err := h.checkKeys(); err != nil {
		return err
	}
	if err := h.checkOrigins(); err != nil {
		return err
	}
	if err := h.Rules.check(); err != nil {
		return err
	}
	return h.checkBounds()
}

// checkKeys reads the encryption keys, the current one first.
func (h *Handler) checkKeys() error {
	if h.EncryptionKey == "" {
		if len(h.OlderEncryptionKeys) > 0 {
			return errors.New("older_encryption_keys without an encryption_key")
		}
		return nil
	}
	for _, value := range append([]string{h.EncryptionKey}, h.OlderEncryptionKeys...) {
		text, err := expandSecret("encryption_key", value)
		if err != nil {
			return err
		}
		key, err := parseKey(text)
		if err != nil {
			return fmt.Errorf("encryption_key: %w", err)
		}
		if slices.ContainsFunc(h.guests.keys, func(other []byte) bool { return bytes.Equal(key, other) }) {
			return errors.New("encryption_key: the same key twice")
		}
		h.guests.keys = append(h.guests.keys, key)
	}
	return nil
}

// Values of Handler.RootDocuments.
const (
	rootUnlessClaimed = "unless_claimed"
	rootClaimed       = "claimed"
)

// checkPath refuses paths that the well-known rules and exact matching cannot
// work with.
func checkPath(p string) error {
	switch {
	case p == "/":
		return fmt.Errorf("path %q: the endpoint cannot be the root of the site yet; use a path such as /mcp", p)
	case !strings.HasPrefix(p, "/") || strings.HasSuffix(p, "/") || strings.Contains(p, "//"):
		return fmt.Errorf("path %q: want a path such as /mcp, with a leading slash and no trailing one", p)
	case strings.HasPrefix(p, "/.well-known"):
		return fmt.Errorf("path %q: /.well-known is reserved (RFC 8615)", p)
	}
	for segment := range strings.SplitSeq(p[1:], "/") {
		if segment == "." || segment == ".." || strings.ContainsFunc(segment, notUnreserved) {
			return fmt.Errorf("path %q: want letters, digits and - . _ ~ in its segments", p)
		}
	}
	return nil
}

func notUnreserved(c rune) bool {
	return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-._~", c))
}

// checkOrigins resolves and checks public_url and origin.
func (h *Handler) checkOrigins() error {
	for _, raw := range h.PublicURLs {
		text, err := expandSecret("public_url", raw)
		if err != nil {
			return err
		}
		// The SDK's base_url is the URL of the endpoint; both forms are taken.
		origin, err := parseOrigin(strings.TrimSuffix(strings.TrimSuffix(text, "/"), h.Path))
		if err != nil {
			return fmt.Errorf("public_url %w", err)
		}
		if strings.HasPrefix(origin, "http:") && !isLoopbackOrigin(origin) {
			return fmt.Errorf("public_url %q: OAuth needs https, except on loopback", text)
		}
		h.guests.public = append(h.guests.public, origin)
	}
	for _, raw := range h.Origins {
		origin, err := parseOrigin(raw)
		if err != nil {
			return fmt.Errorf("origin %w", err)
		}
		h.guests.browserOrigins = append(h.guests.browserOrigins, origin)
	}
	return nil
}
