package authserver_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Security CORS-03, CONS-01, CONS-03, CONS-06, CONS-11, CONS-14: the page
// itself is tested in internal/web; here is what it is told.
func TestConsentPage(t *testing.T) {
	e := newEnv(t)
	p := e.newBrowser().get(e.authorizeURL(e.publicClient()))
	for _, want := range []string{"Test client", "127.0.0.1", "computer", "test accounts"} {
		if !strings.Contains(p.body, want) {
			t.Errorf("the page lacks %q:\n%s", want, p.body)
		}
	}
	csp := p.header.Get("Content-Security-Policy")
	if !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "form-action 'self' ") || !strings.Contains(csp, " http://127.0.0.1:4711") {
		t.Errorf("Content-Security-Policy = %q", csp)
	}
	for _, c := range p.header.Values("Set-Cookie") {
		if !strings.Contains(c, "HttpOnly") || !strings.Contains(c, "SameSite=Lax") || !strings.Contains(c, "Path=/mcp") {
			t.Errorf("Set-Cookie = %q, want HttpOnly, SameSite and the endpoint's path", c)
		}
	}
	if got := p.header.Get("Access-Control-Allow-Origin"); got != "" { // CORS-03
		t.Errorf("Access-Control-Allow-Origin = %q at the authorization endpoint", got)
	}
}

// Security CONS-07 to CONS-10, FED-12, FED-13.
func TestConsentCannotBeForged(t *testing.T) {
	e := newEnv(t)
	id := e.publicClient()
	victim := e.newBrowser()
	action, token := victim.form(victim.get(e.authorizeURL(id)))
	attacker := e.newBrowser()
	_, foreign := attacker.form(attacker.get(e.authorizeURL(id)))
	good := func() url.Values { return url.Values{"token": {token}, "decision": {"allow"}} }

	for name, p := range map[string]page{
		"no token":         victim.post(action, url.Values{"decision": {"allow"}}, "Origin", e.base),
		"false token":      victim.post(action, url.Values{"token": {token[:len(token)-4] + "AAAA"}, "decision": {"allow"}}, "Origin", e.base),
		"token of another": victim.post(action, url.Values{"token": {foreign}, "decision": {"allow"}}, "Origin", e.base),
		"no cookie":        e.newBrowser().post(action, good(), "Origin", e.base),
		"other browser":    attacker.post(action, good(), "Origin", e.base),
		"foreign Origin":   victim.post(action, good(), "Origin", "https://evil.example"),
		"null Origin":      victim.post(action, good(), "Origin", "null"),
		"cross-site":       victim.post(action, good(), "Sec-Fetch-Site", "cross-site"),
		"by GET":           victim.get(action + "?" + good().Encode()),
	} {
		if p.status < 400 || p.location != "" {
			t.Errorf("%s: %d, Location %q, want 4xx", name, p.status, p.location)
		}
	}
	if p := victim.post(action, good(), "Origin", e.base); p.status != http.StatusSeeOther {
		t.Errorf("the good form = %d, want 303: the attempts spoiled it", p.status)
	}
}

// Security ABUSE-04.
func TestConsentFormExpires(t *testing.T) {
	e := newEnv(t)
	b := e.newBrowser()
	p := b.get(e.authorizeURL(e.publicClient()))
	e.clock.advance(11 * time.Minute)
	if p = b.submit(p, "decision", "allow"); p.status != http.StatusForbidden {
		t.Errorf("after 11 minutes = %d, want 403", p.status)
	}
}

// Security FED-04 to FED-06: a login is bound to the browser that began it, and
// counts once.
func TestLoginIsBoundToItsBrowser(t *testing.T) {
	e := newEnv(t)
	id := e.publicClient()
	victim := e.newBrowser()
	login := victim.submit(victim.get(e.authorizeURL(id)), "decision", "allow").location
	page := victim.get(login)
	action, token := victim.form(page)
	fields := url.Values{"token": {token}, "username": {"alice"}, "password": {passwordOf("alice")}}

	other := e.newBrowser()
	other.submit(other.get(e.authorizeURL(id)), "decision", "allow")
	if p := other.get(login); p.status != http.StatusBadRequest {
		t.Errorf("login page in another browser = %d, want 400", p.status)
	}
	if p := other.post(action, fields, "Origin", e.base); p.status < 400 {
		t.Errorf("login in another browser = %d %q, want 4xx", p.status, p.location)
	}
	if p := victim.post(action, fields, "Origin", "https://evil.example"); p.status != http.StatusForbidden {
		t.Errorf("login from a foreign Origin = %d, want 403", p.status)
	}
	cookies := victim.http.Jar.Cookies(mustParse(t, e.base+testPath+"/login"))
	if p := victim.post(action, fields, "Origin", e.base); e.params(p).Get("code") == "" {
		t.Fatalf("the login itself = %d %q", p.status, p.location)
	}
	victim.http.Jar.SetCookies(mustParse(t, e.base+testPath+"/login"), cookies)
	if p := victim.post(action, fields, "Origin", e.base); p.status != http.StatusBadRequest {
		t.Errorf("the same login a second time = %d %q, want 400", p.status, p.location)
	}
}

