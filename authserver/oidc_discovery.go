package authserver

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"go.uber.org/zap"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"
)

const (
	discoveryTimeout = 10 * time.Second
	// discoveryKept is after how long a provider's configuration is read again,
	// which ends the use of keys that it has withdrawn, too.
	discoveryKept = 24 * time.Hour
	// discoveryRetry is how long a failure is kept, so that a provider that is
	// down is not asked once per login.
	discoveryRetry = 10 * time.Second
)

// oidcProvider is what a provider says of itself.
type oidcProvider struct {
	issuer   string
	endpoint oauth2.Endpoint
	userinfo string // URL, or ""
	verifier *oidc.IDTokenVerifier
	keys     *keySet // of access tokens
	sendsIss bool    // RFC 9207 section 3
	offline  bool    // knows the scope offline_access
	prompt   string  // makes a person choose an account or log in again
	styles   []oauth2.AuthStyle
}

// discovery keeps a provider's configuration. It is fetched once for all logins
// that wait; when it is due again, the old one goes on until a new one is there.
type discovery struct {
	fetch  func(context.Context) (*oidcProvider, error)
	now    func() time.Time
	log    *zap.Logger
	flight singleflight.Group

	mu       sync.Mutex
	provider *oidcProvider
	err      error
	due      time.Time
}

// get returns the provider, or an [*Error] while it is not to be had. It waits
// at most discoveryTimeout.
func (d *discovery) get(ctx context.Context) (*oidcProvider, error) {
	provider, due, err := d.kept()
	if !due {
		return provider, err
	}
	fetched := d.flight.DoChan("", func() (any, error) { return d.refresh() })
	if provider != nil {
		return provider, nil
	}
	select {
	case result := <-fetched:
		provider, _ = result.Val.(*oidcProvider)
		return provider, result.Err
	case <-ctx.Done():
		return nil, providerDown(ctx.Err())
	}
}

// kept returns what the last fetch gave, and whether the next is due.
func (d *discovery) kept() (*oidcProvider, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.provider, !d.now().Before(d.due), d.err
}

// refresh fetches the configuration. One person's impatience does not end it
// for the others.
func (d *discovery) refresh() (*oidcProvider, error) {
	if provider, due, err := d.kept(); !due {
		return provider, err // somebody else's fetch has just ended
	}
	ctx, cancel := context.WithTimeout(context.Background(), discoveryTimeout)
	defer cancel()
	provider, err := d.fetch(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		d.provider, d.err, d.due = provider, nil, d.now().Add(discoveryKept)
		return provider, nil
	}
	d.due = d.now().Add(discoveryRetry)
	if d.provider != nil {
		d.log.Warn("the identity provider's configuration could not be read again, the old one goes on", zap.Error(err))
		return d.provider, nil
	}
	d.err = providerDown(err)
	return nil, d.err
}

// discover reads the provider's configuration (OpenID Connect Discovery 1.0
// section 4). The issuer in it must be the configured one, but for a trailing
// slash, and is the one that counts from then on.
func (o *OIDCIdentity) discover(ctx context.Context) (*oidcProvider, error) {
	ctx = oidc.ClientContext(ctx, o.http)
	found, err := oidc.NewProvider(ctx, o.cfg.Issuer)
	var mismatch *oidc.IssuerMismatchError
	if errors.As(err, &mismatch) && sameIssuer(mismatch.Discovered, o.cfg.Issuer) {
		found, err = oidc.NewProvider(ctx, mismatch.Discovered)
	}
	switch {
	case errors.As(err, &mismatch) && strings.Contains(mismatch.Discovered, "{"):
		return nil, fmt.Errorf("issuer %q calls itself %s: %s", o.cfg.Issuer, shorten(mismatch.Discovered), oneTenant)
	case errors.As(err, &mismatch):
		return nil, fmt.Errorf("issuer %q calls itself %s: name it so", o.cfg.Issuer, shorten(mismatch.Discovered))
	case err != nil:
		return nil, fmt.Errorf("reading the configuration of %s: %w", o.cfg.Issuer, shortened{err})
	}
	p, err := o.readProvider(found)
	if err != nil {
		return nil, fmt.Errorf("configuration of %s: %w", o.cfg.Issuer, err)
	}
	o.cfg.Logger.Info("identity provider found", zap.String("issuer", p.issuer))
	return p, nil
}

