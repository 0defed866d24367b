package e2e

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

const (
	signIn      = "/sdk/auth/session"
	redirectURI = "http://127.0.0.1:49152/callback"
)

// newAlter starts a vault and a server that uses it. The vault's protocol holds
// until the test ends.
func newAlter(t *testing.T, more ...string) (*harness.Vault, *harness.Server) {
	t.Helper()
	v := harness.StartVault(t)
	t.Cleanup(v.CheckProtocol)
	return v, harness.NewAlterServer(t, v, "testdata/alter/server.Caddyfile", more...)
}

// checkGmail fails the test unless the answer is that of the fake Gmail to the
// person.
func checkGmail(t *testing.T, result *mcpclient.Result, of, other browser.Person) {
	t.Helper()
	text := result.Text()
	if result.IsError || !strings.Contains(text, `"person":"`+of.Name+`"`) || strings.Contains(text, other.Name) {
		t.Errorf("list_messages gives %q, want the mailbox of %s alone", text, of.Name)
	}
}

// TestAlterWholeWay goes the way of a person from the bare URL to the end of
// what was connected.
//
// Security VAULT-09.
func TestAlterWholeWay(t *testing.T) {
	for _, revision := range []string{mcpclient.Modern, mcpclient.Legacy} {
		t.Run(revision, func(t *testing.T) {
			v, s := newAlter(t)
			b := newBrowser(t, s, alice)
			c := logIn(t, s, b, revision)
			if who := call(t, c, "whoami"); !strings.HasPrefix(who.Text(), "alice@example.com by e2e") {
				t.Errorf("whoami gives %q, want alice", who.Text())
			}
			before := call(t, c, "list_messages")
			if !before.IsError || !strings.HasPrefix(before.ConnectURL(), s.Endpoint+"/connect?") {
				t.Fatalf("list_messages gives %+v, want a failure with a connect link", before)
			}
			otherLinkIsRefused(t, newBrowser(t, s, bob), &visitor{person: alice, client: c, link: before.ConnectURL()})
			connect(t, b, before.ConnectURL())
			checkGmail(t, call(t, c, "list_messages"), alice, bob)
			disconnect(t, s, b)
			if after := call(t, c, "list_messages"); after.ConnectURL() == "" {
				t.Errorf("list_messages gives %q after disconnecting, want a connect link", after.Text())
			}
			if n := len(v.Calls("/sdk/oauth/connect/session")); n != 1 {
				t.Errorf("%d connect sessions were opened, want 1: only who agreed on our page gets one", n)
			}
		})
	}
}

// disconnect ends the person's only connection on the account page.
func disconnect(t *testing.T, s *harness.Server, b *browser.Browser) {
	t.Helper()
	account := open(t, b, s.Endpoint+"/account", browser.Visit{})
	if !strings.Contains(account.Page.Text, "alice@google") {
		t.Fatalf("the account page shows %q, want the connected account", account.Page.Text)
	}
	if _, err := b.Press(t.Context(), account.Page, "/account", "disconnect"); err != nil {
		t.Fatalf("disconnecting: %v", err)
	}
	again := open(t, b, s.Endpoint+"/account", browser.Visit{})
	if strings.Contains(again.Page.Text, "alice@google") {
		t.Errorf("the account page shows %q after disconnecting", again.Page.Text)
	}
}

// registered returns a client that may send a browser to log in.
func registered(t *testing.T, s *harness.Server) *mcpclient.Client {
	t.Helper()
	c := newClient(s, mcpclient.Modern)
	if err := c.Discover(t.Context()); err != nil {
		t.Fatalf("discovery: %v", err)
	}
	if err := c.Register(t.Context(), "e2e", redirectURI); err != nil {
		t.Fatalf("registration: %v", err)
	}
	return c
}