func mustParse(t testing.TB, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestWrongPasswordIsAskedAgainAndLimited(t *testing.T) {
	e := newEnv(t)
	b := e.newBrowser()
	p := b.get(b.submit(b.get(e.authorizeURL(e.publicClient())), "decision", "allow").location)
	for range 10 {
		wrong := b.submit(p, "username", "alice", "password", "guess")
		if wrong.status != http.StatusUnprocessableEntity {
			t.Fatalf("wrong password = %d, want 422", wrong.status)
		}
	}
	limited := b.submit(p, "username", "alice", "password", passwordOf("alice"))
	if limited.status != http.StatusTooManyRequests || limited.header.Get("Retry-After") == "" {
		t.Fatalf("the 11th try = %d, want 429 with Retry-After", limited.status)
	}
	e.clock.advance(2 * time.Minute)
	if p := b.submit(p, "username", "Alice ", "password", "guess"); p.status != http.StatusUnprocessableEntity {
		t.Errorf("after a while = %d, want another try", p.status)
	}
	if p := b.submit(p, "username", "bob", "password", passwordOf("bob")); e.params(p).Get("code") == "" {
		t.Errorf("another person is locked out: %d", p.status)
	}
}

// Security ABUSE-04.
func TestAtMostThreeLoginsAreOpen(t *testing.T) {
	e := newEnv(t)
	id := e.publicClient()
	b := e.newBrowser()
	var logins []string
	for range 8 {
		logins = append(logins, b.submit(b.get(e.authorizeURL(id)), "decision", "allow").location)
	}
	if n := len(b.http.Jar.Cookies(mustParse(t, e.base+testPath+"/login"))); n > 4 { // and the browser's own
		t.Errorf("%d cookies, want at most 4", n)
	}
	if p := b.get(logins[7]); p.status != http.StatusOK {
		t.Errorf("the newest login = %d, want 200", p.status)
	}
}

// Person is how other packages' pages know who is there.
func TestOwnPagesAskForLogin(t *testing.T) {
	e := newEnv(t)
	b := e.newBrowser()
	p := b.get(testPath + "/connect?link=abc")
	if p.status != http.StatusFound || !strings.HasPrefix(p.location, testPath+"/login?") {
		t.Fatalf("without login = %d %q, want the login page", p.status, p.location)
	}
	p = b.submit(b.get(p.location), "username", "bob", "password", passwordOf("bob"))
	if p.location != testPath+"/connect?link=abc" {
		t.Fatalf("after the login = %d %q, want back to the page", p.status, p.location)
	}
	if p = b.get(p.location); !strings.HasPrefix(p.body, "person Bob") {
		t.Errorf("page = %q", p.body)
	}
	e.clock.advance(8 * 24 * time.Hour)
	if p = b.get(testPath + "/connect"); p.status != http.StatusFound {
		t.Errorf("after 8 idle days = %d, want a new login", p.status)
	}
}

func TestSessionIsProlongedByUseAndEndsByLogout(t *testing.T) {
	e := newEnv(t)
	b := e.newBrowser()
	p := b.get(testPath + "/connect")
	b.submit(b.get(p.location), "username", "bob", "password", passwordOf("bob"))
	for range 4 {
		e.clock.advance(5 * 24 * time.Hour)
		if p := b.get(testPath + "/connect"); p.status != http.StatusOK {
			t.Fatalf("used every 5 days = %d, want 200", p.status)
		}
	}
	if p := b.post(testPath+"/logout", nil, "Origin", "https://evil.example"); p.status != http.StatusForbidden {
		t.Errorf("logout from a foreign page = %d, want 403", p.status)
	}
	if p := b.post(testPath+"/logout", nil, "Origin", e.base); p.status != http.StatusOK {
		t.Errorf("logout = %d, want 200", p.status)
	}
	if p := b.get(testPath + "/connect"); p.status != http.StatusFound {
		t.Errorf("after logout = %d, want a login", p.status)
	}
}
