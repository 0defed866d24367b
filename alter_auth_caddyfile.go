package altermcp

import (
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	httpcaddyfile.RegisterHandlerDirective("alter_auth", parseAuth)
	// Where Caddy's own authentication stands: before rewrites of what is
	// behind, and after those of the site.
	httpcaddyfile.RegisterDirectiveOrder("alter_auth", httpcaddyfile.After, "basic_auth")
}

func parseAuth(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	a := new(Auth)
	return a, a.UnmarshalCaddyfile(h.Dispenser)
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Syntax:
//
//	alter_auth [<matcher>] {
//	    endpoint              <path or URL>
//	    optional
//	    identity_token_header <name>
//	    signed_identity       <audience> [<header>]
//	    allow                 email|domain|group|subject <value>... or any
//	    deny                  email|domain|group|subject <value>...
//	}
func (a *Auth) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // directive name; a matcher was taken already
	if d.NextArg() {
		return d.Errf("alter_auth takes no value but a matcher such as /api/*; found %q", d.Val())
	}
	seen := make(once)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if d.Val() == "allow" || d.Val() == "deny" {
			if err := a.unmarshalRule(d); err != nil {
				return err
			}
			continue
		}
		if err := seen.check(d); err != nil {
			return err
		}
		if err := a.unmarshalSetting(d); err != nil {
			return err
		}
	}
	return nil
}

func (a *Auth) unmarshalSetting(d *caddyfile.Dispenser) error {
	switch d.Val() {
	case "endpoint":
		return oneArg(d, &a.Endpoint)
	case "optional":
		return noArgs(d, &a.Optional)
	case "identity_token_header":
		return oneArg(d, &a.IdentityTokenHeader)
	case "signed_identity":
		return signedIdentity(d, &a.SignedIdentity)
	}
	return unknown(d, "alter_auth", "allow", "deny", "endpoint", "identity_token_header", "optional", "signed_identity")
}

// Interface guards
var _ caddyfile.Unmarshaler = (*Auth)(nil)
