package altermcp

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

func init() {
	caddy.RegisterModule(OIDCIdentity{})
}

// OIDCIdentity logs people in at an OpenID Connect provider, such as Auth0,
// Clerk, Entra, Google, Keycloak or Okta. The redirect URI to register there is
// `<endpoint>/login/callback`, or that with Callback after it.
type OIDCIdentity struct {
	// Issuer of the provider: the URL below which
	// `/.well-known/openid-configuration` is found. https, except on loopback;
	// placeholders are allowed. Required.
	Issuer string `json:"issuer,omitempty"`

	// Client ID of the client registered at the provider; placeholders are
	// allowed. Required.
	ClientID string `json:"client_id,omitempty"`

	// Its secret; placeholders are allowed. Default: none, for a client that is
	// registered as public.
	ClientSecret string `json:"client_secret,omitempty"`

	// A redirect URI of its own, `<endpoint>/login/callback/<callback>`: 1 to 64
	// letters, digits, - and _. Of several OIDC identities each but one needs
	// one, so that none gets at codes of another (RFC 9700 section 4.4). Default:
	// none, and the redirect URI is `<endpoint>/login/callback`.
	Callback string `json:"callback,omitempty"`

	// What people are told they log in with. Default: the issuer's host.
	LoginTitle string `json:"title,omitempty"`

	// Scopes to ask for; `openid` is always among them. Default: `openid`,
	// `email` and `profile`.
	Scopes []string `json:"scopes,omitempty"`

	// The claim that holds a person's groups, a list or one text. Default:
	// `groups`.
	GroupsClaim string `json:"groups_claim,omitempty"`

	// The claim of the ID token that says who a person is. It must never change
	// and never be given to somebody else. Default: `sub`.
	SubjectClaim string `json:"subject_claim,omitempty"`

	// Take every e-mail address for verified, for a provider that does not say
	// so. Only where people cannot choose their address themselves.
	TrustEmail bool `json:"trust_email,omitempty"`

	// Audiences whose access tokens of the provider are good at the endpoint,
	// beside its own: for programs that have a person's token of the provider and
	// do not log in here. They are signed JWTs (RFC 9068) whose `aud` is one of
	// these; with the client ID among them, ID tokens for this client count too.
	// Default: none.
	AcceptTokens []string `json:"accept_tokens,omitempty"`

	// Further parameters of the authorization request.
	AuthorizeParams map[string]string `json:"authorize_params,omitempty"`

	issuer   *url.URL
	identity *authserver.OIDCIdentity
}

// CaddyModule implements caddy.Module.
func (OIDCIdentity) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.alter_mcp.identities.oidc",
		New: func() caddy.Module { return new(OIDCIdentity) },
	}
}

// Provision resolves secrets and checks the settings. The provider is asked for
// nothing before somebody logs in.
func (i *OIDCIdentity) Provision(ctx caddy.Context) error {
	config, err := i.resolve()
	if err == nil {
		config.Logger = ctx.Logger()
		i.identity, err = authserver.NewOIDCIdentity(*config)
	}
	if err == nil {
		i.issuer, err = url.Parse(config.Issuer)
	}
	if err != nil {
		return fmt.Errorf("identity oidc: %w", err)
	}
	return nil
}

func (i *OIDCIdentity) resolve() (*authserver.OIDCConfig, error) {
	config := &authserver.OIDCConfig{
		Callback: i.Callback, Scopes: i.Scopes, GroupsClaim: i.GroupsClaim, SubjectClaim: i.SubjectClaim,
		TrustEmail: i.TrustEmail, AuthorizeParams: i.AuthorizeParams, AcceptAudiences: i.AcceptTokens,
	}
	var err error
	if config.Issuer, err = expandSecret("issuer", i.Issuer); err != nil {
		return nil, err
	}
	if config.ClientID, err = expandSecret("client_id", i.ClientID); err != nil {
		return nil, err
	}
	if i.ClientSecret != "" {
		if config.ClientSecret, err = expandSecret("client_secret", i.ClientSecret); err != nil {
			return nil, err
		}
	}
	return config, nil
}

// Title implements identityModule.
func (i *OIDCIdentity) Title() string {
	if i.LoginTitle != "" {
		return i.LoginTitle
	}
	return i.issuer.Host
}

// Knows implements identityModule.
func (i *OIDCIdentity) Knows(issuer, _ string) bool { return i.identity.Knows(issuer) }

