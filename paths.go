package altermcp

import "strings"

// Paths of an endpoint below its own, final because operators type two of them
// into other consoles. Those of later versions are reserved already.
const (
	pathLoginCallback   = "/login/callback"   // redirect URI at the identity provider, or what is below it
	pathConnectCallback = "/connect/callback" // redirect URI at every provider, or what is below it
	pathAssets          = "/assets/"
)

// subPaths are the paths below an endpoint's own path.
func subPaths() []string {
	return []string{
		"/authorize", "/token", "/register", "/revoke", "/introspect", "/jwks.json",
		"/login", pathLoginCallback, "/consent", "/connect", pathConnectCallback,
		"/approve", "/account", "/logout", "/device", "/device_authorization",
	}
}

// Names of well-known documents.
const (
	docResource = "oauth-protected-resource"   // RFC 9728 section 3
	docServer   = "oauth-authorization-server" // RFC 8414 section 3
	docOpenID   = "openid-configuration"       // what OpenID clients look for
	wellKnown   = "/.well-known/"
)

func wellKnownDocs() []string { return []string{docResource, docServer, docOpenID} }

// legacyRootPaths are where clients of revision 2025-03-26, and those that find
// no metadata, look for the authorization server.
func legacyRootPaths() []string { return []string{"/authorize", "/token", "/register"} }

// matchedPaths lists what the Caddyfile directive matches. The handler answers
// ownPaths alone. The rest below the endpoint's path it passes on, without the
// endpoint's cookies, which browsers send for all of it.
func (h *Handler) matchedPaths() []string {
	paths := []string{h.Path, h.Path + "/*"}
	return append(paths, h.rootPaths()...)
}

// ownPaths lists every path that the endpoint answers. Exact paths, but for the
// stylesheet, whose name changes with its content.
func (h *Handler) ownPaths() []string {
	paths := []string{h.Path, h.Path + "/", h.Path + pathAssets + "*"}
	for _, sub := range subPaths() {
		paths = append(paths, h.Path+sub)
	}
	for _, doc := range wellKnownDocs() {
		paths = append(paths, h.Path+wellKnown+doc, h.Path+wellKnown+doc+"/")
	}
	return append(paths, h.rootPaths()...)
}

// rootPaths lists the paths outside of the endpoint's own.
func (h *Handler) rootPaths() []string {
	var paths []string
	for _, doc := range wellKnownDocs() {
		paths = append(paths, wellKnown+doc+h.Path, wellKnown+doc+h.Path+"/")
	}
	if h.RootDocuments != "" {
		for _, doc := range wellKnownDocs() {
			paths = append(paths, wellKnown+doc, wellKnown+doc+"/")
		}
	}
	if h.LegacyRoot {
		paths = append(paths, legacyRootPaths()...)
	}
	return paths
}

// collides reports whether another endpoint's path is one of the paths of an
// endpoint at p, or lies in its well-known tree.
func collides(p, other string) bool {
	rest, below := strings.CutPrefix(other, p)
	if !below {
		return false
	}
	for _, tree := range []string{wellKnown, pathAssets, pathLoginCallback + "/", pathConnectCallback + "/"} {
		if strings.HasPrefix(rest, tree) {
			return true
		}
	}
	for _, sub := range subPaths() {
		if rest == sub {
			return true
		}
	}
	return rest == ""
}
