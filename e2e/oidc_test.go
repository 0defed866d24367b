package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// newOIDCServer starts an identity provider and a server whose people log in
// there. The server names the provider's issuer as written says, which is given
// the provider's own.
func newOIDCServer(t *testing.T, suffix string, written func(issuer string) string, settings ...string) (*harness.Server, *harness.IDP) {
	t.Helper()
	idp := harness.StartIDP(t, suffix)
	s := harness.NewServer(t, "testdata", withSettings(settings...), "E2E_IDENTITY=oidc", "E2E_ISSUER="+written(idp.Issuer))
	idp.Register(s.Endpoint)
	s.Sites = append(s.Sites, strings.TrimSuffix(idp.Issuer, "/"))
	return s, idp
}

func asItIs(issuer string) string { return issuer }

// startClient registers a client that is about to send its person to log in.
func startClient(t *testing.T, s *harness.Server) *mcpclient.Client {
	t.Helper()
	c := mcpclient.New(s.Endpoint, mcpclient.Modern)
	if err := c.Discover(t.Context()); err != nil {
		t.Fatalf("discovery: %v", err)
	}
	if err := c.Register(t.Context(), "e2e", "http://127.0.0.1:49152/callback"); err != nil {
		t.Fatalf("registration: %v", err)
	}
	return c
}

// hear sends a person to log in and returns the error code that the client gets,
// or "" when it gets tokens.
func hear(ctx context.Context, c *mcpclient.Client, b *browser.Browser) (string, error) {
	stop, err := b.Open(ctx, c.AuthorizeURL(), browser.Visit{Hold: true})
	if err != nil {
		return "", fmt.Errorf("way %q: %w", stop.Way, err)
	}
	if !stop.Client {
		return "", fmt.Errorf("login ends with %d on the page %q: %s, way %q", stop.Page.Status, stop.Page.Title, stop.Page.Text, stop.Way)
	}
	if strings.Contains(stop.URL.String(), "inner") {
		return "", fmt.Errorf("client is told of the provider's inside: %s", stop.URL)
	}
	err = c.Redeem(ctx, stop.URL)
	var refused *mcpclient.OAuthError
	if errors.As(err, &refused) {
		return refused.Code, nil
	}
	return "", err
}

// tryLogIn is hear for a new client and a new browser.
func tryLogIn(t *testing.T, s *harness.Server, person browser.Person) string {
	t.Helper()
	code, err := hear(t.Context(), startClient(t, s), newBrowser(t, s, person))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// TestOIDC goes the way of two people who log in at an OpenID Connect provider,
// at the same time, from the URL to a call with their own grant. That they may
// come in hangs on their groups, which only userinfo tells (security FED-01,
// FED-02).
func TestOIDC(t *testing.T) {
	s, idp := newOIDCServer(t, "", asItIs, `allow group "friends of alice" "friends of bob"`)
	t.Run("together", func(t *testing.T) {
		for _, pair := range [][2]browser.Person{{alice, bob}, {bob, alice}} {
			person, other := pair[0], pair[1]
			t.Run(person.Name, func(t *testing.T) {
				t.Parallel()
				b := newBrowser(t, s, person)
				c := logIn(t, s, b, mcpclient.Modern)
				if text := call(t, c, "whoami").Text(); !strings.HasPrefix(text, person.Name+"@example.com") {
					t.Errorf("whoami gives %q, want %s", text, person.Name)
				}
				connect(t, b, call(t, c, "list_messages").ConnectURL())
				checkInbox(t, call(t, c, "list_messages").Text(), person, other)
				refresh(t, &visitor{person: person, other: other, browser: b, client: c})
			})
		}
	})
	checkAuthorizeRequests(t, idp.Seen().Authorize, s.Endpoint)
	if log := s.Log(); strings.Contains(log, "e2e-secret") {
		t.Error("log holds the client secret")
	}
}

// checkAuthorizeRequests looks at what the provider was asked for (FED-01,
// FED-02).
func checkAuthorizeRequests(t *testing.T, requests []map[string]string, endpoint string) {
	t.Helper()
	if len(requests) != 2 {
		t.Fatalf("provider got %d authorization requests, want 2", len(requests))
	}
	for _, q := range requests {
		for name, want := range map[string]string{
			"response_type": "code", "client_id": "e2e", "redirect_uri": endpoint + "/login/callback",
			"scope": "openid email profile", "code_challenge_method": "S256", "prompt": "",
		} {
			if q[name] != want {
				t.Errorf("%s is %q, want %q", name, q[name], want)
			}
		}
	}
	for name, least := range map[string]int{"state": 22, "nonce": 22, "code_challenge": 43} {
		a, b := requests[0][name], requests[1][name]
		if len(a) < least || len(b) < least || a == b {
			t.Errorf("%s is %q and %q, want two values of %d characters at least", name, a, b, least)
		}
	}
}

// TestOIDCTrailingSlash names the issuer with a slash too many, or too few.
func TestOIDCTrailingSlash(t *testing.T) {
	for name, tc := range map[string]struct {
		suffix  string
		written func(string) string
	}{
		"one too many": {"", func(issuer string) string { return issuer + "/" }},
		"one too few":  {"/", func(issuer string) string { return strings.TrimSuffix(issuer, "/") }},
		"with a slash": {"/", asItIs},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := newOIDCServer(t, tc.suffix, tc.written)
			c := logIn(t, s, newBrowser(t, s, alice), mcpclient.Modern)
			if text := call(t, c, "whoami").Text(); !strings.HasPrefix(text, "alice@example.com") {
				t.Errorf("whoami gives %q, want alice", text)
			}
		})
	}
}

