package altermcp

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// unmarshalProvider reads a provider. Syntax:
//
//	provider <name> {
//	    preset            <name>
//	    title             <text>
//	    client_id         <id>
//	    client_secret     <secret>
//	    callback          <name>
//	    token_auth        client_secret_post | client_secret_basic | none
//	    scopes            <scope>...
//	    issuer            <url>
//	    authorization_url <url>
//	    token_url         <url>
//	    revocation_url    <url>
//	    api_hosts         <host>...
//	    authorize_param   <name> <value>
//	    scope_param       <name>
//	    scope_separator   <text>
//	    token_field       <name>
//	    no_pkce
//	    scopes_add_up
//	    allow             email|domain|group|subject <value>... or any
//	    deny              email|domain|group|subject <value>...
//	}
func (h *Handler) unmarshalProvider(d *caddyfile.Dispenser) error {
	p := new(Provider)
	if err := oneArg(d, &p.Name); err != nil {
		return err
	}
	for _, other := range h.Providers {
		if other.Name == p.Name {
			return d.Errf("provider %s stands twice", p.Name)
		}
	}
	h.Providers = append(h.Providers, p)
	seen := make(once)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if d.Val() == "authorize_param" { // may come more than once
			if err := authorizeParam(d, &p.AuthorizeParams); err != nil {
				return err
			}
			continue
		}
		if d.Val() == "allow" || d.Val() == "deny" {
			if err := p.unmarshalRule(d); err != nil {
				return err
			}
			continue
		}
		if err := seen.check(d); err != nil {
			return err
		}
		if err := p.unmarshalSetting(d); err != nil {
			return err
		}
	}
	return nil
}

func (p *Provider) unmarshalSetting(d *caddyfile.Dispenser) error {
	switch d.Val() {
	case "scopes":
		return manyArgs(d, &p.Scopes)
	case "api_hosts":
		return manyArgs(d, &p.APIHosts)
	case "no_pkce":
		return noArgs(d, &p.NoPKCE)
	case "scopes_add_up":
		return noArgs(d, &p.ScopesAddUp)
	}
	texts := map[string]*string{
		"preset": &p.Preset, "title": &p.Title, "client_id": &p.ClientID, "client_secret": &p.ClientSecret, "callback": &p.Callback,
		"token_auth": &p.TokenAuth, "issuer": &p.Issuer, "authorization_url": &p.AuthorizationURL, "token_url": &p.TokenURL,
		"revocation_url": &p.RevocationURL, "scope_param": &p.ScopeParam,
		"scope_separator": &p.ScopeSeparator, "token_field": &p.TokenField,
	}
	if text := texts[d.Val()]; text != nil {
		return oneArg(d, text)
	}
	return unknown(d, "provider", "allow", "api_hosts", "authorization_url", "authorize_param", "callback", "client_id", "client_secret", "deny", "issuer",
		"no_pkce", "preset", "revocation_url", "scope_param", "scope_separator", "scopes", "scopes_add_up", "title", "token_auth",
		"token_field", "token_url")
}
