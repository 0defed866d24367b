package local_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/internal/web"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/local"
)

func TestConnect(t *testing.T) {
	e := newEnv(t)
	var connect *vaultclient.ConnectError
	if _, err := e.token("alice"); !errors.As(err, &connect) || connect.Reason != vaultclient.ReasonAuthorizationRequired {
		t.Fatalf("before = %v, want a ConnectError", err)
	}
	e.connect("alice")
	if got, err := e.token("alice"); err != nil || !strings.HasPrefix(got, "access-alice-") {
		t.Errorf("token = %q, %v", got, err)
	}
	if _, err := e.token("bob"); !errors.As(err, &connect) {
		t.Errorf("bob's token = %v, want a ConnectError", err)
	}
}

func TestConnectPage(t *testing.T) {
	e := newEnv(t)
	b := e.newBrowser("alice")
	p := b.get(e.link("alice", "write"))
	targets, _ := p.member("Form", "Targets").([]any)
	if p.member("ProviderTitle") != "Provider" || p.member("UserName") != "Name of alice" || len(targets) != 2 || targets[1] != e.provider.URL {
		t.Errorf("page = %s", p.body)
	}
	if strings.Contains(e.link("alice"), "alice") {
		t.Error("the link tells whose it is")
	}
	u, err := url.Parse(b.begin(e.link("alice", "write")).location)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if q.Get("scope") != "read write" || q.Get("redirect_uri") != e.base+"/mcp/connect/callback" || len(q.Get("state")) < 22 ||
		q.Get("code_challenge_method") != "S256" || q.Get("client_id") != "id" {
		t.Errorf("authorization request = %v", q)
	}
	if p := e.newBrowser("").get(e.link("alice")); p.status != http.StatusFound || p.location != "/mcp/login" {
		t.Errorf("without login = %d %q, want the login", p.status, p.location)
	}
	if p := b.get("/mcp/connect?provider=p"); p.status != http.StatusOK {
		t.Errorf("from the account page = %d", p.status)
	}
	for name, target := range map[string]string{"unknown provider": "/mcp/connect?provider=q", "nothing": "/mcp/connect"} {
		if p := b.get(target); p.status != http.StatusNotFound {
			t.Errorf("%s = %d, want 404", name, p.status)
		}
	}
}

// MCP 2025-11-25, URL elicitation: who opens the link must be who it is for.
func TestLinkOfAnotherPerson(t *testing.T) {
	e := newEnv(t)
	p := e.newBrowser("bob").get(e.link("alice"))
	if p.status != http.StatusForbidden || strings.Contains(p.body, "Name of alice") || strings.Contains(p.body, "connect") && p.member("ProviderTitle") != nil {
		t.Errorf("alice's link in bob's browser = %d %s", p.status, p.body)
	}
}

func TestBadLinks(t *testing.T) {
	e := newEnv(t)
	b := e.newBrowser("alice")
	link := e.link("alice")
	for name, target := range map[string]string{
		"changed":   link[:len(link)-4] + "AAAA",
		"cut":       link[:len(link)-20],
		"empty":     "/mcp/connect?link=",
		"no base64": "/mcp/connect?link=%00%ff",
	} {
		for who, b := range map[string]*browser{"alice": b, "nobody": e.newBrowser("")} {
			if p := b.get(target); p.status != http.StatusBadRequest {
				t.Errorf("%s for %s = %d, want 400", name, who, p.status)
			}
		}
	}
	e.clock.advance(16 * time.Minute)
	if p := b.get(link); p.status != http.StatusBadRequest {
		t.Errorf("after 16 minutes = %d, want 400", p.status)
	}
	if p := b.do(http.MethodPut, "/mcp/connect", nil); p.status != http.StatusMethodNotAllowed {
		t.Errorf("PUT = %d, want 405", p.status)
	}
}

