package altermcp

import (
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// routes binds every path of ownPaths to what serves it.
func (h *Handler) routes(auth *authserver.Server, v vault, mcp http.Handler, rootTaken bool) map[string]http.HandlerFunc {
	below := map[string]http.HandlerFunc{
		"/connect": v.ServeConnect, "/account": v.ServeAccount,
		// Reserved: what is to come there must not belong to someone else now.
		"/introspect": notHere, "/approve": notHere,
		"/device": notHere, "/device_authorization": notHere, // unless device_authorization
	}
	for _, path := range h.connectCallbacks() {
		below[path] = v.ServeCallback
	}
	for path, serve := range auth.Routes() {
		below[path] = serve
	}
	exact := map[string]http.HandlerFunc{h.Path: mcp.ServeHTTP, h.Path + "/": mcp.ServeHTTP}
	for path, serve := range below {
		exact[h.Path+path] = serve
	}
	for _, doc := range wellKnownDocs() {
		serve := auth.ServeServerMetadata
		if doc == docResource {
			serve = auth.ServeResourceMetadata
		}
		places := []string{wellKnown + doc + h.Path, h.Path + wellKnown + doc}
		if h.RootDocuments != "" && !rootTaken {
			places = append(places, wellKnown+doc)
		}
		for _, at := range places {
			exact[at], exact[at+"/"] = serve, serve
		}
	}
	if h.LegacyRoot {
		for _, path := range legacyRootPaths() {
			exact[path] = below[path]
			if path == "/authorize" { // the cookies are for the endpoint's own path
				exact[path] = toOwnPath(h.Path)
			}
		}
	}
	return exact
}

// route returns what serves a path, or nil when it is not the endpoint's. A
// path that begins like a stylesheet's and leads elsewhere by dots is not: the
// handlers behind would follow them.
func (run *running) route(at string) http.HandlerFunc {
	if serve := run.exact[at]; serve != nil {
		return serve
	}
	if strings.HasPrefix(at, run.assets) && path.Clean(at) == at {
		return run.pages.ServeAsset
	}
	return nil
}

// toOwnPath sends a browser from a path at the root of the host to the same one
// below the endpoint.
func toOwnPath(endpoint string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		u := url.URL{Path: endpoint + r.URL.Path, RawQuery: r.URL.RawQuery}
		w.Header().Set("Location", u.String())
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusSeeOther)
	}
}

func notHere(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "not found", http.StatusNotFound)
}

// urls names paths below the endpoint's own for people, with blanks between.
func (run *running) urls(h *Handler, paths []string) string {
	var all []string
	for _, at := range paths {
		all = append(all, run.origins.canonical+h.Path+at)
	}
	return strings.Join(all, " ")
}

// connectCallbacks are the paths below the endpoint's own to which providers send
// people back.
func (h *Handler) connectCallbacks() []string {
	paths := []string{pathConnectCallback}
	for _, p := range h.Providers {
		if p.Callback != "" {
			paths = append(paths, pathConnectCallback+"/"+p.Callback)
		}
	}
	return paths
}
