package authserver_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// Security AUTHZ-01, AUTHZ-02, AUTHZ-12, AUTHZ-22, AUTHZ-23, AUTHZ-24.
func TestAuthorizeGivesCodeWithStateAndIssuer(t *testing.T) {
	e := newEnv(t)
	p := e.newBrowser().approve(e.authorizeURL(e.publicClient()), "alice")
	if p.status != http.StatusSeeOther || !strings.HasPrefix(p.location, callback+"?") {
		t.Fatalf("answer = %d %q, want 303 to %s", p.status, p.location, callback)
	}
	q := e.params(p)
	if len(q["code"]) != 1 || len(q["code"][0]) < 22 {
		t.Errorf("code = %q, want one of 22 characters or more", q["code"])
	}
	if got := q["state"]; len(got) != 1 || got[0] != "st&te=ü" {
		t.Errorf("state = %q, want it as it was sent", got)
	}
	if got := q["iss"]; len(got) != 1 || got[0] != e.base+testPath {
		t.Errorf("iss = %q, want %q", got, e.base+testPath)
	}
	if len(q) != 3 {
		t.Errorf("parameters = %v, want code, state and iss alone", q)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"} {
		if got := p.header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
}

// Security AUTHZ-03 to AUTHZ-05, AUTHZ-08, AUTHZ-09, AUTHZ-25, AUTHZ-26,
// REG-21, SSRF-02: what the client must not hear of is told on a page.
func TestAuthorizeErrorsOnAPage(t *testing.T) {
	e := newEnv(t)
	one := e.publicClient()
	_, answer := e.register(`{"redirect_uris":["https://a.example/cb","https://b.example/cb"],"token_endpoint_auth_method":"none"}`)
	two := answer["client_id"].(string)
	for name, target := range map[string]string{
		"unknown client":                  e.authorizeURL("nobody"),
		"no client":                       e.authorizeURL("", "client_id", "-"),
		"empty client":                    e.authorizeURL(""),
		"client twice":                    e.authorizeURL(one) + "&client_id=" + one,
		"redirect URI twice":              e.authorizeURL(one) + "&redirect_uri=" + url.QueryEscape(callback),
		"foreign redirect URI":            e.authorizeURL(one, "redirect_uri", "https://evil.example/cb"),
		"path below the redirect URI":     e.authorizeURL(one, "redirect_uri", callback+"/x"),
		"redirect URI with a query":       e.authorizeURL(one, "redirect_uri", callback+"?x=1"),
		"redirect URI with a fragment":    e.authorizeURL(one, "redirect_uri", callback+"#x"),
		"empty redirect URI":              e.authorizeURL(one, "redirect_uri", ""),
		"https with another port":         e.authorizeURL(two, "redirect_uri", "https://a.example:8443/cb"),
		"which of two redirect URIs":      e.authorizeURL(two, "redirect_uri", "-"),
		"malformed query":                 e.authorizeURL(one) + "&%zz",
		"semicolon in the query":          e.authorizeURL(one) + ";a=b",
		"client URL without https":        e.authorizeURL("http://app.example/client"),
		"client URL without path":         e.authorizeURL("https://app.example"),
		"client URL with a fragment":      e.authorizeURL("https://app.example/client#x"),
		"client URL with user":            e.authorizeURL("https://u@app.example/client"),
		"client URL with dots":            e.authorizeURL("https://app.example/x/../client"),
		"client URL with encoded dots":    e.authorizeURL("https://app.example/x/%2e%2e/client"),
		"client URL of this server":       e.authorizeURL(strings.Replace(e.base, "http:", "https:", 1) + "/client"),
		"client URL on a private address": e.authorizeURL("https://10.0.0.1/client"),
		"client URL on loopback":          e.authorizeURL("https://[::1]/client"),
	} {
		t.Run(name, func(t *testing.T) {
			p := e.newBrowser().get(target)
			if p.status != http.StatusBadRequest || p.location != "" {
				t.Errorf("GET %s = %d, Location %q, want a page with 400", target, p.status, p.location)
			}
			if strings.Contains(p.body, "evil.example") || strings.Contains(p.body, "http-equiv") {
				t.Errorf("the page leads on to the redirect URI:\n%s", p.body)
			}
		})
	}
}

// Security AUTHZ-10, AUTHZ-11, AUTHZ-13 to AUTHZ-15, AUTHZ-18, AUTHZ-21,
// PKCE-01 to PKCE-05, SSRF-03: what the client is told of by redirect.
func TestAuthorizeErrorsByRedirect(t *testing.T) {
	e := newEnv(t)
	id := e.publicClient()
	for name, tc := range map[string]struct{ target, want string }{
		"response type absent":     {e.authorizeURL(id, "response_type", "-"), "invalid_request"},
		"response type token":      {e.authorizeURL(id, "response_type", "token"), "unsupported_response_type"},
		"response type hybrid":     {e.authorizeURL(id, "response_type", "code id_token"), "unsupported_response_type"},
		"response mode fragment":   {e.authorizeURL(id, "response_mode", "fragment"), "invalid_request"},
		"challenge absent":         {e.authorizeURL(id, "code_challenge", "-"), "invalid_request"},
		"challenge method absent":  {e.authorizeURL(id, "code_challenge_method", "-"), "invalid_request"},
		"challenge method plain":   {e.authorizeURL(id, "code_challenge_method", "plain"), "invalid_request"},
		"challenge too short":      {e.authorizeURL(id, "code_challenge", "abc"), "invalid_request"},
		"challenge twice":          {e.authorizeURL(id) + "&code_challenge=" + challenge, "invalid_request"},
		"scope twice":              {e.authorizeURL(id, "scope", "mcp") + "&scope=mcp", "invalid_request"},
		"unknown parameter twice":  {e.authorizeURL(id) + "&x=1&x=2", "invalid_request"},
		"foreign resource":         {e.authorizeURL(id, "resource", "https://other.example/mcp"), "invalid_target"},
		"two resources":            {e.authorizeURL(id) + "&resource=https%3A%2F%2Fother.example", "invalid_target"},
		"resource below":           {e.authorizeURL(id, "resource", e.base+"/mcp/x"), "invalid_target"},
		"resource in upper case":   {e.authorizeURL(id, "resource", e.base+"/MCP"), "invalid_target"},
		"resource is the origin":   {e.authorizeURL(id, "resource", e.base), "invalid_target"},
		"resource with a query":    {e.authorizeURL(id, "resource", e.base+"/mcp?x"), "invalid_target"},
		"resource with a fragment": {e.authorizeURL(id, "resource", e.base+"/mcp#x"), "invalid_target"},
		"request object":           {e.authorizeURL(id, "request", "eyJhbGciOiJub25lIn0.e30."), "request_not_supported"},
		"request URI":              {e.authorizeURL(id, "request_uri", "https://evil.example/r"), "request_uri_not_supported"},
		"prompt none":              {e.authorizeURL(id, "prompt", "none"), "login_required"},
		"prompt none and login":    {e.authorizeURL(id, "prompt", "none login"), "invalid_request"},
		"state too long":           {e.authorizeURL(id, "state", strings.Repeat("s", 2000)), "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			p := e.newBrowser().get(tc.target)
			if p.status != http.StatusFound || !strings.HasPrefix(p.location, callback+"?") {
				t.Fatalf("GET %s = %d %q\n%s", tc.target, p.status, p.location, p.body)
			}
			q := e.params(p)
			if q.Get("error") != tc.want {
				t.Errorf("error = %q (%s), want %q", q.Get("error"), q.Get("error_description"), tc.want)
			}
			if q.Get("iss") != e.base+testPath || q.Get("state") == "" || q.Has("code") {
				t.Errorf("parameters = %v, want iss and state and no code", q)
			}
		})
	}
}

