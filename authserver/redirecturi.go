package authserver

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxRedirectURI bounds a redirect URI in bytes.
const maxRedirectURI = 2048

// unsafeSchemes are those that a browser handles itself, or that hand data to
// something other than the client's app. Any other private-use scheme is good:
// PKCE protects it (RFC 8252 section 8.1), and real clients use names such as
// cursor: that are no reversed domain.
var unsafeSchemes = []string{
	"about", "blob", "chrome", "chrome-extension", "content", "data", "feed", "file", "filesystem",
	"ftp", "ftps", "gopher", "intent", "jar", "javascript", "ldap", "mailto", "news", "res",
	"resource", "sms", "tel", "urn", "vbscript", "view-source", "ws", "wss", "wyciwyg",
}

// checkRedirectURI refuses what must not be registered as a redirect URI:
// anything but https, http to a loopback address (RFC 8252 section 7.3) and
// private-use schemes (section 7.1), and anything with a fragment, user
// information or a wildcard (RFC 9700 section 4.1.3).
func checkRedirectURI(raw string) error {
	if len(raw) > maxRedirectURI {
		return ErrInvalidRedirectURI.because(nil, "a redirect URI is longer than %d bytes", maxRedirectURI)
	}
	for _, c := range []byte(raw) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\\\"<>^`{|}*", c) >= 0 {
			return ErrInvalidRedirectURI.because(nil, "a redirect URI holds a character that is not allowed in it")
		}
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" {
		return ErrInvalidRedirectURI.because(err, "a redirect URI is not an absolute URI")
	}
	if strings.Contains(raw, "#") || u.User != nil {
		return ErrInvalidRedirectURI.because(nil, "a redirect URI must have neither fragment nor user information")
	}
	switch u.Scheme { // url.Parse made it lower case
	case "https":
		if u.Hostname() == "" || u.Opaque != "" {
			return ErrInvalidRedirectURI.because(nil, "an https redirect URI has no host")
		}
	case "http":
		if !isLoopback(u.Hostname()) || u.Opaque != "" {
			return ErrInvalidRedirectURI.because(nil, "an http redirect URI must lead to localhost, 127.0.0.1 or [::1]")
		}
	default:
		return checkPrivateScheme(u)
	}
	if !isPort(u.Port()) || strings.HasSuffix(u.Host, ":") {
		return ErrInvalidRedirectURI.because(nil, "a redirect URI has a port that is none")
	}
	return nil
}

// isPort reports whether text is a port that one can connect to, or "".
func isPort(text string) bool {
	if text == "" {
		return true
	}
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil && text[0] != '0'
}

func checkPrivateScheme(u *url.URL) error {
	if slices.Contains(unsafeSchemes, u.Scheme) {
		return ErrInvalidRedirectURI.because(nil, "redirect URIs of the scheme %.20s are not allowed", u.Scheme)
	}
	if u.Opaque == "" && u.Host == "" && strings.Trim(u.Path, "/") == "" {
		return ErrInvalidRedirectURI.because(nil, "a redirect URI is nothing but a scheme")
	}
	return nil
}

// isLoopback reports whether host is a loopback address, or localhost, which
// real native clients use although RFC 8252 section 8.3 advises against it.
func isLoopback(host string) bool {
	return host == "127.0.0.1" || host == "::1" || strings.EqualFold(host, "localhost")
}

// matchRedirectURI reports whether the requested redirect URI is the registered
// one: byte for byte, or, for http to a loopback address, with any port (RFC
// 8252 section 7.3).
func matchRedirectURI(registered, requested string) bool {
	if registered == requested {
		return true
	}
	reg, okReg := withoutLoopbackPort(registered)
	req, okReq := withoutLoopbackPort(requested)
	return okReg && okReq && reg == req
}

// withoutLoopbackPort cuts the port out of an http URI to a loopback address,
// leaving every other byte as it is, and reports whether raw is such a URI.
func withoutLoopbackPort(raw string) (string, bool) {
	if checkRedirectURI(raw) != nil {
		return "", false
	}
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" || !isLoopback(u.Hostname()) {
		return "", false
	}
	const prefix = "http://"
	if !strings.HasPrefix(raw, prefix) {
		return "", false
	}
	end := len(prefix) + len(u.Host)
	host := u.Host
	if p := u.Port(); p != "" {
		host = strings.TrimSuffix(host, ":"+p)
	}
	return prefix + host + raw[end:], true
}

// redirectHost says where a redirect URI leads, for people: a host name, or a
// scheme with its colon.
func redirectHost(raw string) (host string, thisComputer, privateScheme bool) {
	u, err := url.Parse(raw)
	if err != nil {
		return raw, false, false
	}
	switch u.Scheme {
	case "http":
		return u.Hostname(), true, false
	case "https":
		return u.Host, isLoopback(u.Hostname()), false
	}
	return u.Scheme + ":", false, true
}

// formTarget is the CSP source expression that covers a redirect URI.
func formTarget(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	if u.Scheme == "http" || u.Scheme == "https" {
		if ip := net.ParseIP(u.Hostname()); ip != nil && ip.To4() == nil {
			return u.Scheme + ":" // CSP has no IPv6 literals
		}
		return u.Scheme + "://" + u.Host
	}
	return u.Scheme + ":"
}
