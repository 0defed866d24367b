package demo

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

const maxRedirectURI = 2000 // bytes

// fromLoopback refuses requests from other machines (403), and those for another
// host name (421): a page elsewhere could have that name lead to this machine.
func fromLoopback(w http.ResponseWriter, r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		http.Error(w, "Postbox answers this machine only", http.StatusForbidden)
		return false
	}
	if u, err := url.Parse("http://" + r.Host); err != nil || !loopbackHost(u.Hostname()) {
		http.Error(w, "Postbox answers under localhost only", http.StatusMisdirectedRequest)
		return false
	}
	return true
}

// loopbackHost reports whether a host without its port is this machine: also the
// names below localhost (RFC 6761, section 6.3).
func loopbackHost(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Zone() == "" && addr.IsLoopback()
}

// loopbackURL parses a redirect URI: http or https on this machine, without user
// and fragment, up to 2000 bytes.
func loopbackURL(text string) (*url.URL, bool) {
	u, err := url.Parse(text)
	if err != nil || len(text) > maxRedirectURI || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || strings.Contains(text, "#") ||
		!loopbackHost(u.Hostname()) {
		return nil, false
	}
	return u, true
}

// formTarget returns the CSP source expression of a redirect URI. There is none
// for an IPv6 address (CSP level 3, section 2.3.1), so that the scheme has to do.
func formTarget(u *url.URL) string {
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && addr.Is6() {
		return u.Scheme + ":"
	}
	if u.Port() == "" {
		return u.Scheme + "://" + u.Hostname()
	}
	return u.Scheme + "://" + net.JoinHostPort(u.Hostname(), u.Port())
}
