package vaultclient

import (
	"net/netip"
	"net/url"
	"strings"
	"unicode/utf8"
)

// Allows reports whether requests to the host of u may carry a person's token.
func (p *Provider) Allows(u *url.URL) bool { return hostAllowed(p.APIHosts, u) }

// hostAllowed reports whether a URL may carry the provider's credential: its
// host is one of the patterns, and it is https, except on loopback. A pattern
// without a port means the default one of the scheme. International names match
// in their ASCII form alone: letters beyond ASCII fold differently here and where
// the connection is made, so that apİ.example would pass for api.example.
func hostAllowed(patterns []string, u *url.URL) bool {
	if u.Opaque != "" || !isASCII(u.Host) {
		return false
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return false
	}
	host, port := strings.TrimSuffix(strings.ToLower(u.Hostname()), "."), portOf(u, u.Scheme)
	for _, pattern := range patterns {
		if hostMatches(strings.ToLower(pattern), host, port, u.Scheme) {
			return true
		}
	}
	return false
}

// hostMatches compares with a pattern in lower case that checkHostPattern has
// accepted. It runs at each call, so that it takes the pattern apart without
// parsing it as a URL again.
func hostMatches(pattern, host, port, scheme string) bool {
	below, wild := strings.CutPrefix(pattern, "*.")
	want := url.URL{Host: below}
	if port != portOf(&want, scheme) {
		return false
	}
	name := strings.TrimSuffix(want.Hostname(), ".")
	if wild {
		above, ok := strings.CutSuffix(host, name)
		return ok && strings.HasSuffix(above, ".")
	}
	return host == name
}

// portOf returns the port of u, or the default one of scheme.
func portOf(u *url.URL, scheme string) string {
	if port := u.Port(); port != "" {
		return port
	}
	switch scheme {
	case "https":
		return "443"
	case "http":
		return "80"
	}
	return ""
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(c rune) bool { return c >= utf8.RuneSelf }) < 0
}

// isLoopback reports whether host means this computer.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