// TestOIDCDenied lets the provider refuse a person, and the rules another (security
// FED-10).
func TestOIDCDenied(t *testing.T) {
	s, _ := newOIDCServer(t, "", asItIs, `deny group "friends of bob"`)
	for name, tc := range map[string]struct {
		person browser.Person
		want   string
	}{
		"by the provider":      {browser.Person{Name: "nobody"}, "access_denied"},
		"by the rules":         {bob, "access_denied"},
		"somebody is admitted": {alice, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tryLogIn(t, s, tc.person); got != tc.want {
				t.Errorf("client hears %q, want %q", got, tc.want)
			}
		})
	}
	if !strings.Contains(s.Log(), "inner detail: it was") {
		t.Error("log lacks the provider's reason")
	}
}

// TestOIDCAwayAtStart starts a server whose provider is not there (security OPS-09).
// It serves all else, tells clients who want to log in, and needs no restart when
// the provider comes.
func TestOIDCAwayAtStart(t *testing.T) {
	idp := harness.StartIDP(t, "")
	idp.Fail(harness.Fault{Where: "discovery", What: "down"})
	s := harness.NewServer(t, "testdata", withSettings("registration {", "rate 1000", "}"), "E2E_IDENTITY=oidc", "E2E_ISSUER="+idp.Issuer)
	idp.Register(s.Endpoint)
	s.Sites = append(s.Sites, idp.Issuer)
	s.ExpectErrors(`"path":"/mcp/login`)
	for range 2 { // asking again hangs on nothing either
		if got := tryLogIn(t, s, alice); got != "temporarily_unavailable" {
			t.Errorf("client hears %q without the provider, want temporarily_unavailable", got)
		}
	}
	idp.Fail(harness.Fault{})
	await(t, "people to log in", func() bool { return tryLogIn(t, s, alice) == "" })
}