// Security AUTHZ-06, AUTHZ-07, AUTHZ-16, AUTHZ-17 and what real clients send.
func TestAuthorizeAccepts(t *testing.T) {
	e := newEnv(t)
	id := e.publicClient()
	for name, target := range map[string]string{
		"another loopback port":           e.authorizeURL(id, "redirect_uri", "http://127.0.0.1:50505/callback"),
		"no redirect URI":                 e.authorizeURL(id, "redirect_uri", "-"),
		"no resource":                     e.authorizeURL(id, "resource", "-"),
		"resource with a trailing slash":  e.authorizeURL(id, "resource", e.base+testPath+"/"),
		"no state":                        e.authorizeURL(id, "state", "-"),
		"scopes of other servers":         e.authorizeURL(id, "scope", "openid email profile offline_access"),
		"prompt consent":                  e.authorizeURL(id, "prompt", "consent"),
		"parameters that nobody knows of": e.authorizeURL(id, "nonce", "n", "claims", "{}"),
	} {
		t.Run(name, func(t *testing.T) {
			q := e.params(e.newBrowser().approve(target, "alice"))
			if q.Get("code") == "" {
				t.Errorf("parameters = %v, want a code", q)
			}
		})
	}
}

// Clients such as FastMCP call the authorization endpoint once themselves.
func TestAuthorizeWritesNothingAndMayBeRepeated(t *testing.T) {
	e := newEnv(t)
	target := e.authorizeURL(e.publicClient())
	if p := e.newBrowser().get(target); p.status != http.StatusOK {
		t.Fatalf("first GET = %d", p.status)
	}
	if q := e.params(e.newBrowser().approve(target, "alice")); q.Get("code") == "" {
		t.Errorf("parameters = %v, want a code", q)
	}
}