// TestAlterLoginRefused ends a login in the ways in which no code is given: the
// client hears of each.
//
// Security FED-10.
func TestAlterLoginRefused(t *testing.T) {
	v, s := newAlter(t)
	tests := map[string]struct {
		visit browser.Visit
		opens int // sessions at the vault
	}{
		"on our page":              {browser.Visit{Decision: "deny"}, 0},
		"at the identity provider": {browser.Visit{Elsewhere: "deny"}, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, before := registered(t, s), len(v.Calls(signIn))
			tt.visit.Hold = true
			stop := open(t, newBrowser(t, s, alice), c.AuthorizeURL(), tt.visit)
			var refused *mcpclient.OAuthError
			if err := c.Redeem(t.Context(), stop.URL); !errors.As(err, &refused) || refused.Code != "access_denied" {
				t.Errorf("client hears %v, want access_denied", err)
			}
			if n := len(v.Calls(signIn)) - before; n != tt.opens {
				t.Errorf("%d logins were begun at the vault, want %d", n, tt.opens)
			}
		})
	}
}

// TestAlterLoginExpired lets the time for a login end at the vault: the client
// hears of that too.
func TestAlterLoginExpired(t *testing.T) {
	v, s := newAlter(t)
	c := registered(t, s)
	v.Post("fault", map[string]any{"path": "/sdk/auth/poll", "body": map[string]string{"status": "expired"}})
	stop := open(t, newBrowser(t, s, alice), c.AuthorizeURL(), browser.Visit{Hold: true})
	var refused *mcpclient.OAuthError
	if err := c.Redeem(t.Context(), stop.URL); !errors.As(err, &refused) || refused.Code != "access_denied" || !strings.Contains(refused.Description, "too long") {
		t.Errorf("client hears %v, want access_denied because it took too long", err)
	}
}

// TestAlterLoginOfAnotherBrowser opens the waiting page of one browser in
// another while the person logs in: it gets nothing. What each of page, vault and
// code is known by differs.
//
// Security FED-04.
func TestAlterLoginOfAnotherBrowser(t *testing.T) {
	v, s := newAlter(t)
	c, foreign := registered(t, s), newBrowser(t, s, bob)
	var waits *browser.Page
	stop := open(t, newBrowser(t, s, alice), c.AuthorizeURL(), browser.Visit{Hold: true, Shown: func(p *browser.Page) {
		if p.Refresh == nil || waits != nil {
			return
		}
		waits = p
		for name, address := range map[string]string{"the page": p.URL.String(), "where it goes": p.Refresh.String()} {
			stop := open(t, foreign, address, browser.Visit{Hold: true})
			if stop.Client || stop.Page.Status != 400 {
				t.Errorf("%s ends in another browser with %d on %q: %s", name, stop.Page.Status, stop.Page.Title, stop.Page.Text)
			}
		}
		if polls := v.Calls("/sdk/auth/poll"); len(polls) != 0 {
			t.Errorf("the other browser led to %d questions to the vault, want none", len(polls))
		}
	}})
	if waits == nil || len(stop.Tabs) != 1 {
		t.Fatalf("the login led to no page that waits: way %q", stop.Way)
	}
	values := map[string]bool{
		stop.URL.Query().Get("code"): true, waits.Refresh.Query().Get("state"): true, waits.Tabs[0].Query().Get("state"): true,
	}
	if len(values) != 3 || values[""] {
		t.Errorf("code, waiting page and login page are known by %v, want three values", values)
	}
	if err := c.Redeem(t.Context(), stop.URL); err != nil {
		t.Errorf("redeeming the code of who logged in: %v", err)
	}
}

// TestAlterAuthorizeStartsNothing asks for authorization as often as a crawler
// would: the vault hears nothing before a person agreed.
//
// Security FED-13.
func TestAlterAuthorizeStartsNothing(t *testing.T) {
	v, s := newAlter(t)
	c, b := registered(t, s), newBrowser(t, s, alice)
	for range 3 {
		open(t, b, c.AuthorizeURL(), browser.Visit{Decision: "nothing"})
	}
	var calls []harness.VaultCall
	if v.Get("log", &calls); len(calls) != 0 {
		t.Errorf("the vault got %d calls, the first of %s, want none", len(calls), calls[0].Path)
	}
}

