package authserver

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// randomID returns 128 random bits in 22 characters of base64url: an id that
// is not to be guessed.
func randomID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: Go ends the process instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// randomSecret returns 256 random bits in 43 characters of base64url.
func randomSecret() string {
	var b [32]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// hashOf is how a secret that is only compared is stored.
func hashOf(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}
