package leak

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"html"
	"net/url"
	"slices"
	"testing"
)

const secret = "s3cr&t/of \"fifty\" bytes, which is longer than forty"

// The search finds a secret however it is written, and nothing else.
func TestSearch(t *testing.T) {
	s := new(Secrets)
	s.Add("password", secret)
	s.Add("code", "another secret")
	s.Add("short", "1234567")
	texts := map[string]string{
		"as it is":       "x" + secret,
		"in a query":     "/cb?x=" + url.QueryEscape(secret) + "&y",
		"in a path":      "/" + url.PathEscape(secret),
		"quoted":         fmt.Sprintf("{\"msg\":%q}", secret),
		"in a page":      html.EscapeString(secret),
		"hex":            hex.EncodeToString([]byte("ab" + secret)),
		"HEX":            fmt.Sprintf("%X", secret),
		"its beginning":  secret[:30] + "...",
		"its end":        "..." + secret[20:],
		"half in base64": base64.StdEncoding.EncodeToString([]byte(secret[:26])),
	}
	for before := range 4 {
		padding := "0123"[:before]
		texts["base64 after "+padding] = base64.StdEncoding.EncodeToString([]byte(padding + secret + "x"))
		texts["base64url after "+padding] = base64.RawURLEncoding.EncodeToString([]byte(padding + secret))
	}
	for name, text := range texts {
		t.Run(name, func(t *testing.T) {
			found := s.Search("first line\n" + text + "\n1234567 last line")
			if !slices.Equal(KindsOf(found), []string{"password"}) || found[0].Line != text {
				t.Errorf("Search(%q) = %+v", text, found)
			}
		})
	}
	if found := s.Search("another  secret, and s3cr&t"); len(found) > 0 {
		t.Errorf("found %+v where nothing is", found)
	}
}
