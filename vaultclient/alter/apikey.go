package alter

import (
	"hash/crc32"
	"strings"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// KeyKind says what an API key stands for. It is the second part of the key.
type KeyKind string

// Kinds of API keys. There are no others.
const (
	KeyApp         KeyKind = "rk"
	KeyAgent       KeyKind = "ak"
	KeyDerived     KeyKind = "dk"
	KeyPublishable KeyKind = "pk"
	// KeyLegacy is a key of the older form, alter_key_ and 40 characters, which
	// does not say what it stands for.
	KeyLegacy KeyKind = "key"
)

// keyAlphabet is RFC 4648 base32 in lower case, of which API keys are made.
const keyAlphabet = "abcdefghijklmnopqrstuvwxyz234567"

// keyLegacyAlphabet is what older keys are made of.
const keyLegacyAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

// CheckAPIKey tells the kind of an API key and finds typing mistakes before
// anything is sent: `alter_<kind>_<22 characters>_<6 characters>`, where the
// tail is a CRC-32 of the rest. The error never repeats the key.
func CheckAPIKey(key vaultclient.Secret) (KeyKind, error) {
	s := key.Reveal()
	if s == "" {
		return "", invalid("the API key is empty")
	}
	if rest, ok := strings.CutPrefix(s, "alter_key_"); ok {
		if len(rest) != 40 || strings.Trim(rest, keyLegacyAlphabet) != "" {
			return "", invalid("the API key is no valid one: after alter_key_ there are 40 letters, digits, - or _")
		}
		return KeyLegacy, nil
	}
	kind, body, tail, ok := splitKey(s)
	if !ok {
		return "", invalid("the API key is no valid one: want alter_rk_…, alter_ak_…, alter_dk_… or alter_pk_…, with 22 and 6 characters after it")
	}
	if tail != keyChecksum(string(kind), body) {
		return "", invalid("the API key has a typing mistake: its last six characters do not fit the others")
	}
	return kind, nil
}

// splitKey splits a key of the present form.
func splitKey(s string) (kind KeyKind, body, tail string, ok bool) {
	parts := strings.Split(s, "_")
	if len(parts) != 4 || parts[0] != "alter" {
		return "", "", "", false
	}
	kind, body, tail = KeyKind(parts[1]), parts[2], parts[3]
	switch kind {
	case KeyApp, KeyAgent, KeyDerived, KeyPublishable:
		ok = len(body) == 22 && len(tail) == 6 && strings.Trim(body+tail, keyAlphabet) == ""
	}
	return kind, body, tail, ok
}

// keyChecksum is the CRC-32 of kind and body, five bits at a time from the low
// end.
func keyChecksum(kind, body string) string {
	sum := crc32.ChecksumIEEE([]byte(kind + ":" + body))
	tail := make([]byte, 6)
	for i := range tail {
		tail[i] = keyAlphabet[sum>>(5*i)&31]
	}
	return string(tail)
}

// checkCallable refuses keys that the vault's API cannot be called with.
func (k KeyKind) checkCallable() error {
	if k == KeyPublishable {
		return invalid("a publishable key is for browsers; the vault wants an app or agent key")
	}
	return nil
}
