package authserver

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
)

// checkChallenge refuses a code_challenge that cannot be the SHA-256 of a
// verifier in base64url without padding (RFC 7636 section 4.2), and any method
// but S256. An absent method means plain (section 4.3), which OAuth 2.1 and MCP
// do not allow.
func checkChallenge(challenge, method string) error {
	if challenge == "" {
		return ErrInvalidRequest.because(nil, "code_challenge is missing: PKCE with S256 is required")
	}
	if method != "S256" {
		return ErrInvalidRequest.because(nil, "code_challenge_method must be S256")
	}
	sum, err := base64.RawURLEncoding.Strict().DecodeString(challenge)
	if err != nil || len(sum) != sha256.Size {
		return ErrInvalidRequest.because(nil, "code_challenge is not a SHA-256 in base64url")
	}
	return nil
}

// verifyPKCE reports whether verifier answers challenge, which the client sent
// with method S256 at the authorization endpoint (RFC 7636 section 4.6).
//
// verifier is 43 to 128 characters of [A-Za-z0-9-._~] (section 4.1); any other
// length or character yields [ErrInvalidGrant]. The comparison takes the same
// time wherever the first difference is.
func verifyPKCE(challenge, verifier string) error {
	if len(verifier) < 43 || len(verifier) > 128 {
		return ErrInvalidGrant.because(nil, "code_verifier has %d characters, want 43 to 128", len(verifier))
	}
	for _, c := range []byte(verifier) {
		if !unreserved(c) {
			return ErrInvalidGrant.because(nil, "code_verifier has a character outside [A-Za-z0-9-._~]")
		}
	}
	sum := sha256.Sum256([]byte(verifier))
	want := base64.RawURLEncoding.EncodeToString(sum[:])
	if subtle.ConstantTimeCompare([]byte(challenge), []byte(want)) != 1 {
		return ErrInvalidGrant.because(nil, "code_verifier does not match code_challenge")
	}
	return nil
}

// unreserved reports whether c is an unreserved character of RFC 3986.
func unreserved(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return c == '-' || c == '.' || c == '_' || c == '~'
}