// Security CONS-07 to CONS-10 for the connect form.
func TestConnectFormCannotBeForged(t *testing.T) {
	e := newEnv(t)
	alice, bob := e.newBrowser("alice"), e.newBrowser("bob")
	token := alice.get(e.link("alice")).member("Form", "Token").(string)
	good := func() url.Values { return url.Values{"token": {token}, "decision": {"allow"}} }
	for name, p := range map[string]page{
		"no token":        alice.do(http.MethodPost, "/mcp/connect", url.Values{"decision": {"allow"}}),
		"false token":     alice.do(http.MethodPost, "/mcp/connect", url.Values{"token": {token + "A"}, "decision": {"allow"}}),
		"another person":  bob.do(http.MethodPost, "/mcp/connect", good()),
		"foreign Origin":  alice.do(http.MethodPost, "/mcp/connect", good(), "Origin", "https://evil.example"),
		"cross-site":      alice.do(http.MethodPost, "/mcp/connect", good(), "Sec-Fetch-Site", "cross-site"),
		"the link itself": alice.do(http.MethodPost, "/mcp/connect", url.Values{"token": {strings.SplitN(e.link("alice"), "link=", 2)[1]}, "decision": {"allow"}}),
	} {
		if p.status != http.StatusForbidden || p.location != "" {
			t.Errorf("%s = %d %q, want 403", name, p.status, p.location)
		}
	}
	if p := alice.do(http.MethodPost, "/mcp/connect", url.Values{"token": {token}, "decision": {"deny"}}, "Origin", e.base); p.status != http.StatusOK || p.location != "" {
		t.Errorf("a no = %d %q, want a page", p.status, p.location)
	}
}

// Security FED-03 to FED-06 for the connect flow.
func TestCallbackIsBoundToItsBrowser(t *testing.T) {
	e := newEnv(t)
	alice := e.newBrowser("alice")
	callback := e.callback(alice.begin(e.link("alice")), url.Values{"code": {e.provider.code("alice")}})
	bob := e.newBrowser("bob")
	bob.begin(e.link("bob"))
	for name, p := range map[string]page{
		"another browser":          e.newBrowser("alice").get(callback),
		"a browser in another one": bob.get(callback),
		"no state":                 alice.get("/mcp/connect/callback?code=x"),
		"made-up state":            alice.get("/mcp/connect/callback?code=x&state=y"),
	} {
		if p.status != http.StatusBadRequest {
			t.Errorf("%s = %d %s, want 400", name, p.status, p.body)
		}
	}
	if e.provider.exchanges != 0 {
		t.Error("a code was redeemed")
	}
	u, _ := url.Parse(e.base + "/mcp/connect")
	cookies := alice.http.Jar.Cookies(u)
	if p := alice.get(callback); p.status != http.StatusOK {
		t.Fatalf("the callback itself = %d %s", p.status, p.body)
	}
	alice.http.Jar.SetCookies(u, cookies)
	if p := alice.get(callback); p.status != http.StatusBadRequest || e.provider.exchanges != 1 {
		t.Errorf("a second time = %d after %d exchanges, want 400 after 1", p.status, e.provider.exchanges)
	}
}

// TestCallbackOfAnotherProvider: a provider with a redirect URI of its own is given
// no code of another one to which it sends people on (RFC 9700 section 4.4), nor is
// another given its codes.
func TestCallbackOfAnotherProvider(t *testing.T) {
	for name, tc := range map[string]struct {
		callback, arrives string
		ok                bool
	}{
		"its own":                    {"own", "/mcp/connect/callback/own", true},
		"that of all":                {"", "/mcp/connect/callback", true},
		"that of all, not its own":   {"own", "/mcp/connect/callback", false},
		"another's, not that of all": {"", "/mcp/connect/callback/own", false},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			e.cfg.Providers["p"].Callback = tc.callback
			b := e.newBrowser("alice")
			p := b.begin(e.link("alice"))
			u, err := url.Parse(p.location)
			if want := strings.TrimSuffix(e.base+"/mcp/connect/callback/"+tc.callback, "/"); err != nil || u.Query().Get("redirect_uri") != want {
				t.Errorf("browser is sent to %s, want the redirect URI %s", p.location, want)
			}
			_, query, _ := strings.Cut(e.callback(p, url.Values{"code": {e.provider.code("alice")}}), "?")
			status := b.get(tc.arrives + "?" + query).status
			if (status == http.StatusOK) != tc.ok || (e.provider.exchanges == 1) != tc.ok {
				t.Errorf("callback at %s = %d after %d exchanges, want it taken: %v", tc.arrives, status, e.provider.exchanges, tc.ok)
			}
		})
	}
}

// A person who logs in as somebody else on the way does not get the grant.
func TestCallbackOfAnotherLogin(t *testing.T) {
	e := newEnv(t)
	b := e.newBrowser("alice")
	callback := e.callback(b.begin(e.link("alice")), url.Values{"code": {e.provider.code("mallory")}})
	u, _ := url.Parse(e.base)
	b.http.Jar.SetCookies(u, []*http.Cookie{{Name: "user", Value: "bob"}})
	if p := b.get(callback); p.status != http.StatusForbidden || e.provider.exchanges != 0 {
		t.Errorf("callback = %d %s, want 403", p.status, p.body)
	}
}

