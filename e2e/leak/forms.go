// Package leak finds secrets in what a server writes. It collects every secret
// that passes by on the wire, whoever made it, and looks for each in all the
// forms in which it could have been written.
package leak

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"net/url"
	"slices"
	"strings"
)

const (
	minSecret = 8  // bytes; what is shorter is found by chance
	longToken = 40 // bytes; of what is longer a part is a secret, too
	partOf    = 24 // bytes of such a part
)

// forms returns the texts that show a secret: as it is, its beginning and its
// end, and each of these as encodings write them, whatever stands around them.
func forms(secret string) []string {
	parts := []string{secret}
	if len(secret) > longToken {
		parts = append(parts, secret[:partOf], secret[len(secret)-partOf:])
	}
	var all []string
	for _, part := range parts {
		all = append(all, part, url.QueryEscape(part), url.PathEscape(part), html.EscapeString(part), quoted(part),
			hex.EncodeToString([]byte(part)), strings.ToUpper(hex.EncodeToString([]byte(part))))
		for offset := range 3 {
			all = append(all, inBase64(base64.StdEncoding, part, offset), inBase64(base64.URLEncoding, part, offset))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// quoted is how JSON writes a text, without the quotes.
func quoted(text string) string {
	out, err := json.Marshal(text)
	if err != nil {
		return text
	}
	return string(out[1 : len(out)-1])
}

// inBase64 returns the characters that stand for text, and for nothing beside
// it, where it begins at a byte offset within three.
func inBase64(e *base64.Encoding, text string, offset int) string {
	encoded := e.EncodeToString(append(make([]byte, offset), text...))
	begin := (offset*8 + 5) / 6
	return encoded[begin : (offset+len(text))*8/6]
}