// onlyOne implements singular: a person is one of an issuer, whichever client they
// logged in by.
func (i *OIDCIdentity) onlyOne() string {
	return "identity oidc " + strings.TrimSuffix(i.issuer.String(), "/")
}

// OpenToTheWorld implements openIdentity: Google, and Microsoft's tenant of
// personal accounts.
func (i *OIDCIdentity) OpenToTheWorld() bool {
	const personal = "9188040d-6c67-4c5b-b112-36a304b66dad"
	host := i.issuer.Hostname()
	return host == "accounts.google.com" || host == "login.microsoftonline.com" && strings.HasPrefix(strings.ToLower(i.issuer.Path), "/"+personal)
}

// FormTargets tells authserver where a form leads when a login follows.
func (i *OIDCIdentity) FormTargets() []string { return i.identity.FormTargets() }

// Callbacks tells authserver where the provider's answers come to.
func (i *OIDCIdentity) Callbacks() []string { return i.identity.Callbacks() }

// givesTokens implements tokenGiver.
func (i *OIDCIdentity) givesTokens() {}

// Login implements [authserver.Identity].
func (i *OIDCIdentity) Login(w http.ResponseWriter, r *http.Request, l *authserver.Login) (*authserver.Person, error) {
	return i.identity.Login(w, r, l)
}

// VerifyToken implements [authserver.TokenVerifier].
func (i *OIDCIdentity) VerifyToken(ctx context.Context, token string) (*authserver.Bearer, error) {
	return i.identity.VerifyToken(ctx, token)
}

// RenewTokens implements [authserver.TokenRenewer].
func (i *OIDCIdentity) RenewTokens(ctx context.Context, old authserver.IdentityTokens) (authserver.IdentityTokens, error) {
	return i.identity.RenewTokens(ctx, old)
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Syntax:
//
//	identity oidc <issuer> {
//	    client_id       <id>
//	    client_secret   <secret>
//	    callback        <name>
//	    title           <text>
//	    scopes          <scope>...
//	    groups_claim    <name>
//	    subject_claim   <name>
//	    trust_email
//	    accept_tokens   <audience>...
//	    authorize_param <name> <value>
//	}
func (i *OIDCIdentity) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // module name
	if err := oneArg(d, &i.Issuer); err != nil {
		return d.Err("identity oidc takes the provider's issuer, such as https://login.example.com")
	}
	seen := make(once)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if d.Val() == "authorize_param" { // may come more than once
			if err := authorizeParam(d, &i.AuthorizeParams); err != nil {
				return err
			}
			continue
		}
		if err := seen.check(d); err != nil {
			return err
		}
		if err := i.unmarshalSetting(d); err != nil {
			return err
		}
	}
	return nil
}

func (i *OIDCIdentity) unmarshalSetting(d *caddyfile.Dispenser) error {
	switch d.Val() {
	case "client_id":
		return oneArg(d, &i.ClientID)
	case "client_secret":
		return oneArg(d, &i.ClientSecret)
	case "callback":
		return oneArg(d, &i.Callback)
	case "title":
		return oneArg(d, &i.LoginTitle)
	case "scopes":
		return manyArgs(d, &i.Scopes)
	case "groups_claim":
		return oneArg(d, &i.GroupsClaim)
	case "subject_claim":
		return oneArg(d, &i.SubjectClaim)
	case "trust_email":
		return noArgs(d, &i.TrustEmail)
	case "accept_tokens":
		return manyArgs(d, &i.AcceptTokens)
	}
	return unknown(d, "identity oidc", "accept_tokens", "authorize_param", "callback", "client_id", "client_secret", "groups_claim", "scopes",
		"subject_claim", "title", "trust_email")
}

// Interface guards
var (
	_ caddy.Provisioner     = (*OIDCIdentity)(nil)
	_ caddyfile.Unmarshaler = (*OIDCIdentity)(nil)
	_ identityModule        = (*OIDCIdentity)(nil)
	_ openIdentity          = (*OIDCIdentity)(nil)
	_ singular              = (*OIDCIdentity)(nil)
	_ tokenGiver            = (*OIDCIdentity)(nil)

	_ authserver.TokenRenewer  = (*OIDCIdentity)(nil)
	_ authserver.TokenVerifier = (*OIDCIdentity)(nil)
)
