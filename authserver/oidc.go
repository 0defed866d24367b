package authserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"go.uber.org/zap"
	"golang.org/x/oauth2"
)

// OIDCConfig says how people log in at an OpenID Connect provider. Zero values
// mean the documented default.
type OIDCConfig struct {
	// Issuer is the provider's URL; its configuration is found below it (OpenID
	// Connect Discovery 1.0 section 4). https, except on loopback. A trailing
	// slash too many or too few does not matter. Required.
	Issuer string
	// ClientID of the client that is registered there. Required.
	ClientID string
	// ClientSecret of that client; empty for one that has none.
	ClientSecret string
	// Scopes to ask for; openid is always among them. Default: openid, email,
	// profile. offline_access is asked for as well when people's tokens are kept
	// and the provider says that it has that scope.
	Scopes []string
	// GroupsClaim holds a person's groups: a list of texts, or one. Default:
	// groups.
	GroupsClaim string
	// SubjectClaim of the ID token says who a person is at the provider, for
	// good. It must never change, nor be given to somebody else. Default: sub.
	SubjectClaim string
	// TrustEmail takes every e-mail address for verified. Only for providers
	// where people cannot choose their address.
	TrustEmail bool
	// AuthorizeParams are added to the authorization request. Providers that have
	// a way of their own to ask for a refresh token take it here, as Google does
	// access_type=offline; those that insist on OpenID Connect Core 1.0 section 11
	// want prompt=consent.
	AuthorizeParams map[string]string

	// Callback is the last segment of the redirect URI, which is then
	// <endpoint>/login/callback/<Callback>: 1 to 64 letters, digits, - and _. An
	// answer counts only where the provider was told to send it. Default: none,
	// and the redirect URI is <endpoint>/login/callback.
	Callback string

	// AcceptAudiences are the audiences (RFC 9068 section 2.2, aud) whose access
	// tokens of the provider are good at the endpoint: see [TokenVerifier]. With
	// ClientID among them, that client's ID tokens are too. Default: none.
	AcceptAudiences []string

	// Transport reaches the provider; nil means one with the usual limits.
	Transport http.RoundTripper
	// Logger; nil means none.
	Logger *zap.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// ownParams are the parameters of an authorization request that nobody sets but
// the identity: each of them would weaken the login or send its answer where it
// is not read.
var ownParams = []string{
	"client_id", "code_challenge", "code_challenge_method", "nonce", "redirect_uri", "request", "request_uri",
	"response_mode", "response_type", "scope", "state",
}

func (c *OIDCConfig) complete() error {
	if err := checkIssuer(c.Issuer); err != nil {
		return err
	}
	if c.ClientID == "" {
		return errors.New("client ID is required")
	}
	if slices.Contains(c.AcceptAudiences, "") {
		return errors.New("an audience of tokens to accept is empty")
	}
	if len(c.Callback) > maxCallback || strings.ContainsFunc(c.Callback, notInCallback) {
		return fmt.Errorf("callback %q: want 1 to %d letters, digits, - and _", c.Callback, maxCallback)
	}
	for name := range c.AuthorizeParams {
		if name == "" || slices.Contains(ownParams, strings.ToLower(name)) {
			return fmt.Errorf("parameter %q of the authorization request cannot be set", name)
		}
	}
	for _, scope := range c.Scopes {
		if scope == "" || strings.ContainsFunc(scope, notInScope) {
			return fmt.Errorf("scope %q: want printable ASCII without blanks, quotes and backslashes", scope)
		}
	}
	if len(c.Scopes) == 0 {
		c.Scopes = []string{oidc.ScopeOpenID, oidc.ScopeEmail, oidc.ScopeProfile}
	}
	if !slices.Contains(c.Scopes, oidc.ScopeOpenID) {
		c.Scopes = append([]string{oidc.ScopeOpenID}, c.Scopes...)
	}
	if c.GroupsClaim == "" {
		c.GroupsClaim = "groups"
	}
	if c.SubjectClaim == "" {
		c.SubjectClaim = "sub"
	}
	if c.Transport == nil {
		c.Transport = newOIDCTransport()
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return nil
}

// maxCallback bounds the name of a redirect URI in bytes.
const maxCallback = 64

// notInCallback reports the characters that the name of a redirect URI cannot hold.
func notInCallback(c rune) bool {
	alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
	return !alnum && c != '-' && c != '_'
}

// notInScope reports the characters that a scope cannot hold (RFC 6749 section
// 3.3).
func notInScope(c rune) bool { return c <= ' ' || c > '~' || c == '"' || c == '\\' }

// checkIssuer refuses an issuer that can never work, before anybody logs in.
func checkIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Host == "" || u.User != nil || strings.ContainsAny(issuer, "?#"):
		return fmt.Errorf("issuer %q: want a URL such as https://login.example.com, without query, fragment and user information", issuer)
	case !allowedURL(u, true):
		return fmt.Errorf("issuer %q: want https, except on loopback", issuer)
	}
	tenant, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	if u.Host == entraHost && slices.Contains([]string{"", "common", "organizations"}, strings.ToLower(tenant)) {
		return fmt.Errorf("issuer %q: %s", issuer, oneTenant)
	}
	return nil
}