// Forms and callbacks end with the login that they were made in.
func TestLoginAnewInBetween(t *testing.T) {
	e := newEnv(t)
	b := e.newBrowser("alice")
	token := b.get(e.link("alice")).member("Form", "Token").(string)
	account := b.get("/mcp/account").member("Form", "Token").(string)
	callback := e.callback(b.begin(e.link("alice")), url.Values{"code": {e.provider.code("alice")}})
	u, err := url.Parse(e.base)
	if err != nil {
		t.Fatal(err)
	}
	b.http.Jar.SetCookies(u, []*http.Cookie{{Name: "session", Value: "another"}})
	for name, p := range map[string]page{
		"the connect form": b.do(http.MethodPost, "/mcp/connect", url.Values{"token": {token}, "decision": {"allow"}}),
		"the account form": b.do(http.MethodPost, "/mcp/account", url.Values{"token": {account}, "disconnect": {web.EncodeConnection("p", "")}}),
		"the callback":     b.get(callback),
	} {
		if p.status != http.StatusForbidden || p.location != "" {
			t.Errorf("%s = %d %q %s, want 403", name, p.status, p.location, p.body)
		}
	}
	if e.provider.exchanges != 0 {
		t.Error("the code was redeemed")
	}
}

// Security FED-10, OPS-01, OPS-06 for providers.
func TestProviderFaultsAtTheCallback(t *testing.T) {
	for name, tc := range map[string]struct {
		params url.Values
		answer func(w http.ResponseWriter, r *http.Request)
		want   int
	}{
		"denied":       {url.Values{"error": {"access_denied"}}, nil, 400},
		"no code":      {url.Values{}, nil, 400},
		"unknown code": {url.Values{"code": {"x"}}, nil, 502},
		"500":          {url.Values{"code": {"x"}}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, 502},
		"garbage":      {url.Values{"code": {"x"}}, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }, 502},
		"redirect":     {url.Values{"code": {"x"}}, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Location", "/x"); w.WriteHeader(307) }, 502},
		"endless":      {url.Values{"code": {"x"}}, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 2<<20)) }, 502},
		"cut off":      {url.Values{"code": {"x"}}, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 502},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			e.provider.set(func(p *provider) { p.answer = tc.answer })
			b := e.newBrowser("alice")
			p := b.get(e.callback(b.begin(e.link("alice")), tc.params))
			if p.status != tc.want {
				t.Errorf("callback = %d %s, want %d", p.status, p.body, tc.want)
			}
			var connect *vaultclient.ConnectError
			if _, err := e.token("alice"); !errors.As(err, &connect) {
				t.Errorf("token = %v, want a ConnectError: nothing half done", err)
			}
		})
	}
}

func TestWideningScopes(t *testing.T) {
	e := newEnv(t)
	e.provider.set(func(p *provider) { p.granted = "read" })
	e.connect("alice")
	var connect *vaultclient.ConnectError
	if _, err := e.token("alice", "write"); !errors.As(err, &connect) || connect.Reason != vaultclient.ReasonScopesMissing || connect.Missing[0] != "write" {
		t.Fatalf("token for write = %v, want missing scopes", err)
	}
	if _, err := e.token("alice"); err != nil {
		t.Errorf("token for read = %v", err)
	}
	p := e.newBrowser("alice").get(e.link("alice", "write"))
	if missing, _ := p.member("Missing").([]any); len(missing) != 1 || missing[0] != "write" || p.member("Connected") != true {
		t.Errorf("page = %s", p.body)
	}
	e.provider.set(func(p *provider) { p.granted = "read write" })
	e.connect("alice", "write")
	if _, err := e.token("alice", "write"); err != nil {
		t.Errorf("token for write = %v", err)
	}
	e.provider.set(func(p *provider) { p.granted = "read" })
	b := e.newBrowser("alice")
	p = b.get(e.callback(b.begin(e.link("alice", "write")), url.Values{"code": {e.provider.code("alice")}}))
	if p.status != http.StatusOK || !strings.Contains(p.body, "Not everything") {
		t.Errorf("less than asked = %d %s", p.status, p.body)
	}
}

// Two tools that need different scopes must not take them from each other.
func TestScopesThatWereGrantedBefore(t *testing.T) {
	for name, tc := range map[string]struct {
		addUp bool
		want  string
	}{
		"a new grant replaces the old one": {false, "read b a"},
		"grants add up":                    {true, "read b"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			e.cfg.Providers["p"].ScopesAddUp = tc.addUp
			e.provider.set(func(p *provider) { p.granted = "read,a" })
			e.connect("alice", "a")
			b := e.newBrowser("alice")
			u, err := url.Parse(b.begin(e.link("alice", "b")).location)
			if err != nil || u.Query().Get("scope") != tc.want {
				t.Errorf("asked for scope %q, want %q", u.Query().Get("scope"), tc.want)
			}
		})
	}
}