// TestOIDCFaults lets the provider fail in many ways. The client hears of it in
// OAuth's words; who is logged in already notices nothing; and as soon as the
// provider is well again people log in (security OPS-01 to OPS-04, OPS-06, FED-08,
// FED-09, FED-16, FED-17).
func TestOIDCFaults(t *testing.T) {
	s, idp := newOIDCServer(t, "", asItIs, "registration {", "rate 1000", "}")
	s.ExpectErrors(`"path":"/mcp/login`)
	// Nobody has logged in yet, so the provider's configuration is not known.
	idp.Fail(harness.Fault{Where: "discovery", What: "breaks"})
	if got := tryLogIn(t, s, alice); got != "temporarily_unavailable" {
		t.Errorf("without the provider's configuration the client hears %q, want temporarily_unavailable", got)
	}
	idp.Fail(harness.Fault{})
	await(t, "the server to ask for the configuration again", func() bool { return tryLogIn(t, s, alice) == "" })
	known := logIn(t, s, newBrowser(t, s, alice), mcpclient.Modern)

	for _, tc := range []struct{ where, what, want string }{
		{"token", "down", "temporarily_unavailable"},
		{"token", "breaks", "temporarily_unavailable"},
		{"token", "refuses", "server_error"},
		{"token", "garbage", "server_error"},
		{"token", "huge", "server_error"},
		{"token", "missing", "server_error"},
		{"token", "expired", "server_error"},
		{"token", "forged", "server_error"},
		{"token", "unsigned", "server_error"},
		{"token", "other audience", "server_error"},
		{"token", "other issuer", "server_error"},
		{"token", "other nonce", "server_error"},
		{"token", "no nonce", "server_error"},
		{"answer", "foreign iss", "server_error"},
		{"answer", "no iss", "server_error"},
		{"userinfo", "down", "temporarily_unavailable"},
		{"userinfo", "breaks", "temporarily_unavailable"},
		{"userinfo", "refuses", ""}, // a provider may have nothing to say
		{"discovery", "down", ""},   // it is known
		{"keys", "down", ""},        // they are known
	} {
		t.Run(tc.where+" "+tc.what, func(t *testing.T) {
			idp.Fail(harness.Fault{Where: tc.where, What: tc.what})
			if got := tryLogIn(t, s, bob); got != tc.want {
				t.Errorf("client hears %q, want %q", got, tc.want)
			}
			checkServed(t, known)
			idp.Fail(harness.Fault{})
			if got := tryLogIn(t, s, bob); got != "" {
				t.Errorf("client hears %q when the provider is well again", got)
			}
		})
	}
	t.Run("token slow", func(t *testing.T) { tokenSlow(t, s, idp, known) })
}

// tokenSlow lets the provider never answer: the login ends by itself, and holds
// up nothing meanwhile (security OPS-04).
func tokenSlow(t *testing.T, s *harness.Server, idp *harness.IDP, known *mcpclient.Client) {
	c, b := startClient(t, s), newBrowser(t, s, bob)
	idp.Fail(harness.Fault{Where: "token", What: "slow"})
	before, begun := idp.Seen().Token, time.Now()
	var heard string
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		heard, err = hear(t.Context(), c, b)
	}()
	await(t, "the server's request for tokens", func() bool { return idp.Seen().Token > before })
	checkServed(t, known)
	select {
	case <-done:
		t.Errorf("login ended with %q (%v) before the provider answered", heard, err)
	default:
	}
	<-done
	if took := time.Since(begun); err != nil || heard != "temporarily_unavailable" || took > 30*time.Second {
		t.Errorf("client hears %q (%v) after %v, want temporarily_unavailable within 30s", heard, err, took)
	}
	idp.Fail(harness.Fault{})
	if got := tryLogIn(t, s, bob); got != "" {
		t.Errorf("client hears %q when the provider is well again", got)
	}
}

// checkServed looks whether somebody who is logged in still can call tools and
// gets new tokens.
func checkServed(t *testing.T, c *mcpclient.Client) {
	t.Helper()
	if text := call(t, c, "whoami").Text(); !strings.HasPrefix(text, "alice@example.com") {
		t.Errorf("whoami gives %q, want alice", text)
	}
	if err := c.Refresh(t.Context()); err != nil {
		t.Errorf("refreshing while the provider fails: %v", err)
	}
}

// await asks until something has happened.
func await(t *testing.T, what string, happened func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !happened() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// TestOIDCKeyRotation changes the provider's keys: people go on logging in, and
// while the new keys cannot be had the client hears of it (security OPS-05,
// JWKS-01, JWKS-02).
func TestOIDCKeyRotation(t *testing.T) {
	s, idp := newOIDCServer(t, "", asItIs)
	s.ExpectErrors(`"path":"/mcp/login/callback"`)
	login := func(want string) {
		t.Helper()
		if got := tryLogIn(t, s, alice); got != want {
			t.Fatalf("client hears %q, want %q", got, want)
		}
	}
	login("")
	known := idp.Seen().Keys
	login("")
	if again := idp.Seen().Keys; again != known {
		t.Errorf("keys are read at each login: %d times, then %d", known, again)
	}
	idp.Rotate()
	login("")
	for _, what := range []string{"down", "breaks", "garbage", "huge"} {
		idp.Rotate()
		idp.Fail(harness.Fault{Where: "keys", What: what})
		login("server_error")
		idp.Fail(harness.Fault{})
		login("")
	}
}
