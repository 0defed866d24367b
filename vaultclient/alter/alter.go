// Package alter speaks the wire protocol of the Alter Vault, which keeps
// people's grants at providers and gives them out, or uses them, for whom a
// token of the app's identity provider names.
//
// It owns signing, the calls with their answers and errors, what is sent again
// and what is kept, and the record of calls (audit). It does not know MCP, the
// authorization server, or Caddy.
//
// A call to the vault is made once, or again where nothing can happen twice,
// signed anew each time. The texts of errors hold no key and no token.
package alter

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// DefaultBaseURL is where the Alter Vault is.
const DefaultBaseURL = "https://backend.alterauth.com"

// Defaults of [Config]. The vault works on a call for at most 90 seconds, so
// that a shorter timeout would give up calls that still happen.
const (
	DefaultTimeout   = 95 * time.Second
	DefaultKeep      = 5 * time.Minute
	DefaultMaxKept   = 4096
	DefaultUserAgent = "caddy-alter-mcp"
)

// Config of a [Client]. Only the key is required.
type Config struct {
	// APIKey of an app or an agent; see [CheckAPIKey].
	APIKey vaultclient.Secret
	// BaseURL of the vault: https, or http on loopback. Default
	// [DefaultBaseURL].
	BaseURL string
	// Caller is who calls, for the vault's record.
	Caller Caller
	// UserAgent for the vault and providers. Default [DefaultUserAgent].
	UserAgent string

	// Timeout of one call to the vault. Default [DefaultTimeout].
	Timeout time.Duration
	// Keep is how long a token is kept at most, and never longer than it is
	// valid: until then a revocation in the vault is not noticed. Default
	// [DefaultKeep]; negative keeps none.
	Keep time.Duration
	// MaxKept is how many tokens are kept, and how many assertions. Default [DefaultMaxKept].
	MaxKept int

	// Vault carries requests to the vault, Providers those to providers.
	// Defaults: [NewBase] and [vaultclient.NewBase]. Redirects are never
	// followed.
	Vault     http.RoundTripper
	Providers http.RoundTripper

	// Audit says how much of each retrieve-mode call is reported to the vault.
	// Default [AuditNone]; any other needs Queue.
	Audit AuditLevel
	Queue *AuditQueue

	Logger *zap.Logger      // default: none
	Now    func() time.Time // default time.Now
	Random io.Reader        // default crypto/rand
	// Sleep waits between tries; it ends with the context. Default: a timer.
	Sleep Sleeper
}

// Client calls the vault. It is safe for concurrent use.
type Client struct {
	cfg         Config
	base        *url.URL
	kind        KeyKind
	signer      signer
	constraints string // header values, "" for none
	rule        string
	*shared
}

// shared is what a client and its constrained ones have in common.
type shared struct {
	actorID    atomic.Pointer[string]
	rate       atomic.Pointer[RateLimit]
	deprecated sync.Once
	tokens     *tokens
	assertions *assertions
	background *background
}

// New checks cfg and returns a client. It sends nothing.
func New(cfg Config) (*Client, error) {
	kind, err := CheckAPIKey(cfg.APIKey)
	if err == nil {
		err = kind.checkCallable()
	}
	if err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	base, err := parseBaseURL(cfg.BaseURL)
	if err != nil {
		return nil, err
	}
	if cfg.Caller, err = cfg.Caller.withType(kind); err != nil {
		return nil, err
	}
	if err := cfg.Audit.check(cfg.Queue); err != nil {
		return nil, err
	}
	c := &Client{
		cfg: cfg, base: base, kind: kind,
		signer: newSigner(cfg.APIKey.Reveal()), shared: &shared{background: newBackground()},
	}
	if c.tokens, err = newTokens(cfg.MaxKept); err != nil {
		return nil, err
	}
	if c.assertions, err = newAssertions(cfg.MaxKept); err != nil {
		return nil, err
	}
	return c, nil
}

func (cfg Config) withDefaults() Config {
	if cfg.BaseURL == "" {
		cfg.BaseURL = DefaultBaseURL
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = DefaultUserAgent
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Keep == 0 {
		cfg.Keep = DefaultKeep
	}
	if cfg.MaxKept == 0 {
		cfg.MaxKept = DefaultMaxKept
	}
	if cfg.Vault == nil {
		cfg.Vault = NewBase()
	}
	if cfg.Providers == nil {
		cfg.Providers = vaultclient.NewBase()
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	if cfg.Sleep == nil {
		cfg.Sleep = sleep
	}
	return cfg
}

// String implements fmt.Stringer: fmt would print the API key.
func (c *Client) String() string { return "alter client of " + c.base.String() }

// GoString implements fmt.GoStringer, which %#v uses.
func (c *Client) GoString() string { return "&alter.Client(" + c.base.String() + ")" }

// KeyKind tells what the client's key stands for.
func (c *Client) KeyKind() KeyKind { return c.kind }

// parseBaseURL accepts https, and http to this machine alone: the key goes out
// in clear.
func parseBaseURL(s string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(s, "/"))
	if err != nil || u.Hostname() == "" {
		return nil, invalid("the base URL is none: want https://host") // it may hold a password
	}
	if u.User != nil || strings.ContainsAny(s, "?#") {
		return nil, invalid("base URL %q: no user, query or fragment is allowed", u.Scheme+"://"+u.Host)
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return nil, invalid("base URL %q: want https; http is for localhost, 127.0.0.1 and ::1 alone", cut(s))
	}
	return u, nil
}

func isLoopback(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}

// NewBase returns a RoundTripper for requests to the vault: pooled connections,
// HTTP/2 where TLS agrees on it, the proxy of the environment, and spans
// ([vaultclient.Traced]).
func NewBase() http.RoundTripper { return vaultclient.Traced(newTransport()) }

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           256,
		MaxIdleConnsPerHost:    256,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// nonce is 16 random bytes in hexadecimal, for one request only.
func (c *Client) nonce() (string, error) {
	var raw [16]byte
	if _, err := io.ReadFull(c.cfg.Random, raw[:]); err != nil {
		return "", fmt.Errorf("reading randomness: %w", err)
	}
	return hex.EncodeToString(raw[:]), nil
}

// BaseURL is where the client's vault is.
func (c *Client) BaseURL() *url.URL {
	u := *c.base
	return &u
}