// oidcMetadata are the members of a provider's configuration that go-oidc does not
// give.
type oidcMetadata struct {
	Issuer      string   `json:"issuer"`
	KeysURL     string   `json:"jwks_uri"`
	SendsIss    bool     `json:"authorization_response_iss_parameter_supported"`
	Prompts     []string `json:"prompt_values_supported"`
	Scopes      []string `json:"scopes_supported"`
	AuthMethods []string `json:"token_endpoint_auth_methods_supported"`
}

// readProvider checks a configuration. All it names must be reached as safely as
// the issuer itself.
func (o *OIDCIdentity) readProvider(found *oidc.Provider) (*oidcProvider, error) {
	var m oidcMetadata
	if err := found.Claims(&m); err != nil {
		return nil, shortened{err}
	}
	issuer, err := url.Parse(m.Issuer)
	if err != nil {
		return nil, shortened{err}
	}
	loopback := issuer.Scheme == "http"
	for name, raw := range map[string]string{
		"authorization_endpoint": found.Endpoint().AuthURL, "token_endpoint": found.Endpoint().TokenURL,
		"jwks_uri": m.KeysURL, "userinfo_endpoint": found.UserInfoEndpoint(),
	} {
		if raw == "" && name == "userinfo_endpoint" {
			continue
		}
		if u, err := url.Parse(raw); err != nil || u.Host == "" || !allowedURL(u, loopback) {
			return nil, fmt.Errorf("%s %q: want an https URL", name, shorten(raw))
		}
	}
	return &oidcProvider{
		issuer: m.Issuer, endpoint: found.Endpoint(), userinfo: found.UserInfoEndpoint(),
		// Of what the provider announces, the verifier takes asymmetric
		// algorithms only. Its clock is late by the skew that is forgiven.
		verifier: found.Verifier(&oidc.Config{
			ClientID: o.cfg.ClientID, Now: func() time.Time { return o.cfg.Now().Add(-maxSkew) },
		}),
		keys:     &keySet{url: m.KeysURL, http: o.http, now: o.cfg.Now},
		sendsIss: m.SendsIss, offline: slices.Contains(m.Scopes, oidc.ScopeOfflineAccess), prompt: promptOf(m), styles: o.stylesOf(m),
	}, nil
}

const googleIssuer = "https://accounts.google.com"

// promptOf chooses the prompt for a person who is to log in again or to choose
// an account. All providers know login but Google.
func promptOf(m oidcMetadata) string {
	const login, choose = "login", "select_account"
	if m.Issuer == googleIssuer || !slices.Contains(m.Prompts, login) && slices.Contains(m.Prompts, choose) {
		return choose
	}
	return login
}

// stylesOf lists the ways of client authentication to try (OpenID Connect Core
// 1.0 section 9). What a provider can do is not what it expects of this client:
// that is known when it has refused one of them.
func (o *OIDCIdentity) stylesOf(m oidcMetadata) []oauth2.AuthStyle {
	if o.cfg.ClientSecret == "" {
		return []oauth2.AuthStyle{oauth2.AuthStyleInParams}
	}
	var styles []oauth2.AuthStyle
	if slices.Contains(m.AuthMethods, authBasic) || len(m.AuthMethods) == 0 {
		styles = append(styles, oauth2.AuthStyleInHeader)
	}
	if slices.Contains(m.AuthMethods, authPost) || len(m.AuthMethods) == 0 {
		styles = append(styles, oauth2.AuthStyleInParams)
	}
	if len(styles) == 0 {
		return []oauth2.AuthStyle{oauth2.AuthStyleInHeader}
	}
	return styles
}
