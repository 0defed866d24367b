package toolblock

import (
	"strings"
	"unicode"
)

// maxText bounds a description, in characters.
const maxText = 500

func isControl(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar }

// plain makes one line of a text that means nothing to a Caddyfile: braces, which
// would be placeholders, are parentheses.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '{':
			return '('
		case r == '}':
			return ')'
		case r == '`':
			return '\''
		case unicode.IsSpace(r):
			return ' '
		case isControl(r) || unicode.Is(unicode.Cf, r): // marks that turn a line around
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > maxText {
		text = strings.TrimSpace(string(runes[:maxText-1])) + "…"
	}
	return text
}

// quoted is a text as one value of a Caddyfile. Within double quotes a backslash
// escapes no more than a quote, so that a text with one stands in backticks.
func quoted(text string) string {
	text = strings.ReplaceAll(text, "`", "'")
	if strings.ContainsAny(text, `\"`) {
		return "`" + text + "`"
	}
	return `"` + text + `"`
}

// word is quoted, or bare where nothing needs it.
func word(text string) string {
	if text != "" && strings.Trim(strings.ToLower(text), "abcdefghijklmnopqrstuvwxyz0123456789_-.") == "" {
		return text
	}
	return quoted(text)
}