// Entra's tenants share a host.
const (
	entraHost = "login.microsoftonline.com"
	oneTenant = "this address is for all tenants of Microsoft Entra, whose tokens name each person's own tenant; " +
		"name the tenant whose people log in: https://" + entraHost + "/<tenant id>/v2.0"
)

// allowedURL reports whether secrets and codes may go to u: by https, or, where
// loopback is allowed, within this computer.
func allowedURL(u *url.URL, loopback bool) bool {
	return u.Scheme == "https" || loopback && u.Scheme == "http" && isLoopback(u.Hostname())
}

// OIDCIdentity logs people in at an OpenID Connect provider, by the
// authorization code flow with PKCE, nonce and the issuer's identification (RFC
// 9207). It is safe for concurrent use.
type OIDCIdentity struct {
	cfg       OIDCConfig
	http      *http.Client
	claims    claimReader
	discovery discovery
}

// NewOIDCIdentity returns an identity, or an error that names the setting that
// is missing or wrong. It goes nowhere: the provider is asked for its
// configuration when the first person logs in.
func NewOIDCIdentity(cfg OIDCConfig) (*OIDCIdentity, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	o := &OIDCIdentity{
		cfg: cfg, http: newOIDCClient(cfg.Transport),
		claims: claimReader{cfg.GroupsClaim, cfg.TrustEmail, cfg.Logger},
	}
	o.discovery = discovery{fetch: o.discover, now: cfg.Now, log: cfg.Logger}
	return o, nil
}

// FormTargets implements formTargeter: a browser goes to the provider by the
// redirect that follows the consent form.
func (o *OIDCIdentity) FormTargets() []string { return []string{formTarget(o.cfg.Issuer)} }

// Callbacks implements answered.
func (o *OIDCIdentity) Callbacks() []string { return []string{o.cfg.Callback} }

// Knows reports whether people of an issuer log in here. It asks nobody, so it
// cannot tell whether a person is still there.
func (o *OIDCIdentity) Knows(issuer string) bool { return sameIssuer(issuer, o.cfg.Issuer) }

// sameIssuer compares issuers but for a trailing slash, which configurations
// often have too many or too few of.
func sameIssuer(a, b string) bool {
	return strings.TrimSuffix(a, "/") == strings.TrimSuffix(b, "/")
}

// Login implements [Identity].
func (o *OIDCIdentity) Login(w http.ResponseWriter, r *http.Request, l *Login) (*Person, error) {
	if !onlyMethods(w, r, http.MethodGet) {
		return nil, nil
	}
	if l.Callback {
		return o.finish(w, r, l)
	}
	return nil, o.begin(w, r, l)
}

// oidcLogin is what the callback needs of the request that it answers. It
// travels sealed in the browser's cookie.
type oidcLogin struct {
	Issuer   string `json:"i"`
	Nonce    string `json:"n"`
	Verifier string `json:"v"` // PKCE
}

// begin sends the browser to the provider.
func (o *OIDCIdentity) begin(w http.ResponseWriter, r *http.Request, l *Login) error {
	p, err := o.discovery.get(r.Context())
	if err != nil {
		return err
	}
	saved := o.saved(l)
	if saved == nil || saved.Issuer != p.issuer {
		saved = &oidcLogin{Issuer: p.issuer, Nonce: randomID(), Verifier: randomSecret()}
		if err := l.Save(w, r, saved); err != nil {
			return err
		}
	}
	options := []oauth2.AuthCodeOption{oidc.Nonce(saved.Nonce), oauth2.S256ChallengeOption(saved.Verifier)}
	for name, value := range o.cfg.AuthorizeParams {
		options = append(options, oauth2.SetAuthURLParam(name, value))
	}
	if l.Force {
		options = append(options, oauth2.SetAuthURLParam("prompt", p.prompt))
	}
	redirect(w, r, o.client(p, l, oauth2.AuthStyleAutoDetect).AuthCodeURL(l.ID, options...))
	return nil
}

// saved is the request of this login, or nil when there was none. A page that
// is opened twice sends the same request twice, so either answer is good.
func (o *OIDCIdentity) saved(l *Login) *oidcLogin {
	var saved oidcLogin
	if json.Unmarshal(l.State, &saved) != nil || saved.Issuer == "" || saved.Nonce == "" || saved.Verifier == "" {
		return nil
	}
	return &saved
}

// client is the OAuth client for one login: its redirect URI depends on the
// host by which the endpoint is reached.
func (o *OIDCIdentity) client(p *oidcProvider, l *Login, style oauth2.AuthStyle) *oauth2.Config {
	endpoint := p.endpoint
	endpoint.AuthStyle = style
	scopes := o.cfg.Scopes
	if l.KeepTokens && p.offline && !slices.Contains(scopes, oidc.ScopeOfflineAccess) {
		scopes = append(slices.Clone(scopes), oidc.ScopeOfflineAccess)
	}
	return &oauth2.Config{
		ClientID: o.cfg.ClientID, ClientSecret: o.cfg.ClientSecret, Endpoint: endpoint,
		RedirectURL: strings.TrimSuffix(l.CallbackURL+"/"+o.cfg.Callback, "/"), Scopes: scopes,
	}
}
