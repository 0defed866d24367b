package authserver_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

const (
	fault = "server_error"
	down  = "temporarily_unavailable"
)

// Security FED-16, FED-17.
func TestOIDCIDToken(t *testing.T) {
	set := func(name string, value any) func(*oidcEnv, map[string]any) {
		return func(_ *oidcEnv, c map[string]any) { c[name] = value }
	}
	without := func(name string) func(*oidcEnv, map[string]any) {
		return func(_ *oidcEnv, c map[string]any) { delete(c, name) }
	}
	at := func(name string, d time.Duration) func(*oidcEnv, map[string]any) {
		return func(e *oidcEnv, c map[string]any) { c[name] = e.clock.Now().Add(d).Unix() }
	}
	for name, tc := range map[string]struct {
		change func(*oidcEnv, map[string]any)
		log    string // of a refusal; "": good
	}{
		"as it should be":               {func(*oidcEnv, map[string]any) {}, ""},
		"audience in a list":            {set("aud", []string{idpClient}), ""},
		"two audiences with azp":        {func(_ *oidcEnv, c map[string]any) { c["aud"], c["azp"] = []string{"other", idpClient}, idpClient }, ""},
		"two audiences without azp":     {set("aud", []string{"other", idpClient}), "several audiences"},
		"azp of another client":         {set("azp", "other"), "made for another client"},
		"azp that is no text":           {set("azp", 7), "made for another client"},
		"audience of another client":    {set("aud", "other"), "expected audience"},
		"no audience":                   {without("aud"), "expected audience"},
		"other issuer":                  {set("iss", "https://other.example.com"), "issued by a different provider"},
		"issuer with a slash more":      {func(e *oidcEnv, c map[string]any) { c["iss"] = e.idp.URL + "/" }, "issued by a different provider"},
		"ended a minute ago":            {at("exp", -60*time.Second), ""},
		"ended longer ago":              {at("exp", -61*time.Second), "token is expired"},
		"no end":                        {without("exp"), "token is expired"},
		"made in a minute":              {at("iat", 60*time.Second), ""},
		"made later":                    {at("iat", 61*time.Second), "of the future"},
		"no time of making":             {without("iat"), "lacks iat"},
		"good from in a minute":         {at("nbf", 60*time.Second), ""},
		"good from later":               {at("nbf", 61*time.Second), "of the future"},
		"nonce of another login":        {set("nonce", "other"), "nonce is not that"},
		"no nonce":                      {without("nonce"), "nonce is not that"},
		"no subject":                    {without("sub"), "claim sub"},
		"subject that is no text":       {set("sub", 42), "ID token"},
		"subject longer than 1024 byte": {set("sub", strings.Repeat("a", 1025)), "claim sub"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newOIDCEnv(t)
			e.idp.set(func() { e.idp.claims = func(c map[string]any) { tc.change(e, c) } })
			want := ""
			if tc.log != "" {
				want = fault
			}
			if got := e.hear(); got != want {
				t.Errorf("client hears %q, want %q", got, want)
			}
			if tc.log != "" && !e.logged(tc.log) {
				t.Errorf("log lacks %q: %v", tc.log, e.log.All())
			}
		})
	}
}

