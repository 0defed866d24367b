package web

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

const (
	maxName  = 100 // characters of a name that are shown
	maxMarks = 3   // on one letter; living languages need no more
)

// cleanName makes a name of others fit to be shown in a line. Clients name
// themselves, so a name may try to look like the page around it.
func cleanName(s string) string {
	s = cleanText(s)
	if utf8.RuneCountInString(s) <= maxName {
		return s
	}
	return strings.TrimSpace(string([]rune(s)[:maxName])) + "…"
}

// clientName is the name that a client gave itself, or what it is called when
// that shows nothing.
func clientName(s string) string {
	if name := cleanName(s); name != "" {
		return name
	}
	return "An app without a name"
}

// cleanText removes format characters, among them those that change the
// direction of text or have no width (Unicode technical report 36, section
// 2.5), letters without ink, and marks that pile up on a letter and cover the
// text around it. Control characters and runs of blanks become one blank.
func cleanText(s string) string {
	const brailleBlank = '\u2800'
	marks := maxMarks // so that none stands first
	s = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError, unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector):
			return -1
		case unicode.IsControl(r), unicode.IsSpace(r), r == brailleBlank:
			marks = maxMarks
			return ' '
		case unicode.In(r, unicode.Mn, unicode.Me):
			if marks == maxMarks {
				return -1
			}
			marks++
			return r
		}
		marks = 0
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
