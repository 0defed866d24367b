package alter

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Headers of the protocol that are signed.
const (
	headerKey         = "X-Api-Key"
	headerTimestamp   = "X-Alter-Timestamp"
	headerNonce       = "X-Alter-Nonce"
	headerBodyHash    = "X-Alter-Content-Sha256"
	headerSignature   = "X-Alter-Signature"
	headerSignatureV2 = "X-Alter-Signature-V2"
	headerCaller      = "X-Alter-Caller"
	headerCallerType  = "X-Alter-Caller-Type"
	headerActorID     = "X-Alter-Actor-Id"
	headerContext     = "X-Alter-Context"
	headerConstraints = "X-Alter-Scope-Constraints"
	headerRule        = "X-Alter-Request-Rule"
)

// signer signs requests with a key that is derived from the API key.
type signer struct{ key []byte }

func newSigner(apiKey string) signer {
	mac := hmac.New(sha256.New, []byte(apiKey))
	mac.Write([]byte("alter-signing-v1"))
	return signer{key: mac.Sum(nil)}
}

// sign sets time, nonce, hash and signature for a request to path, percent-encoded
// as on the wire. What else is signed stands in h
// already: constraints, rule, and who calls. The second signature covers who
// calls; it goes out under both names then, so that stripping the identity
// leaves no signature that holds.
func (s signer) sign(h http.Header, method, path, rawQuery string, body []byte, now time.Time, nonce string) {
	hash := sha256.Sum256(body)
	h.Set(headerTimestamp, strconv.FormatInt(now.Unix(), 10))
	h.Set(headerNonce, nonce)
	h.Set(headerBodyHash, hex.EncodeToString(hash[:]))

	text := append(make([]byte, 0, 640), strings.ToUpper(method)...)
	for _, line := range [...]string{signedPath(path, rawQuery), h.Get(headerTimestamp), nonce, h.Get(headerBodyHash), h.Get(headerConstraints)} {
		text = append(append(text, '\n'), line...)
	}
	text = appendNamed(text, "request-rule", h.Get(headerRule))
	unnamed := len(text)
	text = appendNamed(text, "caller", h.Get(headerCaller))
	text = appendNamed(text, "caller-type", h.Get(headerCallerType))
	text = appendNamed(text, "actor-id", h.Get(headerActorID))
	text = appendNamed(text, "actor-context", h.Get(headerContext))

	mac := hmac.New(sha256.New, s.key)
	mac.Write(text)
	signature := hex.EncodeToString(mac.Sum(nil))
	h.Set(headerSignature, signature)
	if len(text) != unnamed {
		h.Set(headerSignatureV2, signature)
	}
}

// appendNamed appends a line with what is signed only if it is there.
func appendNamed(text []byte, name, value string) []byte {
	if value == "" {
		return text
	}
	text = append(append(text, '\n'), name...)
	return append(append(text, ':'), value...)
}

// signedPath is the path as the vault sees it: percent-decoded, with the query
// sorted by name and value and encoded as a form. A query that is not empty but
// holds nothing leaves a bare question mark.
func signedPath(path, rawQuery string) string {
	if decoded, err := url.PathUnescape(path); err == nil {
		path = decoded
	}
	if rawQuery == "" {
		return path
	}
	var pairs [][2]string
	for part := range strings.SplitSeq(rawQuery, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		pairs = append(pairs, [2]string{unescapeForm(name), unescapeForm(value)})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int {
		if c := strings.Compare(a[0], b[0]); c != 0 {
			return c
		}
		return strings.Compare(a[1], b[1])
	})
	out := make([]string, len(pairs))
	for i, p := range pairs {
		out[i] = url.QueryEscape(p[0]) + "=" + url.QueryEscape(p[1])
	}
	return path + "?" + strings.Join(out, "&")
}

// unescapeForm decodes a part of a query; one that is not well-formed stands for
// itself.
func unescapeForm(s string) string {
	if decoded, err := url.QueryUnescape(s); err == nil {
		return decoded
	}
	return s
}