// Security FED-16, JWT-02.
func TestOIDCSignature(t *testing.T) {
	encode := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	hmac := func(t *testing.T, claims map[string]any, key []byte) string {
		body, err := json.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		token, err := jws.Sign(body, jws.WithKey(jwa.HS256, key))
		if err != nil {
			t.Fatal(err)
		}
		return string(token)
	}
	for name, tc := range map[string]struct {
		sign func(*testing.T, *oidcEnv, map[string]any) string
		log  string
	}{
		"key of somebody else under the same name": {func(t *testing.T, e *oidcEnv, c map[string]any) string {
			return e.idp.signed(c, newSigningKey(t, "first"))
		}, "failed to verify"},
		"key of somebody else": {func(t *testing.T, e *oidcEnv, c map[string]any) string {
			return e.idp.signed(c, newSigningKey(t, "other"))
		}, "failed to verify"},
		"none, which the provider announces": {func(_ *testing.T, _ *oidcEnv, c map[string]any) string {
			return encode(map[string]string{"alg": "none"}) + "." + encode(c) + "."
		}, "malformed jwt"},
		"HMAC with the client's secret": {func(t *testing.T, _ *oidcEnv, c map[string]any) string {
			return hmac(t, c, []byte(idpSecret))
		}, "malformed jwt"},
		"HMAC with the public key": {func(t *testing.T, e *oidcEnv, c map[string]any) string {
			public, err := e.idp.key.PublicKey()
			if err != nil {
				t.Fatal(err)
			}
			return hmac(t, c, []byte(encode(public)))
		}, "malformed jwt"},
		"signature cut off": {func(_ *testing.T, e *oidcEnv, c map[string]any) string {
			token := e.idp.signed(c, e.idp.key)
			return token[:strings.LastIndex(token, ".")+1]
		}, "failed to verify"},
		"no token":  {func(*testing.T, *oidcEnv, map[string]any) string { return "" }, "gave no ID token"},
		"no JWT":    {func(*testing.T, *oidcEnv, map[string]any) string { return "x.y.z" }, "malformed jwt"},
		"only text": {func(*testing.T, *oidcEnv, map[string]any) string { return "token" }, "malformed jwt"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newOIDCEnv(t)
			e.idp.set(func() { e.idp.sign = func(c map[string]any) string { return tc.sign(t, e, c) } })
			if got := e.hear(); got != fault {
				t.Errorf("client hears %q, want %q", got, fault)
			}
			if !e.logged(tc.log) {
				t.Errorf("log lacks %q: %v", tc.log, e.log.All())
			}
			e.idp.set(func() { e.idp.sign = nil })
			if got := e.hear(); got != "" {
				t.Errorf("client hears %q after the next login, want a code", got)
			}
		})
	}
}

// Security FED-08 to FED-11: none of the provider's words reach the client or a
// page.
func TestOIDCAnswer(t *testing.T) {
	set := func(name string, values ...string) func(url.Values) {
		return func(q url.Values) { q[name] = values }
	}
	refused := func(code string) func(url.Values) {
		return func(q url.Values) {
			q.Del("code")
			q.Set("error", code)
			q.Set("error_description", "inner\n<script>")
		}
	}
	for name, tc := range map[string]struct {
		change    func(url.Values)
		want, log string
	}{
		"foreign iss":               {set("iss", "https://other.example.com"), fault, "of the issuer https://other.example.com"},
		"empty iss":                 {set("iss", ""), fault, "of the issuer"},
		"no iss":                    {set("iss"), fault, "lacks iss"},
		"two iss":                   {set("iss", "a", "b"), fault, "iss more than once"},
		"two codes":                 {set("code", "a", "b"), fault, "code more than once"},
		"neither code nor error":    {set("code"), fault, "neither code nor error"},
		"a code of nobody":          {set("code", "guessed"), fault, "invalid_grant"},
		"the person said no":        {refused("access_denied"), "access_denied", `inner\\n<script>`},
		"nobody is logged in":       {refused("login_required"), "access_denied", "login_required"},
		"the person has to do more": {refused("interaction_required"), "access_denied", "interaction_required"},
		"no consent":                {refused("consent_required"), "access_denied", "consent_required"},
		"it is overloaded":          {refused("temporarily_unavailable"), down, "temporarily_unavailable"},
		"it is broken":              {refused("server_error"), fault, "server_error"},
		"it says something long":    {refused(strings.Repeat("x", 5000)), fault, strings.Repeat("x", 300) + "...:"},
		"an error of a foreign iss": {func(q url.Values) { refused("access_denied")(q); q.Set("iss", "x") }, fault, "of the issuer x"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newOIDCEnv(t)
			e.idp.set(func() { e.idp.answer = tc.change })
			if got := e.hear(); got != tc.want {
				t.Errorf("client hears %q, want %q", got, tc.want)
			}
			if !e.logged(tc.log) {
				t.Errorf("log lacks %q: %v", tc.log, e.log.All())
			}
		})
	}
}

