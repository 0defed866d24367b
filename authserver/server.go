// Package authserver is the OAuth 2.1 authorization server of an MCP endpoint,
// as plain http.Handlers.
//
// It implements RFC 6749 and OAuth 2.1 (authorization code with PKCE S256
// only), RFC 7591 (registration), client ID metadata documents, RFC 7009
// (revocation), RFC 8414 and RFC 9728 (metadata), RFC 8707 (resource), RFC 9068
// (JWT access tokens), RFC 9207 (iss) and RFC 8252 section 7.3 (loopback ports),
// as MCP wants them. People log in through an [Identity].
//
// The threats it is built against are those of RFC 9700 and of MCP's security
// best practices: everything that a person decides is bound to their browser,
// consent comes before the identity provider, codes and refresh tokens work
// once, and what is stored does not help a thief.
//
// It knows no vault, no MCP message and no Caddy.
package authserver

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/internal/web"
)

// Config configures a [Server]. Zero values mean the documented default.
type Config struct {
	// Name of the server for people, shown on pages and in the resource
	// metadata. Required.
	Name string
	// Path of the MCP endpoint, such as /mcp. Required.
	Path string
	// Realm is who shares people and grants; it names cookies and is bound to
	// everything that is sealed. Required.
	Realm string
	// Endpoint returns the canonical URL of the MCP endpoint for r, such as
	// https://mcp.example.com/mcp. It is the issuer and the resource. Required.
	Endpoint func(r *http.Request) string
	// ClientAddr returns the address that rates are counted by. Default: the
	// host of r.RemoteAddr.
	ClientAddr func(r *http.Request) string

	// Identity is how people log in. Required.
	Identity Identity
	// IdentityTitle names it on pages, such as "Acme login".
	IdentityTitle string
	// KeepIdentityToken keeps a token that the identity provider gives at a login,
	// sealed and renewed, for [Server.IdentityToken]. A person whose token has
	// ended and cannot be renewed must log in again before anything else: access
	// tokens are refused, refresh tokens rest, and a login in a browser does not
	// count. What a login brought is kept until the person has had no living
	// authorization for an hour. Who logged in before this was set has none, and
	// must log in again. Default: none is kept.
	KeepIdentityToken IdentityTokenKind
	// IdentityRenewals holds the renewals that are under way, for who closes the
	// store. nil means some of the server's own.
	IdentityRenewals *IdentityRenewals
	// Admit reports whether a person may use this server. It is asked at login,
	// at refresh, and of each token, with what the identity said last; so a
	// configuration that admits fewer cuts access at once. nil admits everyone.
	Admit func(*User) bool
	// Scopes that clients may ask for. Default: [DefaultScopes].
	Scopes []Scope

	// Store keeps clients, people, codes and families. Required.
	Store Store
	// Sealer protects forms and attempts that travel through browsers.
	// Required.
	Sealer Sealer
	// Pages renders what people see. Required.
	Pages Pages

	// AccessTokenLifetime: at most 24 h. Default 1 h.
	AccessTokenLifetime time.Duration
	// CodeLifetime: at most 10 min (RFC 6749 section 4.1.2). Default 60 s.
	CodeLifetime time.Duration
	// LoginLifetime is how long a person may take to log in. Default 10 min.
	LoginLifetime time.Duration
	// RefreshIdle is how long a refresh token is good when it is not used.
	// Default 90 days.
	RefreshIdle time.Duration
	// RefreshGrace is how long the immediate predecessor of a refresh token
	// still gives the same successor. At most 60 s; negative means none.
	// Default 30 s.
	RefreshGrace time.Duration
	// SessionIdle is how long a login in a browser lasts without use. Default
	// 7 days.
	SessionIdle time.Duration
	// MaxStaleness is how long a verified token is still accepted while the
	// store does not answer. Default 5 min.
	MaxStaleness time.Duration

	// Registration says who may register a client (RFC 7591).
	Registration Registration
	// Documents says how client ID metadata documents are fetched.
	Documents Documents
	// RememberConsent lets a person who said yes before skip the page for the
	// same client, redirect URI and scopes.
	RememberConsent bool

	// DeviceAuthorization lets programs without a browser ask for tokens that
	// somebody allows at another device (RFC 8628). Default: off, because a
	// person can be talked into letting in a device that is not theirs.
	DeviceAuthorization bool

	// Record is told of each [Event]. It must not block. Optional.
	Record func(Event)
	// Logger; nil means none.
	Logger *zap.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Scope is a permission that a client may ask for.
type Scope struct {
	Name string
	// Description says it in words, for the consent page.
	Description string
}

// ScopeOfflineAccess asks for a refresh token. It is understood beside the
// configured scopes, announced by the authorization server and never by the
// resource (MCP 2026-07-28, refresh tokens).
const ScopeOfflineAccess = "offline_access"

// DefaultScopes returns the one scope of an endpoint that declares none.
func DefaultScopes() []Scope {
	return []Scope{{Name: "mcp", Description: "Use this server's tools as you"}}
}

// Sealer encrypts and authenticates what travels through a browser. ad is bound
// to the record and not part of it.
type Sealer interface {
	Seal(plaintext, ad []byte) ([]byte, error)
	Open(sealed, ad []byte) ([]byte, error)
}

// Pages renders the pages that people see; [web.Pages] does.
type Pages interface {
	Consent(w http.ResponseWriter, r *http.Request, p web.Consent)
	Device(w http.ResponseWriter, r *http.Request, status int, page web.Device)
	Choice(w http.ResponseWriter, r *http.Request, page web.Choice)
	Login(w http.ResponseWriter, r *http.Request, status int, p web.Login)
	Wait(w http.ResponseWriter, r *http.Request, p web.Wait)
	Message(w http.ResponseWriter, r *http.Request, p web.Message)
}

// Server is the authorization server of one endpoint. It is safe for concurrent
// use.
type Server struct {
	cfg       Config
	log       *zap.Logger
	keys      keyring
	verified  *lru.Cache[tokenHash, *verification]
	forgets   atomic.Uint64 // how often verifications were forgotten
	registers *limiter
	documents *documents

	deviceBegins, deviceGuesses *limiter
	polls                       *lru.Cache[string, poll]
	// renewalFailures is until when no renewal of a person's identity token is
	// tried.
	renewalFailures *lru.Cache[string, time.Time]
}

// maxVerified bounds the memory of kept verifications: some 600 bytes each.
const maxVerified = 1 << 16

// New returns a server, or an error that names the setting that is missing or
// out of bounds.
func New(cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	verified, err := lru.New[tokenHash, *verification](maxVerified)
	if err != nil {
		return nil, fmt.Errorf("making the cache of verified tokens: %w", err)
	}
	failures, err := lru.New[string, time.Time](maxFailures)
	if err != nil {
		return nil, fmt.Errorf("making the cache of failed renewals: %w", err)
	}
	polls, err := lru.New[string, poll](maxPolls)
	if err != nil {
		return nil, fmt.Errorf("making the cache of polls: %w", err)
	}
	s := &Server{
		cfg:       cfg,
		log:       cfg.Logger,
		verified:  verified,
		registers: newLimiter(cfg.Registration.Rate, cfg.Registration.Window),

		deviceBegins:  newLimiter(deviceBegins, deviceWindow),
		deviceGuesses: newLimiter(deviceGuesses, deviceWindow),
		polls:         polls,

		renewalFailures: failures,
	}
	s.keys.store, s.keys.now = cfg.Store, cfg.Now
	s.documents, err = newDocuments(cfg.Documents, cfg.Now)
	return s, err
}

func (c *Config) complete() error {
	for name, missing := range map[string]bool{
		"Name": c.Name == "", "Path": c.Path == "", "Realm": c.Realm == "",
		"Endpoint": c.Endpoint == nil, "Identity": c.Identity == nil,
		"Store": c.Store == nil, "Sealer": c.Sealer == nil, "Pages": c.Pages == nil,
	} {
		if missing {
			return errors.New("authserver: " + name + " is required")
		}
	}
	switch c.KeepIdentityToken {
	case "", IdentityTokenID, IdentityTokenAccess:
	default:
		return fmt.Errorf("identity token %q to keep: want id or access", c.KeepIdentityToken)
	}
	if c.IdentityRenewals == nil {
		c.IdentityRenewals = new(IdentityRenewals)
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.ClientAddr == nil {
		c.ClientAddr = remoteHost
	}
	if c.Admit == nil {
		c.Admit = func(*User) bool { return true }
	}
	if len(c.Scopes) == 0 {
		c.Scopes = DefaultScopes()
	}
	c.Registration.complete()
	c.Documents.complete()
	return c.completeLifetimes()
}

func (c *Config) completeLifetimes() error {
	for _, l := range []struct {
		name          string
		value         *time.Duration
		standard, max time.Duration
	}{
		{"access token lifetime", &c.AccessTokenLifetime, time.Hour, 24 * time.Hour},
		{"code lifetime", &c.CodeLifetime, time.Minute, 10 * time.Minute},
		{"login lifetime", &c.LoginLifetime, 10 * time.Minute, time.Hour},
		{"refresh idle time", &c.RefreshIdle, 90 * 24 * time.Hour, 400 * 24 * time.Hour},
		{"session idle time", &c.SessionIdle, 7 * 24 * time.Hour, 400 * 24 * time.Hour},
		{"maximum staleness", &c.MaxStaleness, 5 * time.Minute, time.Hour},
	} {
		if *l.value == 0 {
			*l.value = l.standard
		}
		if *l.value < 0 || *l.value > l.max {
			return fmt.Errorf("%s %v: want more than 0 and at most %v", l.name, *l.value, l.max)
		}
	}
	switch {
	case c.RefreshGrace == 0:
		c.RefreshGrace = 30 * time.Second
	case c.RefreshGrace > time.Minute:
		return fmt.Errorf("refresh grace %v: want at most 60s", c.RefreshGrace)
	}
	return nil
}

// Routes returns the handlers by path below the endpoint's own.
func (s *Server) Routes() map[string]http.HandlerFunc {
	routes := map[string]http.HandlerFunc{
		"/authorize": s.serveAuthorize,
		"/consent":   s.serveConsent,
		"/login":     s.serveLogin,
		"/logout":    s.serveLogout,
		"/register":  s.crossOrigin("POST", s.serveRegister),
		"/token":     s.crossOrigin("POST", s.serveToken),
		"/revoke":    s.crossOrigin("POST", s.serveRevoke),
		"/jwks.json": s.crossOrigin("GET", s.serveJWKS),
	}
	for _, path := range s.CallbackPaths() {
		routes[path] = s.serveLogin
	}
	if s.cfg.DeviceAuthorization {
		routes["/device"] = s.serveDevice
		routes["/device_authorization"] = s.crossOrigin("POST", s.serveDeviceAuthorization)
	}
	return routes
}
