package altermcp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/lestrrat-go/jwx/v2/jwt"
	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
)

func init() {
	caddy.RegisterModule(AlterIdentity{})
}

// AlterIdentity logs people in at the identity provider of an Alter app, on the
// pages of Alter. Nothing is registered at the identity provider for this
// server.
type AlterIdentity struct {
	// The API key of the app; placeholders are allowed. Default: that of `vault
	// alter`.
	APIKey string `json:"api_key,omitempty"`

	// Where the Alter Vault is; placeholders are allowed. Default: that of
	// `vault alter`; with an API key of its own, as that of `vault alter`.
	BaseURL string `json:"base_url,omitempty"`

	// The issuer of the app's identity provider; placeholders are allowed. With
	// it, tokens of another are refused. Default: whichever the app has.
	Issuer string `json:"issuer,omitempty"`

	// The claim that holds a person's groups, a list or one text. Default:
	// `groups`.
	GroupsClaim string `json:"groups_claim,omitempty"`

	// Take every e-mail address for verified, for an identity provider that does
	// not say so. Only where people cannot choose their address themselves.
	TrustEmail bool `json:"trust_email,omitempty"`

	// What people are told they log in with. Default: `your organization`.
	LoginTitle string `json:"title,omitempty"`

	// How many logins one address may begin at once; an IPv6 address counts as its
	// /64. Each is a request to the vault, with the key that the tools use too.
	// Default: 60.
	Rate int `json:"rate,omitempty"`

	// Over which time that many are allowed again. Default: 1m.
	Window caddy.Duration `json:"window,omitempty"`

	client   *alter.Client
	identity *authserver.HostedIdentity
	logger   *zap.Logger
}

// CaddyModule implements caddy.Module.
func (AlterIdentity) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.alter_mcp.identities.alter",
		New: func() caddy.Module { return new(AlterIdentity) },
	}
}

// Provision resolves secrets and checks the settings. The vault is asked for
// nothing before somebody logs in.
func (i *AlterIdentity) Provision(ctx caddy.Context) error {
	if i.LoginTitle == "" {
		i.LoginTitle = "your organization"
	}
	if i.Issuer != "" {
		var err error
		if i.Issuer, err = expandSecret("issuer", i.Issuer); err != nil {
			return fmt.Errorf("identity alter: %w", err)
		}
	}
	i.logger = ctx.Logger()
	i.waitUntil(nil)
	if i.APIKey == "" {
		return nil // that of the vault, which is loaded next
	}
	cfg, err := alterConfig(i.APIKey, i.BaseURL)
	if err == nil {
		cfg.Logger = ctx.Logger()
		i.client, err = alter.New(cfg)
	}
	if err != nil {
		return fmt.Errorf("identity alter: %w", err)
	}
	return nil
}

// waitUntil implements waitingIdentity.
func (i *AlterIdentity) waitUntil(closing <-chan struct{}) {
	i.identity = authserver.NewHostedIdentity(authserver.HostedConfig{
		Login: alterLogin{i}, Title: i.LoginTitle, GroupsClaim: i.GroupsClaim, TrustEmail: i.TrustEmail,
		Rate: i.Rate, Window: time.Duration(i.Window), Closing: closing, Logger: i.logger,
	})
}

// UseVault implements vaultUser: without an API key of its own the identity
// takes that of the vault.
func (i *AlterIdentity) UseVault(v vaultModule) error {
	if i.client != nil {
		return nil
	}
	vault, ok := v.(*AlterVault)
	if !ok {
		return errors.New("identity alter: api_key is missing; without one, vault alter has to have it")
	}
	if i.BaseURL != "" {
		return errors.New("identity alter: base_url goes with an api_key of its own; without, both are those of vault alter")
	}
	var err error
	i.client, err = alter.New(vault.config)
	return err
}

// Title implements identityModule.
func (i *AlterIdentity) Title() string { return i.LoginTitle }

// Knows implements identityModule. People of this server's own accounts are none
// of an identity provider's.
func (i *AlterIdentity) Knows(issuer, _ string) bool {
	if i.Issuer != "" {
		return strings.TrimSuffix(issuer, "/") == strings.TrimSuffix(i.Issuer, "/")
	}
	return !strings.HasPrefix(issuer, "urn:")
}

// givesTokens implements tokenGiver.
func (i *AlterIdentity) givesTokens() {}

// Login implements [authserver.Identity].
func (i *AlterIdentity) Login(w http.ResponseWriter, r *http.Request, l *authserver.Login) (*authserver.Person, error) {
	return i.identity.Login(w, r, l)
}

// alterLogin is the login as authserver asks for it.
type alterLogin struct{ *AlterIdentity }