// TestAlterRestart kills the server between two calls: nobody has to log in
// again, in neither era.
func TestAlterRestart(t *testing.T) {
	v, s := newAlter(t)
	b := newBrowser(t, s, alice)
	modern, legacy := logIn(t, s, b, mcpclient.Modern), logIn(t, s, b, mcpclient.Legacy)
	connect(t, b, call(t, modern, "list_messages").ConnectURL())
	logins := len(v.Calls(signIn))
	s.Kill()
	s.Restart()
	for _, c := range []*mcpclient.Client{modern, legacy} {
		checkGmail(t, call(t, c, "list_messages"), alice, bob)
		if err := c.Refresh(t.Context()); err != nil {
			t.Errorf("refresh after the restart: %v", err)
		}
		checkGmail(t, call(t, c, "list_messages"), alice, bob)
	}
	if n := len(v.Calls(signIn)); n != logins {
		t.Errorf("%d logins were begun after the restart", n-logins)
	}
}

// TestAlterTwoPeopleOneClient lets two people share a registration, and one of
// them use the session of the other: each call is of the bearer's owner, or it is
// refused.
func TestAlterTwoPeopleOneClient(t *testing.T) {
	_, s := newAlter(t)
	hers := newBrowser(t, s, alice)
	a := logIn(t, s, hers, mcpclient.Legacy)
	connect(t, hers, call(t, a, "list_messages").ConnectURL())
	b := newClient(s, mcpclient.Legacy)
	if err := b.Discover(t.Context()); err != nil {
		t.Fatalf("discovery: %v", err)
	}
	b.ClientID, b.RedirectURI = a.ClientID, a.RedirectURI
	his := newBrowser(t, s, bob)
	if err := b.Redeem(t.Context(), open(t, his, b.AuthorizeURL(), browser.Visit{Hold: true}).URL); err != nil {
		t.Fatalf("redeeming the code of bob: %v", err)
	}
	if err := b.Initialize(t.Context()); err != nil {
		t.Fatalf("opening a session: %v", err)
	}
	connect(t, his, call(t, b, "list_messages").ConnectURL())
	checkGmail(t, call(t, a, "list_messages"), alice, bob)
	checkGmail(t, call(t, b, "list_messages"), bob, alice)

	swapped := *b
	swapped.UseSession(a)
	var status *mcpclient.StatusError
	if result, err := swapped.Call(t.Context(), "list_messages", nil, nil); err == nil {
		checkGmail(t, result, bob, alice)
	} else if !errors.As(err, &status) || status.Status != 404 {
		t.Errorf("bob on the session of alice: %v, want 404 or bob's own mailbox", err)
	}
	checkGmail(t, call(t, a, "list_messages"), alice, bob)
}

// TestAlterAudit lets the vault hear of calls: with the tool's name, and with
// bodies only where the operator wants that.
func TestAlterAudit(t *testing.T) {
	for level, bodies := range map[string]bool{"short": false, "long": true} {
		t.Run(level, func(t *testing.T) {
			v, s := newAlter(t, "E2E_VAULT="+level)
			b := newBrowser(t, s, alice)
			c := logIn(t, s, b, mcpclient.Modern)
			connect(t, b, call(t, c, "list_messages").ConnectURL())
			checkGmail(t, call(t, c, "list_messages"), alice, bob)
			record := waitForAudit(t, v)
			var context string
			for _, h := range record.Header {
				if strings.EqualFold(h.Name, "X-Alter-Context") {
					context = h.Value
				}
			}
			if !strings.Contains(string(record.Body)+context, `"list_messages"`) {
				t.Errorf("the record %s with the context %s names no tool", record.Body, context)
			}
			if has := strings.Contains(string(record.Body), "/gmail/v1/users/me/messages\\\""); has != bodies {
				t.Errorf("the record %s holds bodies: %v, want %v", record.Body, has, bodies)
			}
		})
	}
}

// waitForAudit waits until the vault has a record of a call.
func waitForAudit(t *testing.T, v *harness.Vault) harness.VaultCall {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for {
		if records := v.Calls("/sdk/oauth/audit/api-call"); len(records) > 0 {
			return records[0]
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the vault got no record of the call")
		}
	}
}
