package authserver_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// fuzzedRedirects are the clients of FuzzAuthorize by the word that stands for
// their id, each with what its redirect URIs look like at request time.
var fuzzedRedirects = map[string]struct {
	registered string // JSON
	redirect   *regexp.Regexp
}{
	"$LOOPBACK": {`"` + callback + `"`, regexp.MustCompile(`^http://127\.0\.0\.1(:[1-9]\d*)?/callback\?`)},
	"$SEVERAL": {
		`"https://app.example/cb?a=b","cursor://anysphere.cursor-mcp/cb","http://localhost/cb"`,
		regexp.MustCompile(`^(https://app\.example/cb\?a=b&|cursor://anysphere\.cursor-mcp/cb\?|http://localhost(:[1-9]\d*)?/cb\?)`),
	},
}

// FuzzAuthorize sends any query to the authorization endpoint, from a browser
// whose person is logged in and agreed before, and from one that nobody used. A
// redirect leads to a redirect URI of the very client, with the state as it came
// and the issuer; a code is only for the person who agreed; everything else is a
// page without scripts that nobody may frame.
//
// Security AUTHZ-03 to AUTHZ-05, AUTHZ-08, AUTHZ-12, AUTHZ-25.
func FuzzAuthorize(f *testing.F) {
	e := fuzzEnv(f, func(c *authserver.Config) { c.RememberConsent = true })
	ids := make(map[string]string)
	for word, client := range fuzzedRedirects {
		status, answer := e.register(`{"redirect_uris":[` + client.registered + `],"token_endpoint_auth_method":"none"}`)
		if status != http.StatusCreated {
			f.Fatalf("register = %d %v", status, answer)
		}
		ids[word] = answer["client_id"].(string)
	}
	cookies := e.cookiesOf("alice", ids["$LOOPBACK"])
	for _, query := range authorizeSeeds() {
		f.Add(query, true)
		f.Add(query, false)
	}
	f.Fuzz(func(t *testing.T, query string, known bool) {
		for word, id := range ids {
			query = strings.ReplaceAll(query, word, id)
		}
		cookie := ""
		if known {
			cookie = cookies
		}
		answer, page, ok := e.handle(t, http.MethodGet, "/authorize", query, "", "Cookie", cookie)
		if !ok {
			return
		}
		if location := answer.Header.Get("Location"); location != "" {
			checkAuthorizeRedirect(t, e, ids, query, answer.StatusCode, location, known)
			return
		}
		checkAuthorizePage(t, answer, page)
	})
}

// authorizeSeeds are queries that are good, or wrong in one way each.
func authorizeSeeds() []string {
	good := "response_type=code&code_challenge=" + challenge + "&code_challenge_method=S256&state=st%26te%3D%C3%BC"
	loopback := good + "&client_id=$LOOPBACK&redirect_uri="
	several := good + "&client_id=$SEVERAL"
	return []string{
		"", "client_id=$LOOPBACK", good + "&client_id=$LOOPBACK",
		loopback + url.QueryEscape(callback), loopback + "http://127.0.0.1:9/callback", loopback + "http://127.0.0.1/callback",
		loopback + "http://127.0.0.1:4711@evil.example/callback", loopback + "http://127.0.0.1:4711/callback/../x",
		loopback + "http://127.0.0.1:4711/callback%23x", loopback + "//127.0.0.1:4711/callback", loopback + "http://localhost:4711/callback",
		loopback + url.QueryEscape(callback) + "&redirect_uri=https://evil.example", loopback + "http://127.0.0.1:065536/callback",
		loopback + url.QueryEscape(callback) + "&client_id=$SEVERAL", loopback + "HTTP://127.0.0.1:4711/callback",
		several, several + "&redirect_uri=cursor://anysphere.cursor-mcp/cb", several + "&redirect_uri=https://app.example/cb?a=b",
		several + "&redirect_uri=https://app.example/cb", several + "&redirect_uri=https://app.example:444/cb?a=b",
		several + "&redirect_uri=http://localhost:80/cb", several + "&redirect_uri=http://[::1]/cb",
		loopback + url.QueryEscape(callback) + "&prompt=none", loopback + url.QueryEscape(callback) + "&prompt=login+none",
		loopback + url.QueryEscape(callback) + "&prompt=consent", loopback + url.QueryEscape(callback) + "&resource=https://other.example",
		loopback + url.QueryEscape(callback) + "&state=a&state=b", loopback + url.QueryEscape(callback) + "&scope=mcp+%00+x",
		loopback + url.QueryEscape(callback) + "&request=eyJhbGciOiJub25lIn0.e30.", loopback + url.QueryEscape(callback) + "&response_mode=fragment",
		"client_id=https://client.example/client.json&" + good, "client_id=<script>&" + good, "client_id=%00%ff&" + good, "%zz", "a;b=c",
		"response_type=token&client_id=$LOOPBACK&state=%0d%0aLocation:%20https://evil.example",
		"response_type=code&client_id=$LOOPBACK&code_challenge=x&code_challenge_method=plain",
	}
}

