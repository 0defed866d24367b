package authserver_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// hosted is a login service that ends each login as a test says.
type hosted struct {
	mu      sync.Mutex
	page    string
	fails   error // of Begin
	begun   int
	asked   []string // handles
	wait    time.Duration
	outcome func(ctx context.Context) (*authserver.HostedPerson, error)
}

func (h *hosted) Begin(context.Context) (page, handle string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.begun++
	return h.page, fmt.Sprintf("handle %d", h.begun), h.fails
}

func (h *hosted) Await(ctx context.Context, handle string, wait time.Duration) (*authserver.HostedPerson, error) {
	h.mu.Lock()
	h.asked, h.wait = append(h.asked, handle), wait
	outcome := h.outcome
	h.mu.Unlock()
	return outcome(ctx)
}

// through is the outcome of a person who logged in with a token of that life.
func through(e *env, life time.Duration) func(context.Context) (*authserver.HostedPerson, error) {
	return func(context.Context) (*authserver.HostedPerson, error) {
		end := e.clock.Now().Add(life)
		return &authserver.HostedPerson{
			Issuer: "https://idp.example", Subject: "42",
			Claims: map[string]any{"email": "alice@example.com", "email_verified": true, "name": "Alice", "roles": []any{"staff"}},
			Tokens: authserver.IdentityTokens{
				Issuer: "https://idp.example", Subject: "42", ID: authserver.NewSecret("the identity provider's token"), IDExpiry: end,
			},
		}, nil
	}
}

func newHosted(t *testing.T, change ...func(*authserver.Config)) (*env, *hosted) {
	t.Helper()
	h := &hosted{page: "https://login.example/page"}
	e := newEnv(t, append([]func(*authserver.Config){func(c *authserver.Config) {
		c.Identity = authserver.NewHostedIdentity(authserver.HostedConfig{Login: h, Title: "the company", GroupsClaim: "roles"})
	}}, change...)...)
	h.outcome = through(e, time.Hour)
	return e, h
}

// waiting goes to the page that waits and returns it with where it goes.
func waiting(b *browser, clientID string) (p page, next string) {
	b.Helper()
	p = b.submit(b.get(b.authorizeURL(clientID)), "decision", "allow")
	if !strings.HasPrefix(p.location, testPath+"/login?state=") {
		b.Fatalf("consent leads to %d %q", p.status, p.location)
	}
	next = p.location
	return b.get(next), next + "&wait="
}

func TestHostedLogin(t *testing.T) {
	e, h := newHosted(t)
	b, clientID := e.newBrowser(), e.publicClient()
	p, next := waiting(b, clientID)
	if p.status != http.StatusOK || !strings.Contains(p.body, `href="https://login.example/page"`) || strings.Contains(p.body, "handle 1") {
		t.Fatalf("waiting page %d %s, want a link to the login and no handle", p.status, p.body)
	}
	// Loading the page again begins no other login, and asks for nothing.
	b.get(strings.TrimSuffix(next, "&wait="))
	if h.begun != 1 || len(h.asked) != 0 {
		t.Errorf("%d logins were begun and %d questions asked, want 1 and 0", h.begun, len(h.asked))
	}
	h.outcome = func(context.Context) (*authserver.HostedPerson, error) { return nil, nil }
	if p := b.get(next); p.status != http.StatusOK || !strings.Contains(p.body, "https://login.example/page") {
		t.Errorf("the page of who is not through yet: %d %s", p.status, p.body)
	}
	h.outcome = through(e, time.Hour)
	done := b.get(next)
	code := e.params(done).Get("code")
	status, answer, _ := e.token(codeForm(clientID, code))
	if status != http.StatusOK {
		t.Fatalf("token = %d %v", status, answer)
	}
	access, err := e.server.Verify(t.Context(), answer["access_token"].(string), e.base+testPath)
	if err != nil {
		t.Fatal(err)
	}
	if u := access.User; u.Issuer != "https://idp.example" || u.Subject != "42" || u.Profile.Email != "alice@example.com" || len(u.Profile.Groups) != 1 {
		t.Errorf("user %+v, want what the service says", u)
	}
	if h.wait < 10*time.Second || h.wait > 30*time.Second || h.asked[0] != "handle 1" {
		t.Errorf("the service was asked %q with %s to wait, want a long poll", h.asked, h.wait)
	}
	if p := b.get(next); p.location != "" || p.status != http.StatusBadRequest {
		t.Errorf("the same login again: %d %q, want it refused", p.status, p.location)
	}
}

