package web

import (
	"net/http"
	"slices"
	"strings"
)

// setHeaders sets what all pages have in common. The referrer policy is
// same-origin and not no-referrer: under the latter browsers send
// "Origin: null" with the page's own forms (Fetch standard, section 3.2), which
// [SameOrigin] has to refuse. Other hosts learn nothing under either. There is
// no Cross-Origin-Opener-Policy: any value but unsafe-none cuts a client that
// opens the login in a popup off from it (HTML standard, section 7.1.3), and
// pages without scripts give an opener nothing to reach.
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

// formTargets returns the targets that begin with a scheme and hold nothing but
// characters of CSP source expressions (CSP level 3, section 2.3.1). Others are
// dropped: one with a semicolon would be a directive of its own.
func formTargets(targets []string) []string {
	var good []string
	for _, target := range targets {
		scheme, _, ok := strings.Cut(target, ":")
		if !ok || scheme == "" || strings.ContainsFunc(target, notInSource) || slices.Contains(good, target) {
			continue
		}
		good = append(good, target)
	}
	return good
}

func notInSource(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune("+-._:/", r)
}