func TestConnectWithALabel(t *testing.T) {
	e := newEnv(t)
	e.connect("alice")
	b := e.newBrowser("alice")
	p := b.get(e.callback(b.begin("/mcp/connect?provider=p&label=work"), url.Values{"code": {e.provider.code("office")}}))
	if p.status != http.StatusOK {
		t.Fatalf("callback = %d %s", p.status, p.body)
	}
	for label, want := range map[string]string{"": "access-alice-", "work": "access-office-"} {
		c, err := e.vault.Credential(t.Context(), vaultclient.Request{UserID: "alice", Provider: "p", Label: label})
		if err != nil || !strings.HasPrefix(c.Token.Reveal(), want) {
			t.Errorf("credential with label %q = %v, %v; want %s…", label, c, err, want)
		}
	}
	if p := b.get("/mcp/connect?provider=p&label=" + strings.Repeat("x", 1000)); p.status != http.StatusNotFound {
		t.Errorf("a label of 1000 bytes = %d, want 404", p.status)
	}
}

// The code is spent once it was sent: a person who closes the page then is
// connected all the same.
func TestPageClosedDuringTheExchange(t *testing.T) {
	e := newEnv(t)
	b := e.newBrowser("alice")
	callback := e.callback(b.begin(e.link("alice")), url.Values{"code": {"x"}})
	ctx, cancel := context.WithCancel(t.Context())
	e.provider.set(func(p *provider) {
		p.answer = func(w http.ResponseWriter, _ *http.Request) {
			cancel()
			_, _ = w.Write([]byte(`{"access_token":"late","expires_in":3600}`))
		}
	})
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, callback, nil)
	u, err := url.Parse(e.base + "/mcp/connect")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range b.http.Jar.Cookies(u) {
		r.AddCookie(c)
	}
	e.vault.ServeCallback(httptest.NewRecorder(), r)
	if got, err := e.token("alice"); err != nil || got != "late" {
		t.Errorf("token = %q, %v, want what the provider gave", got, err)
	}
}

// Security VAULT-09.
func TestAccountPage(t *testing.T) {
	e := newEnv(t)
	e.connect("alice")
	e.connect("bob")
	alice := e.newBrowser("alice")
	p := alice.get("/mcp/account")
	list, _ := p.member("Connections").([]any)
	if len(list) != 1 || p.member("Email") != "alice@example.com" {
		t.Fatalf("page = %s", p.body)
	}
	token := p.member("Form", "Token").(string)
	form := url.Values{"token": {token}, "disconnect": {web.EncodeConnection("p", "")}}
	for name, p := range map[string]page{
		"another person": e.newBrowser("bob").do(http.MethodPost, "/mcp/account", form),
		"no token":       alice.do(http.MethodPost, "/mcp/account", url.Values{"disconnect": form["disconnect"]}),
		"foreign Origin": alice.do(http.MethodPost, "/mcp/account", form, "Origin", "https://evil.example"),
		"no connection":  alice.do(http.MethodPost, "/mcp/account", url.Values{"token": {token}, "disconnect": {"%zz"}}),
	} {
		if p.status != http.StatusForbidden {
			t.Errorf("%s = %d, want 403", name, p.status)
		}
	}
	if p := alice.do(http.MethodPost, "/mcp/account", form, "Origin", e.base); p.status != http.StatusSeeOther || p.location != "/mcp/account" {
		t.Fatalf("disconnect = %d %s", p.status, p.body)
	}
	var connect *vaultclient.ConnectError
	if _, err := e.token("alice"); !errors.As(err, &connect) { // VAULT-09
		t.Errorf("alice's token = %v, want a ConnectError", err)
	}
	if _, err := e.token("bob"); err != nil {
		t.Errorf("bob's token = %v", err)
	}
	if len(e.provider.revoked) != 1 || !strings.HasPrefix(e.provider.revoked[0], "refresh-alice-") {
		t.Errorf("revoked at the provider: %v", e.provider.revoked)
	}
	if p := alice.do(http.MethodPost, "/mcp/account", form, "Origin", e.base); p.status != http.StatusSeeOther {
		t.Errorf("disconnect once more = %d, want no error", p.status)
	}
}

func TestNewNamesWhatIsMissing(t *testing.T) {
	_, err := local.New(local.Config{})
	if err == nil || !strings.Contains(err.Error(), "is required") {
		t.Errorf("New = %v", err)
	}
}
