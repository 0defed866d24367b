package authserver

import (
	"slices"
	"strings"
)

// knownScopes returns those of the space-separated scopes that this server has.
// Unknown ones are left out and no error: clients ask for what other servers
// offer, such as "openid profile". When nothing remains, or nothing was asked
// for, it is all of the endpoint's own.
func (s *Server) knownScopes(requested string) []string {
	var known []string
	own := false
	for _, name := range strings.Fields(requested) {
		if slices.Contains(known, name) {
			continue
		}
		if slices.ContainsFunc(s.cfg.Scopes, func(sc Scope) bool { return sc.Name == name }) {
			known, own = append(known, name), true
		} else if name == ScopeOfflineAccess {
			known = append(known, name)
		}
	}
	if !own {
		known = append(s.scopeNames(), known...)
	}
	return known
}

// permissions says in words what the scopes allow.
func (s *Server) permissions(scopes []string) []string {
	var words []string
	for _, sc := range s.cfg.Scopes {
		if slices.Contains(scopes, sc.Name) {
			words = append(words, sc.Description)
		}
	}
	if slices.Contains(scopes, ScopeOfflineAccess) {
		words = append(words, "Stay connected until you or the app ends it")
	}
	return words
}

// ChallengeScopes are the scopes that the 401 challenge names: the endpoint's
// own, without offline_access (MCP 2026-07-28, refresh tokens).
func (s *Server) ChallengeScopes() []string { return s.scopeNames() }
