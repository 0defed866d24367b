package authserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/internal/web"
)

// hostedWait is how long a request of the waiting page is held while the person
// logs in. Proxies and browsers give up an answer after 30 to 60 seconds.
const hostedWait = 25 * time.Second

// HostedLogin is a login that another service runs on pages of its own, and that
// is asked how it ended: no browser comes back from there.
type HostedLogin interface {
	// Begin opens a login and returns the page where the person goes, and a
	// handle that only this server knows.
	Begin(ctx context.Context) (page, handle string, err error)
	// Await returns who logged in, or nil when the person is not through after
	// wait. Errors: [ErrHostedDenied], [ErrHostedExpired], [ErrHostedFault]; any
	// other means that a later try may succeed.
	Await(ctx context.Context, handle string, wait time.Duration) (*HostedPerson, error)
}

// HostedPerson is who logged in, as the service says.
type HostedPerson struct {
	Issuer, Subject string
	// Claims of the identity provider's token.
	Claims map[string]any
	// More claims, such as the service asked the identity provider for.
	More map[string]any
	// Tokens of the identity provider, for who keeps them. Optional.
	Tokens IdentityTokens
}

// Errors of a [HostedLogin].
var (
	ErrHostedDenied  = errors.New("the person or the login's service refused")
	ErrHostedExpired = errors.New("the person took too long")
	ErrHostedFault   = errors.New("the login's service is not set up for this server")
)

// HostedConfig configures a [HostedIdentity]. Zero values mean the documented
// default.
type HostedConfig struct {
	// Login is the service. Required.
	Login HostedLogin
	// Title names the login for people. Required.
	Title string
	// GroupsClaim holds a person's groups. Default: groups.
	GroupsClaim string
	// TrustEmail takes every e-mail address for verified.
	TrustEmail bool
	// Rate is how many logins one address may begin at once, Window over which time
	// that many are allowed again. Default: 60 a minute.
	Rate   int
	Window time.Duration
	// Closing is closed when the server is about to stop, or to serve another
	// configuration: no request waits for a person any longer. Optional.
	Closing <-chan struct{}
	// Logger; nil means none.
	Logger *zap.Logger
}

// HostedIdentity logs people in by a [HostedLogin]: the person goes to its page
// in another tab while ours waits. It is safe for concurrent use.
type HostedIdentity struct {
	cfg    HostedConfig
	claims claimReader
	begins *limiter
	waits  hostedWaits
}

// NewHostedIdentity returns the identity.
func NewHostedIdentity(cfg HostedConfig) *HostedIdentity {
	if cfg.GroupsClaim == "" {
		cfg.GroupsClaim = "groups"
	}
	if cfg.Rate <= 0 {
		cfg.Rate = 60
	}
	if cfg.Window <= 0 {
		cfg.Window = time.Minute
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	return &HostedIdentity{
		cfg: cfg, claims: claimReader{cfg.GroupsClaim, cfg.TrustEmail, cfg.Logger},
		begins: newLimiter(cfg.Rate, cfg.Window), waits: hostedWaits{ask: cfg.Login.Await},
	}
}

// hostedAttempt is a login under way. It travels sealed in the browser's cookie,
// which binds the login to this browser.
type hostedAttempt struct {
	Page   string `json:"p"`
	Handle string `json:"h"`
}

// Login implements [Identity]. The first request shows the page and opens
// nothing else; the page then asks for the end of the login, and that request is
// held until the person is through or another one is due.
func (i *HostedIdentity) Login(w http.ResponseWriter, r *http.Request, l *Login) (*Person, error) {
	if l.Callback {
		return nil, ErrInvalidRequest.because(nil, "this login comes back by no redirect")
	}
	if !onlyMethods(w, r, http.MethodGet) {
		return nil, nil
	}
	var a hostedAttempt
	if !l.saved(&a) || a.Handle == "" { // or what another identity saved, before a reload
		return nil, i.begin(w, r, l)
	}
	if !r.URL.Query().Has("wait") {
		i.show(w, r, l, &a)
		return nil, nil
	}
	ctx, cancel := i.untilClosing(r.Context())
	defer cancel()
	who, err := i.waits.await(ctx, a.Handle)
	switch {
	case err != nil && r.Context().Err() != nil:
		return nil, nil // the browser is gone; the login goes on
	case err != nil && ctx.Err() == nil:
		return nil, hostedError(err)
	case err != nil || who == nil:
		i.show(w, r, l, &a)
		return nil, nil
	}
	return i.person(who)
}

// untilClosing returns a context that also ends when the server is about to stop.
func (i *HostedIdentity) untilClosing(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-i.cfg.Closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// person checks what the service says of who logged in.
func (i *HostedIdentity) person(who *HostedPerson) (*Person, error) {
	if who.Issuer == "" || who.Subject == "" || len(who.Subject) > maxSubject {
		return nil, providerFault(fmt.Errorf("the login names no issuer, or no subject of 1 to %d bytes", maxSubject))
	}
	return &Person{
		Issuer: who.Issuer, Subject: who.Subject, Profile: i.claims.profile(who.Claims, who.More), Tokens: who.Tokens,
	}, nil
}

// hostedError is what the client hears of a login that its service ended.
func hostedError(err error) error {
	switch {
	case errors.Is(err, ErrHostedDenied):
		return ErrAccessDenied.because(err, "the person did not log in")
	case errors.Is(err, ErrHostedExpired):
		return ErrAccessDenied.because(err, "the login took too long")
	case errors.Is(err, ErrHostedFault):
		return providerFault(err)
	}
	return providerDown(err)
}

func (i *HostedIdentity) begin(w http.ResponseWriter, r *http.Request, l *Login) error {
	if _, ok := i.begins.allow(addrKey(l.server.cfg.ClientAddr(r)), l.server.cfg.Now()); !ok {
		return ErrUnavailable.because(nil, "too many logins begin at this address, try again later")
	}
	page, handle, err := i.cfg.Login.Begin(r.Context())
	if err != nil {
		return hostedError(err)
	}
	u, err := url.Parse(page)
	if err != nil || !allowedURL(u, true) {
		return providerFault(errors.New("the login page is none that is reached by https"))
	}
	a := &hostedAttempt{Page: page, Handle: handle}
	if err := l.Save(w, r, a); err != nil {
		return fmt.Errorf("saving a login: %w", err)
	}
	i.show(w, r, l, a)
	return nil
}

// show answers with the page that leads to the login and then waits for it. The
// browser asks again by itself, without a script.
func (i *HostedIdentity) show(w http.ResponseWriter, r *http.Request, l *Login, a *hostedAttempt) {
	l.server.cfg.Pages.Wait(w, r, web.Wait{
		ClientName: l.ClientName, LoginTitle: i.cfg.Title, LoginURL: a.Page,
		Next: l.path(url.Values{"wait": {""}}), OtherWays: l.otherWays(),
	})
}
