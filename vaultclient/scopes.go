package vaultclient

import (
	"slices"
	"strings"
)

// FullScope returns the provider's name of a scope that may be written short,
// such as gmail.readonly.
func (p *Provider) FullScope(scope string) string {
	if p.ScopePrefix == "" || strings.Contains(scope, ":") || slices.Contains(p.ScopeVerbatim, scope) {
		return scope
	}
	return p.ScopePrefix + scope
}

// AllScopes returns the provider's own scopes and the given ones by their full
// names, each once.
func (p *Provider) AllScopes(more []string) []string {
	var all []string
	for _, scope := range slices.Concat(p.Scopes, more) {
		if full := p.FullScope(scope); !slices.Contains(all, full) {
			all = append(all, full)
		}
	}
	return all
}

// offlineAccess asks for a refresh token (OpenID Connect Core section 11). It is
// no permission, and providers leave it out when they report what was granted.
const offlineAccess = "offline_access"

// Missing returns which of the needed scopes the granted ones do not cover, by
// themselves or by what they imply.
func (p *Provider) Missing(granted, needed []string) []string {
	if !slices.ContainsFunc(needed, func(scope string) bool { return !slices.Contains(granted, p.FullScope(scope)) }) {
		return nil // what providers report is what was asked for, nearly always
	}
	covered := make(map[string]bool)
	open := slices.Clone(granted)
	for len(open) > 0 {
		scope := p.FullScope(open[0])
		open = open[1:]
		if !covered[scope] {
			covered[scope] = true
			open = append(open, p.ScopeImplies[scope]...)
		}
	}
	var missing []string
	for _, scope := range needed {
		if full := p.FullScope(scope); !covered[full] && scope != offlineAccess {
			missing = append(missing, full)
		}
	}
	return missing
}

// splitScopes reads the scopes that a provider reports, separated by blanks or
// commas, whichever it uses.
func splitScopes(s string) []string {
	return strings.FieldsFunc(s, func(c rune) bool { return c == ' ' || c == ',' })
}
