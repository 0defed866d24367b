package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// answered is how long the process may still run after the last answer.
const answered = 2 * time.Second

// TestReloadWithPagesOpen reloads while a person is between consent and password,
// between the provider and the way back, and between the code and the tokens.
//
// Security OPS-07.
func TestReloadWithPagesOpen(t *testing.T) {
	s, _ := newFaultServer(t, longLife)
	b := newBrowser(t, s, alice)
	c := startClient(t, s)
	reloaded := make(map[string]bool)
	before := func(suffix string) browser.Visit {
		return browser.Visit{Hold: true, Before: func(step string) {
			if !strings.HasSuffix(step, suffix) || reloaded[suffix] {
				return
			}
			reloaded[suffix] = true
			s.Reload(s.Admin, withSettings(fmt.Sprintf("instructions page%d", len(reloaded))))
		}}
	}
	stop := open(t, b, c.AuthorizeURL(), before("POST "+s.Sites[0]+"/mcp/login"))
	if !stop.Client {
		t.Fatalf("login ends on the page %q: %s, way %q", stop.Page.Title, stop.Page.Text, stop.Way)
	}
	s.Reload(s.Admin, withSettings("instructions code"))
	if err := c.Redeem(t.Context(), stop.URL); err != nil {
		t.Fatalf("redeeming a code from before a reload: %v", err)
	}
	m := &member{b, c}
	open(t, b, m.link(t), before("/mcp/connect/callback"))
	checkAsk(t, c, "ok")
	if len(reloaded) != 2 {
		t.Errorf("reloads before %v, want one before the password and one before the callback", reloaded)
	}
}

// TestReloadDuringCall reloads while a tool waits for its service: the call ends
// as if nothing had been.
//
// Security OPS-07.
func TestReloadDuringCall(t *testing.T) {
	s, p := newFaultServer(t, longLife, "E2E_TIMEOUT=30s")
	m := newMember(t, s, alice)
	done := make(chan struct{})
	go func() {
		defer close(done)
		checkAsk(t, m.Client, "gate")
	}()
	<-p.Entered
	s.Reload(s.Admin, withSettings("instructions new"))
	other := *m.Client
	checkAsk(t, &other, "ok") // by the new configuration, while the old call waits
	p.Release <- struct{}{}
	<-done
	checkAsk(t, m.Client, "ok")
}

// TestReloadNarrows reloads with an allow that leaves one person out: their
// tokens are refused at once, and good again when the rule goes.
//
// Security OPS-07.
func TestReloadNarrows(t *testing.T) {
	s, _ := newFaultServer(t, longLife)
	in, out := newMember(t, s, alice), newMember(t, s, bob)
	checkWhoami(t, out.Client)
	s.Reload(s.Admin, withSettings("allow email alice@example.com"))

	_, err := ask(t, out.Client, "ok")
	var refused *mcpclient.StatusError
	if !errors.As(err, &refused) || refused.Status != http.StatusUnauthorized {
		t.Errorf("call of the person who was cut off = %v, want 401", err)
	}
	var denied *mcpclient.OAuthError
	if err := out.Refresh(t.Context()); !errors.As(err, &denied) || denied.Code != "invalid_grant" {
		t.Errorf("refresh of the person who was cut off = %v, want invalid_grant", err)
	}
	checkAsk(t, in.Client, "ok")
	if err := in.Refresh(t.Context()); err != nil {
		t.Errorf("refresh of the other person: %v", err)
	}
	s.Reload(s.Admin, withSettings("allow any"))
	if err := out.Refresh(t.Context()); err != nil {
		t.Errorf("refresh after the rule is gone: %v", err)
	}
	checkAsk(t, out.Client, "ok")
}

// TestBadReload loads configurations that are refused in parsing, in checking
// and at the start: the one before serves on.
//
// Security OPS-08.
func TestBadReload(t *testing.T) {
	s, _ := newFaultServer(t, longLife)
	s.ExpectErrors("admin.api")
	m := newMember(t, s, alice)
	for name, tc := range map[string]struct{ settings, want string }{
		"unknown setting":              {"opps", "opps"},
		"a key that is none":           {"encryption_key short", "encryption_key"},
		"another key for the store":    {"encryption_key " + strings.Repeat("A", 43) + "=", "encryption_key differs"},
		"a store in an unlikely place": {"store sqlite /proc/alter/x.db", "/proc/alter"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := s.TryReload(s.Admin, withSettings(tc.settings))
			if err == nil || !strings.Contains(out, tc.want) {
				t.Errorf("reload = %v, %s; want a refusal that names %q", err, out, tc.want)
			}
			checkAsk(t, m.Client, "ok")
			if err := patiently(func() error { return m.Refresh(t.Context()) }); err != nil {
				t.Errorf("refresh after a refused reload: %v", err)
			}
		})
	}
}

// TestStopDrains stops the server while a tool waits for its service: the call
// is answered, and then the process is gone.
//
// Security OPS-11.
func TestStopDrains(t *testing.T) {
	s, p := newFaultServer(t, shortLife, "E2E_TIMEOUT=30s")
	m := newMember(t, s, alice)
	done := make(chan struct{})
	go func() {
		defer close(done)
		checkAsk(t, m.Client, "gate")
	}()
	<-p.Entered
	s.Terminate()
	// It has begun to stop when it takes no connection any more.
	other := *m.Client
	for !isLost(func() error { _, err := other.Call(t.Context(), "whoami", nil, nil); return err }()) {
	}
	select {
	case <-s.Exited():
		t.Error("the process ended before the call did")
	default:
	}
	p.Release <- struct{}{}
	<-done
	s.AwaitExit(answered)
	s.Restart()
	checkAsk(t, m.Client, "ok") // what the call renewed was stored
	if got := p.Counts(); got.Reused != 0 {
		t.Errorf("provider counts %+v, want no refresh token twice", got)
	}
}

// TestStopIdle stops a server that has nothing to do, and keeps connections to
// the service.
//
// Security OPS-11.
func TestStopIdle(t *testing.T) {
	s, _ := newFaultServer(t, longLife)
	newMember(t, s, alice)
	begin := time.Now()
	s.Terminate()
	s.AwaitExit(answered)
	t.Logf("an idle server ends within %v", time.Since(begin))
	s.Restart() // for the test's end, which stops it once more
}

// TestStartWithoutIDP starts while the identity provider is away: the server
// runs, and says to whoever wants to log in that it cannot be done now.
//
// Security OPS-09.
func TestStartWithoutIDP(t *testing.T) {
	nobody := fmt.Sprintf("http://localhost:%d", harness.FreePorts(t, 1)[0])
	s := harness.NewServer(t, "testdata", "E2E_IDENTITY=oidc", "E2E_ISSUER="+nobody)
	s.ExpectErrors("the login is not possible at the moment")
	code, err := hear(t.Context(), startClient(t, s), newBrowser(t, s, alice))
	if err != nil || code != "temporarily_unavailable" {
		t.Errorf("login while the identity provider is away = %q, %v; want temporarily_unavailable", code, err)
	}
}
