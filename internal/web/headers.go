package web

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// setHeaders sets what all pages have in common. The referrer policy is
// same-origin and not no-referrer: under the latter browsers send
// "Origin: null" with the page's own forms (Fetch standard, section 3.2), which
// [SameOrigin] has to refuse. Other hosts learn nothing under either.
func setHeaders(h http.Header, targets []string) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", contentPolicy(targets))
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
}

func contentPolicy(targets []string) string {
	form := append([]string{"'self'"}, formTargets(targets)...)
	return "default-src 'none'; style-src 'self'; form-action " + strings.Join(form, " ") +
		"; base-uri 'none'; frame-ancestors 'none'"
}

// formTargets returns the targets that are CSP source expressions of a scheme,
// or a scheme and a host (CSP level 3, section 2.3.1). Others are dropped: one
// with a semicolon would be a directive of its own.
func formTargets(targets []string) []string {
	source := regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:(//[A-Za-z0-9._-]+(:[0-9]{1,5})?)?$`)
	var good []string
	for _, target := range targets {
		if source.MatchString(target) && !slices.Contains(good, target) {
			good = append(good, target)
		}
	}
	return good
}