// A page that waits does not keep the server from stopping: it is answered at
// once, and goes on with the next configuration.
// served is the identity of the configuration that is served.
type served struct{ authserver.Identity }

func TestHostedLoginWhileTheServerStops(t *testing.T) {
	closing, waits := make(chan struct{}), make(chan struct{})
	h := &hosted{page: "https://login.example/page"}
	identity := &served{authserver.NewHostedIdentity(authserver.HostedConfig{Login: h, Title: "the company", Closing: closing})}
	e := newEnv(t, func(c *authserver.Config) { c.Identity = identity })
	h.outcome = func(ctx context.Context) (*authserver.HostedPerson, error) {
		close(waits)
		<-ctx.Done()
		return nil, fmt.Errorf("asking: %w", ctx.Err())
	}
	b, clientID := e.newBrowser(), e.publicClient()
	_, next := waiting(b, clientID)
	go func() {
		<-waits
		close(closing)
	}()
	if p := b.get(next); p.status != http.StatusOK || !strings.Contains(p.body, "https://login.example/page") {
		t.Errorf("the page of who waits: %d %s, want it to go on", p.status, p.body)
	}
	identity.Identity = authserver.NewHostedIdentity(authserver.HostedConfig{Login: h, Title: "the company"})
	h.outcome = through(e, time.Hour)
	if e.params(b.get(next)).Get("code") == "" {
		t.Error("the login does not go on afterwards")
	}
}

// Each end without a person reaches the client as an OAuth error.
func TestHostedLoginRefused(t *testing.T) {
	tests := map[string]struct {
		err  error
		want string
	}{
		"denied":     {fmt.Errorf("%w: x", authserver.ErrHostedDenied), "access_denied the person did not log in"},
		"expired":    {authserver.ErrHostedExpired, "access_denied the login took too long"},
		"not set up": {authserver.ErrHostedFault, "server_error"},
		"away":       {errors.New("away"), "temporarily_unavailable"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e, h := newHosted(t)
			b := e.newBrowser()
			_, next := waiting(b, e.publicClient())
			h.outcome = func(context.Context) (*authserver.HostedPerson, error) { return nil, tt.err }
			q := e.params(b.get(next))
			if got := q.Get("error") + " " + q.Get("error_description"); !strings.HasPrefix(got, tt.want) || q.Get("state") == "" || q.Get("iss") == "" {
				t.Errorf("client hears %v, want %q with state and iss", q, tt.want)
			}
			if p := b.get(next); p.status != http.StatusBadRequest {
				t.Errorf("the ended login goes on: %d", p.status)
			}
		})
	}
}

func TestHostedLoginThatDoesNotBegin(t *testing.T) {
	for name, change := range map[string]func(*hosted){
		"away":                 func(h *hosted) { h.fails = errors.New("away") },
		"not set up":           func(h *hosted) { h.fails = authserver.ErrHostedFault },
		"a page of plain http": func(h *hosted) { h.page = "http://login.example/" },
		"a script":             func(h *hosted) { h.page = "javascript:alert(1)" },
	} {
		t.Run(name, func(t *testing.T) {
			e, h := newHosted(t)
			change(h)
			b := e.newBrowser()
			p := b.submit(b.get(b.authorizeURL(e.publicClient())), "decision", "allow")
			if q := e.params(b.get(p.location)); q.Get("error") == "" || q.Get("code") != "" {
				t.Errorf("client hears %v, want an error", q)
			}
		})
	}
}

// The login is bound to the browser that began it, and comes back by no redirect.
func TestHostedLoginOfAnotherBrowser(t *testing.T) {
	e, h := newHosted(t)
	b := e.newBrowser()
	_, next := waiting(b, e.publicClient())
	foreign := e.newBrowser()
	for _, target := range []string{next, strings.TrimSuffix(next, "&wait=")} {
		if p := foreign.get(target); p.status != http.StatusBadRequest || p.location != "" {
			t.Errorf("%s in another browser: %d %q", target, p.status, p.location)
		}
	}
	u, err := url.Parse(next)
	if err != nil {
		t.Fatal(err)
	}
	if p := b.get(testPath + "/login/callback?state=" + u.Query().Get("state") + "&code=x"); e.params(p).Get("error") != "invalid_request" {
		t.Errorf("a callback: %d %q", p.status, p.location)
	}
	if len(h.asked) != 0 {
		t.Errorf("the service was asked for %q", h.asked)
	}
}

