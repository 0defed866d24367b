package altermcp

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"golang.org/x/net/idna"
)

// origins says under which origins an endpoint answers. Any other Host is
// refused: it never shows up in metadata, challenge or redirect, and a page that
// rebinds its name to this server's address gets nothing.
type origins struct {
	// public are the configured origins, the canonical one first. When there
	// are any, nothing else counts.
	public []string
	// hosts are the exact host names of the site.
	hosts []string
	// canonical is the origin that names the endpoint when nobody asks: in logs
	// and as default of the realm.
	canonical string

	// last is what was worked out for the last good request: most have the same
	// Host.
	last atomic.Pointer[reached]
}

// reached is a scheme and Host that the endpoint answers to, with the origin
// and its port. Whether the port fits is another matter.
type reached struct {
	scheme, hostport string
	origin, port     string
}

// canonicalOrigin brings a scheme and a Host to the one form in which origins
// are compared and shown: lower case, punycode, no default port, no trailing
// dot.
func canonicalOrigin(scheme, hostport string) (string, error) {
	scheme = strings.ToLower(scheme)
	if scheme != "http" && scheme != "https" {
		return "", fmt.Errorf("scheme %q: want https, or http for loopback", scheme)
	}
	u, err := url.Parse(scheme + "://" + hostport)
	if err != nil || u.Hostname() == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("host %q: want a host name, with a port if it is not the default", hostport)
	}
	host, err := canonicalHost(u.Hostname())
	if err != nil {
		return "", err
	}
	port := u.Port()
	if strings.HasSuffix(u.Host, ":") || port == "0" {
		return "", fmt.Errorf("host %q: empty port", hostport)
	}
	if port == "" || scheme == "http" && port == "80" || scheme == "https" && port == "443" {
		return scheme + "://" + host, nil
	}
	return scheme + "://" + host + ":" + port, nil
}

func canonicalHost(name string) (string, error) {
	if ip, err := netip.ParseAddr(name); err == nil {
		if ip.Zone() != "" {
			return "", fmt.Errorf("host %q: an address with a zone is not an origin", name)
		}
		if ip.Is6() {
			return "[" + ip.String() + "]", nil
		}
		return ip.String(), nil
	}
	ascii, err := idna.Lookup.ToASCII(strings.TrimSuffix(name, "."))
	if err != nil || ascii == "" {
		return "", fmt.Errorf("host %q: not a host name", name)
	}
	return ascii, nil
}

// parseOrigin reads a configured origin, such as https://mcp.example.com.
func parseOrigin(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%q: want an origin such as https://mcp.example.com, without path", raw)
	}
	return canonicalOrigin(u.Scheme, u.Host)
}

// errForeignHost reports a Host that the endpoint does not answer to.
var errForeignHost = errors.New("host is none of the endpoint's")

// of returns the origin that a request is for, or errForeignHost.
func (o *origins) of(r *http.Request) (string, error) {
	scheme, hostport := requestOrigin(r)
	at := o.last.Load()
	if at == nil || at.scheme != scheme || at.hostport != hostport {
		var err error
		if at, err = o.reach(scheme, hostport); err != nil {
			return "", err
		}
		o.last.Store(at)
	}
	if len(o.public) == 0 && !portFits(at.port, r) {
		return "", errForeignHost
	}
	return at.origin, nil
}

func (o *origins) reach(scheme, hostport string) (*reached, error) {
	origin, err := canonicalOrigin(scheme, hostport)
	if err != nil {
		return nil, errForeignHost
	}
	if len(o.public) > 0 {
		if origin, err = o.publicOrigin(origin); err != nil {
			return nil, err
		}
		return &reached{scheme: scheme, hostport: hostport, origin: origin}, nil
	}
	u, err := url.Parse(origin)
	if err != nil || !o.answers(u.Hostname()) {
		return nil, errForeignHost
	}
	return &reached{scheme: scheme, hostport: hostport, origin: origin, port: u.Port()}, nil
}

// all returns every origin of the endpoint, the canonical one first.
func (o *origins) all() []string {
	if len(o.public) > 0 {
		return o.public
	}
	list := []string{o.canonical}
	u, err := url.Parse(o.canonical)
	if err != nil {
		return list
	}
	for _, host := range o.hosts {
		if port := u.Port(); port != "" {
			host = net.JoinHostPort(host, port)
		} else if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		if origin := u.Scheme + "://" + host; origin != o.canonical {
			list = append(list, origin)
		}
	}
	return list
}

// publicOrigin finds the configured origin that has the request's host. The
// scheme is the configured one: TLS may end at a proxy in front that does not
// say so.
func (o *origins) publicOrigin(origin string) (string, error) {
	if slices.Contains(o.public, origin) {
		return origin, nil
	}
	_, host, _ := strings.Cut(origin, "://")
	for _, p := range o.public {
		if _, h, _ := strings.Cut(p, "://"); h == host {
			return p, nil
		}
	}
	return "", errForeignHost
}

// answers reports whether name is a host of the site; on a site for any host,
// only loopback names are.
func (o *origins) answers(name string) bool {
	if len(o.hosts) == 0 {
		return isLoopbackHost(name)
	}
	return slices.Contains(o.hosts, name)
}

// portFits reports whether a Host with that port may be for this listener: the
// scheme's own port, which a container or a firewall may map, or the one that
// the connection came in by. Behind a trusted proxy the proxy's word counts.
func portFits(port string, r *http.Request) bool {
	if port == "" || behindTrustedProxy(r) {
		return true
	}
	switch addr := r.Context().Value(http.LocalAddrContextKey).(type) {
	case *net.TCPAddr:
		return strconv.Itoa(addr.Port) == port
	case net.Addr:
		_, local, err := net.SplitHostPort(addr.String())
		return err == nil && local == port
	}
	return false
}

// requestOrigin returns scheme and host as the client sees them. Forwarding
// headers count only when Caddy trusts the proxy that sent them: its own
// placeholders do not look at them.
func requestOrigin(r *http.Request) (scheme, host string) {
	scheme, host = "http", r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	if !behindTrustedProxy(r) {
		return scheme, host
	}
	if proto := firstValue(r.Header.Get("X-Forwarded-Proto")); proto != "" {
		scheme = proto
	}
	if forwarded := firstValue(r.Header.Get("X-Forwarded-Host")); forwarded != "" {
		host = forwarded
	}
	return scheme, host
}

func behindTrustedProxy(r *http.Request) bool {
	trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	return trusted
}

func firstValue(list string) string {
	first, _, _ := strings.Cut(list, ",")
	return strings.TrimSpace(first)
}

// isLoopbackHost reports whether name means this computer.
func isLoopbackHost(name string) bool {
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(name, "[]"))
	return err == nil && ip.IsLoopback()
}

// browserAllowed reports whether a page of the given origin may use the MCP
// endpoint at own: own pages, those that are configured, and while the endpoint
// is on loopback those of this computer, such as the MCP Inspector's.
func browserAllowed(own, origin string, configured []string) bool {
	given, err := parseOrigin(origin)
	if err != nil || given != strings.ToLower(origin) {
		return false
	}
	if given == own || slices.Contains(configured, given) {
		return true
	}
	return isLoopbackOrigin(own) && isLoopbackOrigin(given)
}

func isLoopbackOrigin(origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && isLoopbackHost(u.Hostname())
}
