package altermcp

import (
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// site is where a handler stands in the configuration of the HTTP app. A
// handler is not told: the app is searched for it once it is provisioned.
type site struct {
	scheme string
	port   string // empty: the scheme's default
	hosts  []string
	// block is the same for the handlers of one site block.
	block *caddyhttp.Route
}

// findSite returns where h stands, or nil when it is in no server's routes.
func findSite(app *caddyhttp.App, h caddyhttp.MiddlewareHandler) *site {
	for _, srv := range app.Servers {
		for i := range srv.Routes {
			route := &srv.Routes[i]
			if !routeHas(route, h) {
				continue
			}
			s := &site{scheme: "http", hosts: exactHosts(route.MatcherSets), block: route}
			if len(srv.TLSConnPolicies) > 0 {
				s.scheme = "https"
			}
			s.port = publicPort(app, srv, s.scheme)
			return s
		}
	}
	return nil
}

func routeHas(route *caddyhttp.Route, h caddyhttp.MiddlewareHandler) bool {
	for _, handler := range route.Handlers {
		if handler == h {
			return true
		}
		sub, ok := handler.(*caddyhttp.Subroute)
		if !ok {
			continue
		}
		for i := range sub.Routes {
			if routeHas(&sub.Routes[i], h) {
				return true
			}
		}
	}
	return false
}

// exactHosts returns the host names that a route is for, without wildcards and
// placeholders.
func exactHosts(sets caddyhttp.MatcherSets) []string {
	var hosts []string
	for _, set := range sets {
		for _, matcher := range set {
			var names caddyhttp.MatchHost
			switch m := matcher.(type) {
			case caddyhttp.MatchHost:
				names = m
			case *caddyhttp.MatchHost:
				names = *m
			}
			for _, name := range names {
				if strings.ContainsAny(name, "*{}") {
					continue
				}
				if host, err := canonicalHost(strings.Trim(name, "[]")); err == nil {
					hosts = append(hosts, strings.Trim(host, "[]"))
				}
			}
		}
	}
	return hosts
}

// publicPort returns the port that a site's address shows: none when the server
// listens where Caddy expects the scheme's default.
func publicPort(app *caddyhttp.App, srv *caddyhttp.Server, scheme string) string {
	standard := app.HTTPPort
	fallback := 80
	if scheme == "https" {
		standard, fallback = app.HTTPSPort, 443
	}
	if standard == 0 {
		standard = fallback
	}
	for _, listen := range srv.Listen {
		addr, err := caddy.ParseNetworkAddress(listen)
		if err != nil || addr.IsUnixNetwork() {
			continue
		}
		if int(addr.StartPort) == standard {
			return ""
		}
		return strconv.Itoa(int(addr.StartPort))
	}
	return ""
}

// origin is the canonical origin of the site's first host, or of localhost on a
// site for any host.
func (s *site) origin() (string, error) {
	host := "localhost"
	if len(s.hosts) > 0 {
		host = s.hosts[0]
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if s.port != "" {
		host += ":" + s.port
	}
	return canonicalOrigin(s.scheme, host)
}