// TestOIDCAnswerOnce sends an answer again, alone and with the code of another
// login: nothing goes to the provider, and the client hears nothing (security
// FED-04, FED-06).
func TestOIDCAnswerOnce(t *testing.T) {
	e := newOIDCEnv(t)
	b := e.newBrowser()
	callback := e.callbackURL(b)
	other := e.newBrowser()
	if p := other.get(callback); p.status != http.StatusBadRequest || p.location != "" {
		t.Errorf("an answer in another browser = %d %s, want 400", p.status, p.location)
	}
	cookies := b.http.Jar.Cookies(mustParse(t, e.base+testPath+"/login"))
	if got := e.heard(b.get(callback)); got != "" {
		t.Errorf("client hears %q, want a code", got)
	}
	b.http.Jar.SetCookies(mustParse(t, e.base+testPath+"/login"), cookies) // as a browser that kept them
	asked := e.idp.count("/token")
	if p := b.get(callback); p.status != http.StatusBadRequest || p.location != "" || !strings.Contains(p.body, "This login is over") {
		t.Errorf("the same answer again = %d %s\n%s", p.status, p.location, p.body)
	}
	if again := e.idp.count("/token"); again != asked {
		t.Errorf("provider got %d token requests for it", again-asked)
	}
}

// TestOIDCForeignCode puts the code of one login into the answer to another (RFC
// 9700 section 4.5): PKCE stops it, and the nonce where a provider does not look
// at PKCE (security FED-07).
func TestOIDCForeignCode(t *testing.T) {
	for name, anyPKCE := range map[string]bool{"PKCE": false, "nonce": true} {
		t.Run(name, func(t *testing.T) {
			e := newOIDCEnv(t)
			e.idp.set(func() { e.idp.anyPKCE = anyPKCE })
			attacker := mustParse(t, e.callbackURL(e.newBrowser()))
			victim := e.newBrowser()
			u := mustParse(t, e.callbackURL(victim))
			q := u.Query()
			q.Set("code", attacker.Query().Get("code"))
			u.RawQuery = q.Encode()
			if got := e.heard(victim.get(u.String())); got != fault {
				t.Errorf("client hears %q, want %q", got, fault)
			}
		})
	}
}

// TestOIDCCallbackAlone comes to the callback without having been at the
// provider (security FED-03).
func TestOIDCCallbackAlone(t *testing.T) {
	e := newOIDCEnv(t)
	b := e.newBrowser()
	p := b.submit(b.get(e.authorizeURL(e.clientID)), "decision", "allow")
	q := mustParse(t, p.location).Query()
	q.Set("code", "guessed")
	if got := e.heard(b.get(testPath + "/login/callback?" + q.Encode())); got != "invalid_request" {
		t.Errorf("client hears %q, want invalid_request", got)
	}
	if n := e.idp.count("/token"); n != 0 {
		t.Errorf("provider got %d token requests", n)
	}
}

// TestOIDCBeforeConsent begins at what follows the consent page without having
// agreed there (security FED-14).
func TestOIDCBeforeConsent(t *testing.T) {
	e := newOIDCEnv(t)
	b := e.newBrowser()
	_, sealed := b.form(b.get(e.authorizeURL(e.clientID)))
	// A login of another browser tells how the cookie of one is called.
	agreed := e.newBrowser()
	login := mustParse(t, e.base+agreed.submit(agreed.get(e.authorizeURL(e.clientID)), "decision", "allow").location)
	for _, cookie := range agreed.http.Jar.Cookies(login) {
		cookie.Value = sealed
		b.http.Jar.SetCookies(login, []*http.Cookie{cookie})
	}
	for _, state := range []string{"", sealed, login.Query().Get("state")} {
		q := url.Values{"state": {state}, "code": {"x"}, "iss": {e.idp.URL}}.Encode()
		for _, path := range []string{"/login?", "/login/callback?"} {
			if p := b.get(testPath + path + q); p.status != http.StatusBadRequest || p.location != "" {
				t.Errorf("%s%s = %d %s, want 400", path, q, p.status, p.location)
			}
		}
	}
	// The provider's request of an attacker who agreed, in the victim's browser.
	request := e.toProvider(e.newBrowser()).location
	victim := e.newBrowser()
	if p := victim.get(victim.get(request).location); p.status != http.StatusBadRequest || p.location != "" {
		t.Errorf("the callback of another's request = %d %s, want 400", p.status, p.location)
	}
	for _, path := range []string{"/token", "/userinfo"} {
		if n := e.idp.count(path); n != 0 {
			t.Errorf("provider got %d requests at %s", n, path)
		}
	}
}

