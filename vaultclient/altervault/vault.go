// Package altervault lets people's tool calls use the grants that the Alter
// Vault keeps for them: it sends a request with a person's grant, and where that
// cannot be, says what the person has to do, and leads them there.
//
// It owns recovery: which refusal of the vault leads to which way out. The wire
// protocol is that of package alter, the browser's way that of package connect.
// It does not know MCP, the authorization server, or Caddy.
package altervault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/connect"
)

// Modes: who makes a tool's request.
const (
	// ModeAuto: we do, with the person's token, or the vault where the grant
	// allows only that.
	ModeAuto = "auto"
	// ModeRetrieve: we do.
	ModeRetrieve = "retrieve"
	// ModeProxy: the vault does.
	ModeProxy = "proxy"
)

// Config configures a [Vault]. Zero values mean the documented default.
type Config struct {
	// Client of the Alter Vault. Required.
	Client *alter.Client
	// Mode of calls that do not say. Default [ModeAuto].
	Mode string
	// Providers by name, which is the vault's name for them too. Of each, title,
	// scopes and API hosts count.
	Providers map[string]*vaultclient.Provider
	// Connect are the terms on which people connect accounts.
	Connect ConnectTerms
	// Tokens tells people to the vault. Required.
	Tokens UserTokens
	// Pending remembers approvals that are waited for. Required.
	Pending Pending

	// Connected is told how a person's connection ended: ok, refused or failed.
	// It must not block. Optional.
	Connected func(provider, outcome string)
	// ApprovalWait is how long a call waits for an approval when the client hears
	// nothing meanwhile. Default 20 s: clients give up a call after a minute.
	ApprovalWait time.Duration

	// For the pages, as in [connect.Config].
	Endpoint        func(r *http.Request) string
	Sealer          connect.Sealer
	Browser         connect.Browser
	Pages           connect.Pages
	Once            connect.Once
	LinkLifetime    time.Duration
	AttemptLifetime time.Duration

	// Logger; nil means none.
	Logger *zap.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// ConnectTerms are the terms on which people connect accounts. What is zero is as
// the app has it.
type ConnectTerms struct {
	// Direct leaves out the vault's own consent page.
	Direct bool
	// NoUserRules keeps people from adding rules of their own.
	NoUserRules bool
	// Life bounds how long a connection lasts; MaxTTL and DefaultTTL of it.
	Life alter.GrantBounds
}

// Check returns an error that says which of the terms the vault would refuse.
func (t ConnectTerms) Check() error { return t.Life.Check() }

// UserTokens gives people's tokens of the app's identity provider, by which the
// vault knows them.
type UserTokens interface {
	// UserToken returns one that lives. [ErrLoginRequired] says that the person
	// has to log in again, any other error that it cannot be had now.
	UserToken(ctx context.Context, userID string) (vaultclient.Secret, error)
	// RejectUserToken is told that the vault refused a token; tooOld, that it
	// wants a login that is not as long ago, at which the person is asked. After
	// that, UserToken gives another one or [ErrLoginRequired].
	RejectUserToken(ctx context.Context, userID string, refused vaultclient.Secret, tooOld bool) error
}

// Pending remembers, for clients that cannot, which approval a call waits for.
type Pending interface {
	// PendingApproval returns the approval that a call waits for; nil for none.
	PendingApproval(ctx context.Context, userID, call string) (*Approval, error)
	// SetPendingApproval remembers an approval until then; nil forgets.
	SetPendingApproval(ctx context.Context, userID, call string, p *Approval, until time.Time) error
}

// ErrLoginRequired says that the person has to log in at the identity provider again.
var ErrLoginRequired = errors.New("the person has to log in again")

// Vault is the Alter Vault as one endpoint uses it. It is safe for concurrent
// use.
type Vault struct {
	// The pages: ServeConnect, ServeCallback and ServeAccount.
	*connect.Handler

	cfg         Config
	log         *zap.Logger
	constrained constrained
	checked     sync.Map // providers that were looked for in the catalogue
}

// New returns a vault, or an error that names the setting that is missing. It
// asks the vault for nothing.
func New(cfg Config) (*Vault, error) {
	for name, missing := range map[string]bool{
		"Client": cfg.Client == nil, "Tokens": cfg.Tokens == nil, "Pending": cfg.Pending == nil,
	} {
		if missing {
			return nil, errors.New("alter vault: " + name + " is required")
		}
	}
	if cfg.Mode == "" {
		cfg.Mode = ModeAuto
	}
	if cfg.Connected == nil {
		cfg.Connected = func(string, string) {}
	}
	if cfg.ApprovalWait == 0 {
		cfg.ApprovalWait = 20 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	v := &Vault{cfg: cfg, log: cfg.Logger, constrained: constrained{client: cfg.Client}}
	var err error
	v.Handler, err = connect.New(connect.Config{
		Name: "alter vault", Endpoint: cfg.Endpoint, Grants: grants{v}, Sealer: cfg.Sealer, Browser: cfg.Browser,
		Pages: cfg.Pages, Once: cfg.Once, LinkLifetime: cfg.LinkLifetime, AttemptLifetime: cfg.AttemptLifetime,
		Logger: cfg.Logger, Now: cfg.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("alter vault: %w", err)
	}
	return v, nil
}

// userToken returns a person's token, and never none: without one the vault would
// use what belongs to the app.
func (v *Vault) userToken(ctx context.Context, userID string) (vaultclient.Secret, error) {
	token, err := v.cfg.Tokens.UserToken(ctx, userID)
	if err == nil && (token.IsZero() || userID == "") {
		err = ErrLoginRequired
	}
	return token, err
}