// A login lives as long as [authserver.Config.LoginLifetime], and no longer.
func TestHostedLoginTakesTenMinutes(t *testing.T) {
	e, _ := newHosted(t)
	b, clientID := e.newBrowser(), e.publicClient()
	_, next := waiting(b, clientID)
	e.clock.advance(10*time.Minute - time.Second)
	done := b.get(next)
	e.clock.advance(59 * time.Second)
	if status, answer, _ := e.token(codeForm(clientID, e.params(done).Get("code"))); status != http.StatusOK {
		t.Errorf("the code after 59 s: %d %v", status, answer)
	}
	b = e.newBrowser()
	_, next = waiting(b, clientID)
	e.clock.advance(10*time.Minute + time.Second)
	if p := b.get(next); p.status != http.StatusBadRequest || p.location != "" {
		t.Errorf("the login after ten minutes: %d %q", p.status, p.location)
	}
}

// A browser that goes away ends nothing.
func TestHostedLoginOfABrowserThatLeaves(t *testing.T) {
	e, h := newHosted(t)
	b := e.newBrowser()
	_, next := waiting(b, e.publicClient())
	asked, gone := make(chan struct{}), make(chan struct{})
	h.outcome = func(ctx context.Context) (*authserver.HostedPerson, error) {
		close(asked)
		<-ctx.Done()
		close(gone)
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() {
		defer close(left)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.absolute(next), nil)
		if err != nil {
			t.Error(err)
			return
		}
		if resp, err := b.http.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}()
	<-asked
	cancel()
	<-left
	<-gone // or who comes next would wait together with it
	h.mu.Lock()
	h.outcome = through(e, time.Hour)
	h.mu.Unlock()
	if e.params(b.get(next)).Get("code") == "" {
		t.Error("the login did not go on")
	}
}

// The token that cannot be renewed ends the client's a minute ahead of its own
// end, once and for all; a new login makes everything good.
func TestHostedLoginEndsWithItsToken(t *testing.T) {
	e, _ := newHosted(t, func(c *authserver.Config) { c.KeepIdentityToken = authserver.IdentityTokenID })
	b, clientID := e.newBrowser(), e.publicClient()
	logIn := func() (access, refresh, user string) {
		t.Helper()
		_, next := waiting(b, clientID)
		status, answer, _ := e.token(codeForm(clientID, e.params(b.get(next)).Get("code")))
		if status != http.StatusOK || answer["expires_in"] != float64(59*60) {
			t.Fatalf("token = %d %v, want one that ends a minute before the identity provider's", status, answer)
		}
		access, refresh = answer["access_token"].(string), answer["refresh_token"].(string)
		a, err := e.server.Verify(t.Context(), access, e.base+testPath)
		if err != nil {
			t.Fatal(err)
		}
		return access, refresh, a.User.ID
	}
	access, refresh, user := logIn()
	if token, err := e.server.IdentityToken(t.Context(), user); err != nil || token.Token.Reveal() != "the identity provider's token" {
		t.Errorf("IdentityToken = %v", err)
	}
	e.clock.advance(59*time.Minute - time.Second)
	if _, err := e.verify(access); err != nil {
		t.Errorf("a second before that: %v", err)
	}
	e.clock.advance(time.Second)
	if _, err := e.verify(access); !errors.Is(err, authserver.ErrInvalidToken) {
		t.Errorf("a minute before its end: %v, want ErrInvalidToken", err)
	}
	if status, answer, _ := e.token(refreshForm(clientID, refresh)); status != http.StatusBadRequest || answer["error"] != "invalid_grant" {
		t.Errorf("refresh = %d %v, want invalid_grant", status, answer)
	}
	if _, _, again := logIn(); again != user {
		t.Errorf("the person is %s after the new login, want %s", again, user)
	}
}

// Security ABUSE-04.
func TestHostedLoginsOfOneAddress(t *testing.T) {
	e, h := newHosted(t)
	clientID := e.publicClient()
	for range 60 {
		if p, _ := waiting(e.newBrowser(), clientID); p.status != http.StatusOK {
			t.Fatalf("page %d %s", p.status, p.body)
		}
	}
	p, _ := waiting(e.newBrowser(), clientID)
	if got := e.params(p).Get("error"); got != "temporarily_unavailable" || h.begun != 60 {
		t.Errorf("one more: error %q after %d logins, want it refused", got, h.begun)
	}
	e.clock.advance(2 * time.Second)
	if p, _ := waiting(e.newBrowser(), clientID); p.status != http.StatusOK {
		t.Errorf("after a while: page %d %s", p.status, p.body)
	}
}