func TestOIDCMethods(t *testing.T) {
	e := newOIDCEnv(t)
	b := e.newBrowser()
	p := b.submit(b.get(e.authorizeURL(e.clientID)), "decision", "allow")
	if got := b.post(p.location, url.Values{}); got.status != http.StatusMethodNotAllowed || got.header.Get("Allow") != "GET" {
		t.Errorf("POST login = %d, Allow %q, want 405 and GET", got.status, got.header.Get("Allow"))
	}
}

// Security FED-01, FED-02.
func TestOIDCAuthorizeRequest(t *testing.T) {
	e := newOIDCEnv(t, func(c *authserver.OIDCConfig) {
		c.Scopes = []string{"email", "groups"}
		c.AuthorizeParams = map[string]string{"audience": "api", "prompt": "consent"}
	})
	b := e.newBrowser()
	first := e.toProvider(b)
	q := mustParse(t, first.location).Query()
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if len(q.Get(name)) < 22 {
			t.Errorf("%s is %q, want 22 characters at least", name, q.Get(name))
		}
		if name != "state" {
			q.Del(name)
		}
	}
	state := q.Get("state")
	q.Del("state")
	want := url.Values{
		"response_type": {"code"}, "client_id": {idpClient}, "redirect_uri": {e.base + testPath + "/login/callback"},
		"scope": {"openid email groups"}, "code_challenge_method": {"S256"}, "tenant": {"1"},
		"audience": {"api"}, "prompt": {"consent"},
	}
	if diff := cmp.Diff(want, q); diff != "" {
		t.Errorf("authorization request (-want +got):\n%s", diff)
	}
	if again := b.get(testPath + "/login?" + url.Values{"state": {state}}.Encode()); again.location != first.location {
		t.Errorf("the login page again leads to\n%s, want\n%s", again.location, first.location)
	}
}

// TestOIDCPrompt asks for another account, as the consent page's button does.
func TestOIDCPrompt(t *testing.T) {
	for name, tc := range map[string]struct {
		announced []string
		want      string
	}{
		"nothing announced":      {nil, "login"},
		"both announced":         {[]string{"none", "select_account", "login"}, "login"},
		"only choosing is known": {[]string{"none", "select_account"}, "select_account"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newOIDCEnv(t)
			e.idp.set(func() { e.idp.metadata = func(m map[string]any) { m["prompt_values_supported"] = tc.announced } })
			b := e.newBrowser()
			p := b.submit(b.get(e.authorizeURL(e.clientID)), "decision", "switch")
			if got := mustParse(t, b.get(p.location).location).Query().Get("prompt"); got != tc.want {
				t.Errorf("prompt is %q, want %q", got, tc.want)
			}
		})
	}
}

// reloaded is an identity that the operator changed while people log in.
type reloaded struct {
	authserver.Identity
	callback authserver.Identity
}

func (i reloaded) Login(w http.ResponseWriter, r *http.Request, l *authserver.Login) (*authserver.Person, error) {
	if l.Callback {
		return i.callback.Login(w, r, l)
	}
	return i.Identity.Login(w, r, l)
}

// TestOIDCProviderChanged: the code of one provider is not for another.
func TestOIDCProviderChanged(t *testing.T) {
	other := newIDP(t)
	e := newOIDCEnvWith(t, func(cfg *authserver.Config) {
		o, err := authserver.NewOIDCIdentity(authserver.OIDCConfig{Issuer: other.URL, ClientID: idpClient, ClientSecret: idpSecret, Now: cfg.Now})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Identity = reloaded{cfg.Identity, o}
	})
	e.idp.set(func() { e.idp.answer = func(q url.Values) { q.Set("iss", other.URL) } })
	if got := e.hear(); got != fault || !e.logged("begun at another identity provider") {
		t.Errorf("client hears %q, want %q", got, fault)
	}
	if n := other.count("/token"); n != 0 {
		t.Errorf("the other provider got %d token requests", n)
	}
}
