package altertest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// stringToSign builds what a call's signature covers, with the identity lines
// and without.
func stringToSign(method, path string, header http.Header) (full, base string) {
	lines := []string{
		method, path, header.Get("X-Alter-Timestamp"), header.Get("X-Alter-Nonce"),
		header.Get("X-Alter-Content-Sha256"), header.Get("X-Alter-Scope-Constraints"),
	}
	base = strings.Join(lines, "\n")
	if rule := header.Get("X-Alter-Request-Rule"); rule != "" {
		base += "\nrequest-rule:" + rule
	}
	full = base
	for _, line := range []struct{ name, header string }{
		{"caller", "X-Alter-Caller"},
		{"caller-type", "X-Alter-Caller-Type"},
		{"actor-id", "X-Alter-Actor-Id"},
		{"actor-context", "X-Alter-Context"},
	} {
		if value := header.Get(line.header); value != "" {
			full += "\n" + line.name + ":" + value
		}
	}
	return full, base
}

// signedPath is a request target in the form that is signed: the path decoded,
// the query sorted by name and value and encoded again.
func signedPath(target string) (string, error) {
	path, query, _ := strings.Cut(target, "?")
	decoded, err := url.PathUnescape(path)
	if err != nil || query == "" {
		return decoded, err
	}
	type pair struct{ name, value string }
	var pairs []pair
	for part := range strings.SplitSeq(query, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		if name, err = url.QueryUnescape(name); err != nil {
			return "", err
		}
		if value, err = url.QueryUnescape(value); err != nil {
			return "", err
		}
		pairs = append(pairs, pair{name, value})
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		if n := strings.Compare(a.name, b.name); n != 0 {
			return n
		}
		return strings.Compare(a.value, b.value)
	})
	encoded := make([]string, len(pairs))
	for i, p := range pairs {
		encoded[i] = url.QueryEscape(p.name) + "=" + url.QueryEscape(p.value)
	}
	return decoded + "?" + strings.Join(encoded, "&"), nil
}

// signatureOf signs a string with the key that is derived from an API key.
func signatureOf(apiKey, text string) string {
	return hexHMAC(rawHMAC([]byte(apiKey), "alter-signing-v1"), text)
}

func rawHMAC(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

func hexHMAC(key []byte, text string) string { return hex.EncodeToString(rawHMAC(key, text)) }

func hexHash(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// checkSignature verifies key, clock, nonce, body hash and signature. The
// caller holds the lock.
func (v *Vault) checkSignature(r *http.Request, body []byte) *refusal {
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Alter-") || name == "X-Api-Key" {
			if n := len(r.Header[name]); n != 1 {
				return violation(400, "header_repeated", fmt.Sprintf("%s was sent %d times", name, n))
			}
		}
	}
	if !hmac.Equal([]byte(r.Header.Get("X-Api-Key")), []byte(v.config.APIKey)) {
		return violation(401, "invalid_key", "unknown API key")
	}
	if bad := v.checkClock(r.Header.Get("X-Alter-Timestamp")); bad != nil {
		return bad
	}
	if r.Header.Get("X-Alter-Content-Sha256") != hexHash(body) {
		return violation(401, "content_hash_mismatch", "the body's hash differs")
	}
	path, err := signedPath(r.RequestURI)
	if err != nil {
		return violation(400, "bad_path", err.Error())
	}
	full, base := stringToSign(r.Method, path, r.Header)
	if r.Header.Get("X-Alter-Signature") != signatureOf(v.config.APIKey, full) {
		return violation(401, "invalid_signature", "HMAC differs from that of:\n"+full)
	}
	second := r.Header.Get("X-Alter-Signature-V2")
	if full != base && second != signatureOf(v.config.APIKey, full) {
		return violation(401, "invalid_signature", "identity headers without the second signature")
	}
	if full == base && second != "" {
		return violation(401, "invalid_signature", "a second signature without identity headers")
	}
	return v.takeNonce(r.Header.Get("X-Alter-Nonce"))
}

func (v *Vault) checkClock(text string) *refusal {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(seconds, 10) != text {
		return violation(401, "signature_expired", "the timestamp is no decimal number of seconds")
	}
	off := v.now().Sub(time.Unix(seconds, 0)).Abs()
	if off > v.config.Window+time.Second {
		return violation(401, "signature_expired", fmt.Sprintf("the timestamp is off by %v", off))
	}
	return nil
}

func (v *Vault) takeNonce(nonce string) *refusal {
	if len(nonce) != 32 || strings.Trim(nonce, "0123456789abcdef") != "" {
		return violation(401, "nonce_invalid", "the nonce is not 32 hexadecimal digits")
	}
	if v.nonces[nonce] {
		return violation(401, "nonce_replayed", "the nonce was seen before")
	}
	v.nonces[nonce] = true
	return nil
}