// Begin implements [authserver.HostedLogin].
func (i alterLogin) Begin(ctx context.Context) (page, handle string, err error) {
	s, err := i.client.CreateAuthSession(ctx)
	if err != nil {
		return "", "", loginError(err)
	}
	return s.URL, s.Token.Reveal(), nil
}

// Await implements [authserver.HostedLogin].
func (i alterLogin) Await(ctx context.Context, handle string, wait time.Duration) (*authserver.HostedPerson, error) {
	result, err := i.client.PollAuthSession(ctx, vaultclient.NewSecret(handle), wait)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, alter.ErrUnavailable), errors.Is(err, alter.ErrRateLimited):
		// The person may be through meanwhile; the page asks again.
		i.logger.Warn("the vault does not say who logged in, the login goes on", zap.Error(err))
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
		return nil, nil
	case err != nil:
		return nil, loginError(err)
	case result.Pending:
		return nil, nil
	}
	return i.person(ctx, result)
}

// person reads who logged in. The token came from the vault and is verified by
// it: only the vault knows for whom the app's identity provider issues tokens.
func (i alterLogin) person(ctx context.Context, result *alter.AuthResult) (*authserver.HostedPerson, error) {
	subject, err := i.client.VerifyUserToken(ctx, result.UserToken)
	if err != nil {
		return nil, loginError(err)
	}
	token, err := jwt.ParseInsecure([]byte(result.UserToken.Reveal()))
	if err != nil {
		return nil, fmt.Errorf("%w: the user token is no JWT", authserver.ErrHostedFault)
	}
	if subject == "" || token.Subject() != subject {
		return nil, fmt.Errorf("%w: the user token names another subject than the vault", authserver.ErrHostedFault)
	}
	if !strings.HasPrefix(token.Issuer(), "http") || !i.Knows(token.Issuer(), "") {
		return nil, fmt.Errorf("%w: the user token is of the issuer %q", authserver.ErrHostedFault, token.Issuer())
	}
	claims, err := token.AsMap(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: the claims of the user token cannot be read", authserver.ErrHostedFault)
	}
	kept := authserver.NewSecret(result.UserToken.Reveal())
	return &authserver.HostedPerson{
		Issuer: token.Issuer(), Subject: subject, Claims: claims, More: result.UserInfo,
		Tokens: authserver.IdentityTokens{ // there is one token, whichever is asked for
			Issuer: token.Issuer(), Subject: subject,
			ID: kept, IDExpiry: token.Expiration(), Access: kept, AccessExpiry: token.Expiration(),
		},
	}, nil
}

// loginError tells authserver what Alter says.
func loginError(err error) error {
	kind := error(nil)
	switch {
	case errors.Is(err, alter.ErrSignInDenied):
		kind = authserver.ErrHostedDenied
	case errors.Is(err, alter.ErrSignInExpired):
		kind = authserver.ErrHostedExpired
	case errors.Is(err, alter.ErrSignIn), errors.Is(err, alter.ErrOperator), errors.Is(err, alter.ErrRefused):
		kind = authserver.ErrHostedFault
	default:
		return err
	}
	return fmt.Errorf("%w: %w", kind, err)
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Syntax:
//
//	identity alter {
//	    api_key      <key>
//	    base_url     <url>
//	    issuer       <url>
//	    title        <text>
//	    groups_claim <name>
//	    trust_email
//	    rate         <count> [<window>]
//	}
func (i *AlterIdentity) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // module name
	if d.NextArg() {
		return d.ArgErr()
	}
	seen := make(once)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := seen.check(d); err != nil {
			return err
		}
		var err error
		switch d.Val() {
		case "api_key":
			err = oneArg(d, &i.APIKey)
		case "base_url":
			err = oneArg(d, &i.BaseURL)
		case "issuer":
			err = oneArg(d, &i.Issuer)
		case "title":
			err = oneArg(d, &i.LoginTitle)
		case "groups_claim":
			err = oneArg(d, &i.GroupsClaim)
		case "trust_email":
			err = noArgs(d, &i.TrustEmail)
		case "rate":
			err = rate(d, &i.Rate, &i.Window)
		default:
			err = unknown(d, "identity alter", "api_key", "base_url", "groups_claim", "issuer", "rate", "title", "trust_email")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Interface guards
var (
	_ caddy.Provisioner     = (*AlterIdentity)(nil)
	_ caddyfile.Unmarshaler = (*AlterIdentity)(nil)
	_ identityModule        = (*AlterIdentity)(nil)
	_ tokenGiver            = (*AlterIdentity)(nil)
	_ vaultUser             = (*AlterIdentity)(nil)
	_ waitingIdentity       = (*AlterIdentity)(nil)
)