// Security AUTHZ-19, AUTHZ-20.
func TestDenial(t *testing.T) {
	e := newEnv(t)
	id := e.publicClient()
	for name, answer := range map[string]func(b *browser) page{
		"on the consent page": func(b *browser) page {
			return b.submit(b.get(e.authorizeURL(id)), "decision", "deny")
		},
		"on the login page": func(b *browser) page {
			p := b.submit(b.get(e.authorizeURL(id)), "decision", "allow")
			return b.submit(b.get(p.location), "decision", "deny")
		},
	} {
		t.Run(name, func(t *testing.T) {
			q := e.params(answer(e.newBrowser()))
			if q.Get("error") != "access_denied" || q.Get("state") != "st&te=ü" || q.Get("iss") != e.base+testPath {
				t.Errorf("parameters = %v, want access_denied with state and iss", q)
			}
		})
	}
}

func TestPrompts(t *testing.T) {
	e := newEnv(t)
	id := e.publicClient()
	b := e.newBrowser()
	b.approve(e.authorizeURL(id), "alice")

	if p := b.get(e.authorizeURL(id)); !strings.Contains(p.body, "Alice") {
		t.Errorf("the page does not say who is logged in:\n%s", p.body)
	}
	if q := e.params(b.get(e.authorizeURL(id, "prompt", "none"))); q.Get("error") != "consent_required" {
		t.Errorf("prompt none while logged in = %v, want consent_required", q)
	}
	p := b.get(e.authorizeURL(id, "prompt", "login"))
	if strings.Contains(p.body, "Alice") {
		t.Errorf("prompt login shows the session:\n%s", p.body)
	}
	if p = b.submit(p, "decision", "allow"); !strings.HasPrefix(p.location, testPath+"/login?") {
		t.Errorf("prompt login = %d %q, want the login page", p.status, p.location)
	}
}

func TestSwitchAccountAsksAgain(t *testing.T) {
	e := newEnv(t)
	id := e.publicClient()
	b := e.newBrowser()
	b.approve(e.authorizeURL(id), "alice")
	p := b.submit(b.get(e.authorizeURL(id)), "decision", "switch")
	p = b.submit(b.get(p.location), "username", "bob", "password", passwordOf("bob"))
	if !strings.HasPrefix(p.location, testPath+"/authorize?") {
		t.Fatalf("after the switch = %d %q, want the consent page once more", p.status, p.location)
	}
	p = b.get(p.location)
	if !strings.Contains(p.body, "Bob") || strings.Contains(p.body, "Alice") {
		t.Errorf("the page does not show the new account:\n%s", p.body)
	}
	q := e.params(b.submit(p, "decision", "allow"))
	status, answer, _ := e.token(codeForm(id, q.Get("code")))
	if status != http.StatusOK {
		t.Fatalf("token = %d %v", status, answer)
	}
	if user, err := e.verify(answer["access_token"].(string)); err != nil || user != "bob" {
		t.Errorf("Verify = %q, %v, want bob", user, err)
	}
}

// Security FED-15: a remembered yes holds for the same client, redirect URI and
// scopes, and only when the operator wants it.
func TestRememberedConsent(t *testing.T) {
	e := newEnv(t, func(c *authserver.Config) { c.RememberConsent = true })
	_, answer := e.register(`{"redirect_uris":["` + callback + `","https://a.example/cb"],"token_endpoint_auth_method":"none","scope":"mcp"}`)
	id := answer["client_id"].(string)
	b := e.newBrowser()
	b.approve(e.authorizeURL(id, "scope", "mcp"), "alice")

	for name, tc := range map[string]struct {
		target string
		code   bool
	}{
		"the same":              {e.authorizeURL(id, "scope", "mcp"), true},
		"another loopback port": {e.authorizeURL(id, "scope", "mcp", "redirect_uri", "http://127.0.0.1:9/callback"), true},
		"prompt none":           {e.authorizeURL(id, "scope", "mcp", "prompt", "none"), true},
		"prompt consent":        {e.authorizeURL(id, "scope", "mcp", "prompt", "consent"), false},
		"another redirect URI":  {e.authorizeURL(id, "scope", "mcp", "redirect_uri", "https://a.example/cb"), false},
		"one scope more":        {e.authorizeURL(id, "scope", "mcp offline_access"), false},
		"another client":        {e.authorizeURL(e.publicClient(), "scope", "mcp"), false},
	} {
		t.Run(name, func(t *testing.T) {
			p := b.get(tc.target)
			if got := strings.Contains(p.location, "code="); got != tc.code {
				t.Errorf("GET %s = %d %q, want a code without a page: %v", tc.target, p.status, p.location, tc.code)
			}
		})
	}
	if p := e.newBrowser().get(e.authorizeURL(id, "scope", "mcp")); p.status != http.StatusOK {
		t.Errorf("in another browser = %d %q, want the page", p.status, p.location)
	}
}
