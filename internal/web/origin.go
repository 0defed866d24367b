package web

import (
	"net/http"
	"net/url"
	"strings"
)

// SameOrigin reports whether a POST comes from a page of the endpoint's own
// origin, by what the browser says of it. A request that says nothing passes:
// the sealed value in the form is what proves where it comes from, this is the
// second lock (OWASP, cross-site request forgery).
func SameOrigin(r *http.Request, endpoint string) bool {
	switch origins := r.Header.Values("Origin"); len(origins) {
	case 0:
		site := r.Header.Get("Sec-Fetch-Site")
		return site == "" || site == "same-origin" || site == "none"
	case 1:
		own := originOf(endpoint)
		return own != "" && origins[0] == own
	default:
		return false
	}
}

// originOf returns scheme, host and port of a URL as browsers write them (RFC
// 6454 section 6.2), or "" where there is no host.
func originOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return ""
	}
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return u.Scheme + "://" + host
}
