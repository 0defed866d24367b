package authserver

import (
	"errors"
	"strings"
	"testing"
)

func TestVerifyPKCE(t *testing.T) {
	// RFC 7636 appendix B
	const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	const challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

	for name, tc := range map[string]struct {
		challenge, verifier string
		want                error
	}{
		"RFC example":         {challenge, verifier, nil},
		"other verifier":      {challenge, strings.Repeat("a", 43), ErrInvalidGrant},
		"one too short":       {challenge, verifier[:42], ErrInvalidGrant},
		"one too long":        {challenge, strings.Repeat("a", 129), ErrInvalidGrant},
		"space":               {challenge, verifier[:42] + " ", ErrInvalidGrant},
		"plain, not S256":     {verifier, verifier, ErrInvalidGrant},
		"padded challenge":    {challenge + "=", verifier, ErrInvalidGrant},
		"empty on both sides": {"", "", ErrInvalidGrant},
	} {
		t.Run(name, func(t *testing.T) {
			if err := verifyPKCE(tc.challenge, tc.verifier); !errors.Is(err, tc.want) {
				t.Errorf("verifyPKCE(%q, %q) = %v, want %v", tc.challenge, tc.verifier, err, tc.want)
			}
		})
	}
}

func TestCheckChallenge(t *testing.T) {
	const challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	for name, tc := range map[string]struct {
		challenge, method string
		want              error
	}{
		"RFC example":          {challenge, "S256", nil},
		"absent":               {"", "S256", ErrInvalidRequest},
		"method absent":        {challenge, "", ErrInvalidRequest},
		"method plain":         {challenge, "plain", ErrInvalidRequest},
		"method in lower case": {challenge, "s256", ErrInvalidRequest},
		"unknown method":       {challenge, "S512", ErrInvalidRequest},
		"one character short":  {challenge[:42], "S256", ErrInvalidRequest},
		"one character long":   {challenge + "A", "S256", ErrInvalidRequest},
		"padding":              {challenge + "=", "S256", ErrInvalidRequest},
		"plus of plain base64": {"+" + challenge[1:], "S256", ErrInvalidRequest},
		"trailing bits set":    {challenge[:42] + "N", "S256", ErrInvalidRequest},
		"hexadecimal":          {strings.Repeat("ab", 32), "S256", ErrInvalidRequest},
		"not ASCII":            {"ü" + challenge[2:], "S256", ErrInvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			if err := checkChallenge(tc.challenge, tc.method); !errors.Is(err, tc.want) {
				t.Errorf("checkChallenge(%q, %q) = %v, want %v", tc.challenge, tc.method, err, tc.want)
			}
		})
	}
}
