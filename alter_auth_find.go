package altermcp

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// endpointFor returns the endpoint that an alter_auth names by path or URL, or
// else the only one near it. A path is looked for near it first.
func (a *App) endpointFor(name string, near []*Handler) (*Handler, error) {
	switch {
	case name == "" && len(near) == 1:
		return near[0], nil
	case len(a.endpoints) == 0:
		return nil, errors.New("there is no alter_mcp in the configuration")
	case name == "":
		return nil, fmt.Errorf("endpoint: the site has %d endpoints; want the path or the URL of one: %s", len(near), a.endpointNames())
	case !strings.HasPrefix(name, "/"):
		return a.endpointAt(name)
	}
	for _, among := range [][]*Handler{near, a.endpoints} {
		var found []*Handler
		for _, h := range among {
			if h.Path == name {
				found = append(found, h)
			}
		}
		switch len(found) {
		case 0:
			continue
		case 1:
			return found[0], nil
		}
		return nil, fmt.Errorf("endpoint %s: there are %d at that path; want the URL of one: %s", name, len(found), a.endpointNames())
	}
	return nil, fmt.Errorf("endpoint %s: there is no alter_mcp at that path; there are %s", name, a.endpointNames())
}

// around returns the endpoints of the site block that auth stands in, and those
// of them that stand behind it.
func (a *App) around(auth *Auth) (beside, behind []*Handler, err error) {
	at, err := a.site(auth)
	if err != nil || at == nil {
		return nil, nil, err
	}
	for _, h := range a.endpoints {
		if !routeHas(at.block, h) {
			continue
		}
		beside = append(beside, h)
		if standsBehind(caddyhttp.RouteList{*at.block}, auth, h) {
			behind = append(behind, h)
		}
	}
	return beside, behind, nil
}

// standsBehind reports whether h is in the same list of routes as auth, in the
// same route, a later one, or below such a one. Requests of a list of its own,
// such as handle_path makes, go elsewhere, and may be called like h's.
func standsBehind(routes caddyhttp.RouteList, auth *Auth, h *Handler) bool {
	for i := range routes {
		if slices.Contains(routes[i].Handlers, caddyhttp.MiddlewareHandler(auth)) {
			return slices.ContainsFunc(routes[i:], func(later caddyhttp.Route) bool { return routeHas(&later, h) })
		}
		for _, handler := range routes[i].Handlers {
			if sub, ok := handler.(*caddyhttp.Subroute); ok && standsBehind(sub.Routes, auth, h) {
				return true
			}
		}
	}
	return false
}

// endpointAt returns the endpoint of that URL.
func (a *App) endpointAt(url string) (*Handler, error) {
	for _, h := range a.endpoints {
		if err := h.open(); err != nil {
			return nil, fmt.Errorf("alter_mcp %s: %w", h.Path, err)
		}
		o := h.running.origins
		if url == o.canonical+h.Path || slices.Contains(o.public, strings.TrimSuffix(url, h.Path)) && strings.HasSuffix(url, h.Path) {
			return h, nil
		}
	}
	return nil, fmt.Errorf("endpoint %s: there is no alter_mcp with that URL; there are %s", url, a.endpointNames())
}

// endpointNames lists the endpoints, by their URL where it is known.
func (a *App) endpointNames() string {
	var names []string
	for _, h := range a.endpoints {
		name := h.Path
		if h.open() == nil {
			name = h.running.origins.canonical + h.Path
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// openAuths finds the endpoint of each alter_auth.
func (a *App) openAuths() error {
	var errs []error
	for _, auth := range a.auths {
		if err := auth.open(); err != nil {
			errs = append(errs, fmt.Errorf("alter_auth: %w", err))
		}
	}
	return errors.Join(errs...)
}