// cookiesOf returns the cookies of a browser in which a person is logged in and
// agreed to a client.
func (e *env) cookiesOf(name, clientID string) string {
	e.Helper()
	b := e.newBrowser()
	if code := e.params(b.approve(e.authorizeURL(clientID), name)).Get("code"); code == "" {
		e.Fatal("no code")
	}
	u, err := url.Parse(e.base + testPath + "/authorize")
	if err != nil {
		e.Fatal(err)
	}
	var cookies []string
	for _, c := range b.http.Jar.Cookies(u) {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	return strings.Join(cookies, "; ")
}

func checkAuthorizeRedirect(t *testing.T, e *env, ids map[string]string, query string, status int, location string, known bool) {
	t.Helper()
	if status != http.StatusFound {
		t.Errorf("redirect has the status %d", status)
	}
	sent, err := url.ParseQuery(query)
	if err != nil || len(sent["client_id"]) != 1 {
		t.Fatalf("redirect to %s for the malformed query %q", location, query)
	}
	for word, id := range ids {
		if sent.Get("client_id") == id && !fuzzedRedirects[word].redirect.MatchString(location) {
			t.Errorf("redirect to %s, which %s did not register", location, word)
		}
	}
	u, err := url.Parse(location)
	if err != nil || u.User != nil || u.Fragment != "" || strings.ContainsFunc(location, func(c rune) bool { return c <= ' ' || c > '~' }) {
		t.Fatalf("redirect to %q (%v)", location, err)
	}
	q := u.Query()
	if q.Get("iss") != e.base+testPath {
		t.Errorf("redirect to %s names the issuer %q", location, q.Get("iss"))
	}
	if states := sent["state"]; len(states) == 1 && (len(q["state"]) != 1 || q.Get("state") != states[0]) {
		t.Errorf("state %q comes back as %q", states[0], q["state"])
	}
	if q.Has("code") == q.Has("error") || q.Has("code") && (!known || sent.Get("client_id") != ids["$LOOPBACK"] || sent.Get("code_challenge_method") != "S256") {
		t.Errorf("redirect to %s for a person who is known: %v", location, known)
	}
}

func checkAuthorizePage(t *testing.T, answer *http.Response, page string) {
	t.Helper()
	if answer.StatusCode != http.StatusOK && (answer.StatusCode < 400 || answer.StatusCode >= 500) {
		t.Errorf("status = %d, want a page or 4xx:\n%s", answer.StatusCode, page)
	}
	policy := answer.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "evil") {
		t.Errorf("page has the policy %q", policy)
	}
	if lower := strings.ToLower(page); strings.Contains(lower, "<script") || strings.Contains(lower, "http-equiv") || answer.Header.Get("Refresh") != "" {
		t.Errorf("page holds a script or leads elsewhere:\n%s", page)
	}
}
