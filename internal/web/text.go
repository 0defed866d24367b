package web

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxName is how much of a name is shown, in characters.
const maxName = 100

// cleanName makes a name of others fit to be shown in a line. Clients name
// themselves, so a name may try to look like the page around it.
func cleanName(s string) string {
	s = cleanText(s)
	if utf8.RuneCountInString(s) <= maxName {
		return s
	}
	return strings.TrimSpace(string([]rune(s)[:maxName])) + "…"
}

// cleanText removes format characters, among them those that change the
// direction of text or have no width (Unicode technical report 36, section
// 2.5), and turns control characters and runs of blanks into one blank.
func cleanText(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Cf, r), r == utf8.RuneError:
			return -1
		case unicode.IsControl(r):
			return ' '
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// initial is the letter that stands for a name; "?" where there is none.
func initial(s string) string {
	for _, r := range cleanText(s) {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return string(unicode.ToUpper(r))
		}
	}
	return "?"
}

// asciiHost writes a host as browsers send it, so that letters that only look
// like others show. What is no host is quoted.
func asciiHost(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) < 0 {
		return s
	}
	if host, err := idna.Lookup.ToASCII(s); err == nil {
		return host
	}
	return strconv.QuoteToASCII(s)
}
