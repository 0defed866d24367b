package authserver_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// answerWith answers each request with a body.
func answerWith(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body)) // the reader may have had enough
	}
}

func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// echo refuses and repeats what it was sent.
func echo(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusBadRequest)
	fmt.Fprintf(w, `{"error":"invalid_grant","error_description":"code %s, verifier %s, of %s"}`, r.PostForm["code"], r.PostForm["code_verifier"], r.PostForm["redirect_uri"])
}

const mebibyte = 1 << 20

// Security OPS-01, OPS-06.
func TestOIDCTokenEndpoint(t *testing.T) {
	for name, tc := range map[string]struct {
		serve     http.HandlerFunc
		want, log string
	}{
		"it hangs up":       {hangUp, down, "EOF"},
		"503":               {answerWith(503, "inner"), down, "token endpoint answers 503"},
		"429":               {answerWith(429, "inner"), down, "token endpoint answers 429"},
		"an unknown code":   {answerWith(400, `{"error":"invalid_grant","error_description":"inner\u0007"}`), fault, `400 invalid_grant: inner\\a`},
		"it repeats codes":  {echo, fault, "code [[hidden]], verifier [[hidden]], of [http"},
		"an error with 200": {answerWith(200, `{"error":"invalid_grant"}`), fault, "200 invalid_grant"},
		"a redirect elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/inner", http.StatusTemporaryRedirect)
		}, fault, "token endpoint answers 307"},
		"no JSON":                 {answerWith(200, "<html>inner"), fault, "cannot parse json"},
		"JSON of another shape":   {answerWith(200, `["inner"]`), fault, "cannot parse json"},
		"no access token":         {answerWith(200, `{"id_token":"inner"}`), fault, "missing access_token"},
		"no ID token":             {answerWith(200, `{"access_token":"inner"}`), fault, "gave no ID token"},
		"an ID token of a number": {answerWith(200, `{"access_token":"inner","id_token":7}`), fault, "gave no ID token"},
		"nothing":                 {answerWith(200, ""), fault, "cannot parse json"},
		"too much":                {answerWith(200, `{"access_token":"`+strings.Repeat("a", 2*mebibyte)+`"}`), fault, "redeeming the code"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newOIDCEnv(t)
			e.idp.set(func() { e.idp.token = tc.serve })
			if got := e.hear(); got != tc.want {
				t.Errorf("client hears %q, want %q", got, tc.want)
			}
			if !e.logged(tc.log) {
				t.Errorf("log lacks %q: %v", tc.log, e.log.All())
			}
			if n := e.idp.count("/inner"); n != 0 {
				t.Errorf("%d redirects were followed", n)
			}
			e.idp.set(func() { e.idp.token = nil })
			if got := e.hear(); got != "" {
				t.Errorf("client hears %q after the next login, want a code", got)
			}
		})
	}
}

// Security JWKS-02.
func TestOIDCKeys(t *testing.T) {
	for name, serve := range map[string]http.HandlerFunc{
		"hangs up": hangUp, "503": answerWith(503, "inner"), "no JSON": answerWith(200, "<html>inner"),
		"an empty set": answerWith(200, `{"keys":[]}`),
		"too much":     answerWith(200, `{"keys":[],"x":"`+strings.Repeat("a", 10*mebibyte)+`"}`),
	} {
		t.Run(name, func(t *testing.T) {
			e := newOIDCEnv(t)
			if got := e.hear(); got != "" {
				t.Fatalf("client hears %q, want a code", got)
			}
			e.idp.set(func() { e.idp.keys = serve })
			if got := e.hear(); got != "" {
				t.Errorf("client hears %q while the known keys still fit, want a code", got)
			}
			e.idp.set(func() { e.idp.key = newSigningKey(t, "second") })
			if got := e.hear(); got != fault {
				t.Errorf("client hears %q, want %q", got, fault)
			}
			for _, entry := range e.log.All() {
				b, err := json.Marshal(entry.ContextMap())
				if err != nil || len(b) > 2000 {
					t.Errorf("log has a line of %d bytes (%v)", len(b), err)
				}
			}
			e.idp.set(func() { e.idp.keys = nil })
			if got := e.hear(); got != "" {
				t.Errorf("client hears %q with the new keys, want a code", got)
			}
		})
	}
}

// TestOIDCKeysAreShared lets many people log in at once after the provider changed
// its keys (security JWKS-01).
func TestOIDCKeysAreShared(t *testing.T) {
	const people = 8
	e := newOIDCEnv(t)
	if got := e.hear(); got != "" {
		t.Fatalf("client hears %q, want a code", got)
	}
	known := e.idp.count("/keys")
	answer := make(chan struct{})
	e.idp.set(func() {
		e.idp.key = newSigningKey(t, "second")
		e.idp.token = func(w http.ResponseWriter, r *http.Request) {
			<-answer
			e.idp.giveTokens(w, r)
		}
	})
	redeemed := e.idp.count("/token")
	var waiting sync.WaitGroup
	for range people {
		b := e.newBrowser()
		callback := e.callbackURL(b)
		waiting.Go(func() {
			if got := e.heard(b.get(callback)); got != "" {
				t.Errorf("client hears %q, want a code", got)
			}
		})
	}
	e.await("all to redeem their codes", func() bool { return e.idp.count("/token") == redeemed+people })
	close(answer)
	waiting.Wait()
	// One whose look at the old keys was over when the new ones came asks again.
	if n := e.idp.count("/keys") - known; n < 1 || n > people/2 {
		t.Errorf("keys were read %d times by %d people, want once", n, people)
	}
	e.idp.set(func() { e.idp.token = nil })
	known = e.idp.count("/keys")
	if got := e.hear(); got != "" || e.idp.count("/keys") != known {
		t.Errorf("client hears %q and the keys are read %d times more, want a code and none", got, e.idp.count("/keys")-known)
	}
}

// TestOIDCClientAuthentication finds out how the provider wants this client to
// authenticate.
func TestOIDCClientAuthentication(t *testing.T) {
	secretPost := func(e *oidcEnv, w http.ResponseWriter, r *http.Request) {
		if _, _, basic := r.BasicAuth(); basic || r.FormValue("client_id") != idpClient || r.FormValue("client_secret") != idpSecret {
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_client"})
			return
		}
		e.idp.giveTokens(w, r)
	}
	public := func(e *oidcEnv, w http.ResponseWriter, r *http.Request) {
		if r.FormValue("client_id") != idpClient || r.Form.Has("client_secret") || r.Header.Get("Authorization") != "" {
			writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
			return
		}
		e.idp.giveTokens(w, r)
	}
	for name, tc := range map[string]struct {
		secret   string
		methods  []string
		token    func(*oidcEnv, http.ResponseWriter, *http.Request) // nil: client_secret_basic
		want     string
		requests int
	}{
		"basic, nothing announced":   {idpSecret, nil, nil, "", 1},
		"post, nothing announced":    {idpSecret, nil, secretPost, "", 2},
		"post, both announced":       {idpSecret, []string{"client_secret_basic", "client_secret_post"}, secretPost, "", 2},
		"post alone announced":       {idpSecret, []string{"client_secret_post"}, secretPost, "", 1},
		"neither announced":          {idpSecret, []string{"private_key_jwt"}, nil, "", 1},
		"the secret is wrong":        {"wrong", nil, nil, fault, 2},
		"a public client":            {"", []string{"client_secret_basic", "none"}, public, "", 1},
		"a public client is refused": {"", nil, nil, fault, 1},
	} {
		t.Run(name, func(t *testing.T) {
			e := newOIDCEnv(t, func(c *authserver.OIDCConfig) { c.ClientSecret = tc.secret })
			e.idp.set(func() {
				e.idp.metadata = func(m map[string]any) { m["token_endpoint_auth_methods_supported"] = tc.methods }
			})
			if tc.token != nil {
				e.idp.set(func() { e.idp.token = func(w http.ResponseWriter, r *http.Request) { tc.token(e, w, r) } })
			}
			if got := e.hear(); got != tc.want {
				t.Errorf("client hears %q, want %q", got, tc.want)
			}
			if got := e.idp.count("/token"); got != tc.requests {
				t.Errorf("provider got %d token requests, want %d", got, tc.requests)
			}
		})
	}
}

func TestOIDCDiscovery(t *testing.T) {
	for name, tc := range map[string]struct {
		metadata func(e *oidcEnv, m map[string]any)
		log      string
	}{
		"all tenants of Entra":   {func(e *oidcEnv, m map[string]any) { m["issuer"] = "https://login.microsoftonline.com/{tenantid}/v2.0" }, "name the tenant whose people log in"},
		"another issuer":         {func(_ *oidcEnv, m map[string]any) { m["issuer"] = "https://other.example.com" }, "calls itself https://other.example.com"},
		"no issuer":              {func(_ *oidcEnv, m map[string]any) { delete(m, "issuer") }, "calls itself"},
		"two slashes more":       {func(e *oidcEnv, m map[string]any) { m["issuer"] = e.idp.URL + "//" }, "calls itself"},
		"no token endpoint":      {func(_ *oidcEnv, m map[string]any) { delete(m, "token_endpoint") }, "token_endpoint"},
		"no keys":                {func(_ *oidcEnv, m map[string]any) { delete(m, "jwks_uri") }, "jwks_uri"},
		"keys over plain http":   {func(_ *oidcEnv, m map[string]any) { m["jwks_uri"] = "http://login.example.com/keys" }, "jwks_uri"},
		"a script as login":      {func(_ *oidcEnv, m map[string]any) { m["authorization_endpoint"] = "javascript:alert(1)" }, "authorization_endpoint"},
		"userinfo in plain text": {func(_ *oidcEnv, m map[string]any) { m["userinfo_endpoint"] = "http://login.example.com/me" }, "userinfo_endpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newOIDCEnv(t)
			e.idp.set(func() { e.idp.metadata = func(m map[string]any) { tc.metadata(e, m) } })
			if got := e.heard(e.toProvider(e.newBrowser())); got != down {
				t.Errorf("client hears %q, want %q", got, down)
			}
			if !e.logged(tc.log) {
				t.Errorf("log lacks %q: %v", tc.log, e.log.All())
			}
		})
	}
}

// TestOIDCTrailingSlash has a provider with a slash that the configuration lacks,
// and the other way round.
func TestOIDCTrailingSlash(t *testing.T) {
	for name, tc := range map[string]struct{ configured, own string }{
		"one too few": {"", "/"}, "one too many": {"/", ""}, "the same": {"/", "/"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newOIDCEnv(t, func(c *authserver.OIDCConfig) { c.Issuer += tc.configured })
			e.idp.set(func() { e.idp.metadata = func(m map[string]any) { m["issuer"] = e.idp.URL + tc.own } })
			e.idp.set(func() { e.idp.answer = func(q url.Values) { q.Set("iss", e.idp.URL+tc.own) } })
			e.idp.set(func() { e.idp.claims = func(c map[string]any) { c["iss"] = e.idp.URL + tc.own } })
			if got := e.person(); got.Issuer != e.idp.URL+tc.own {
				t.Errorf("issuer of the person is %s, want that of the provider, %s", got.Issuer, e.idp.URL+tc.own)
			}
		})
	}
}

// countedIdentity counts the requests that reach an identity.
type countedIdentity struct {
	authserver.Identity
	came chan struct{}
}

func (c countedIdentity) Login(w http.ResponseWriter, r *http.Request, l *authserver.Login) (*authserver.Person, error) {
	c.came <- struct{}{}
	return c.Identity.Login(w, r, l)
}

// TestOIDCDiscoveryIsShared lets many people log in at once, before the provider
// has said anything.
func TestOIDCDiscoveryIsShared(t *testing.T) {
	const people = 8
	came := make(chan struct{}, people)
	provider := newIDP(t)
	e := newEnv(t, func(cfg *authserver.Config) {
		o, err := authserver.NewOIDCIdentity(authserver.OIDCConfig{Issuer: provider.URL, ClientID: idpClient, Now: cfg.Now})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Identity = countedIdentity{o, came}
	})
	answer := make(chan struct{})
	provider.set(func() { provider.metadata = func(map[string]any) { <-answer } })
	clientID := e.publicClient()
	var waiting sync.WaitGroup
	for range people {
		b := e.newBrowser()
		login := b.submit(b.get(e.authorizeURL(clientID)), "decision", "allow")
		waiting.Go(func() {
			if p := b.get(login.location); !strings.HasPrefix(p.location, provider.URL) {
				t.Errorf("login leads to %d %s", p.status, p.location)
			}
		})
	}
	for range people {
		<-came
	}
	close(answer)
	waiting.Wait()
	if n := provider.count("/.well-known/openid-configuration"); n != 1 {
		t.Errorf("configuration was read %d times, want once", n)
	}
}

// TestOIDCDiscoveryAge follows a provider's configuration over a day: a failure
// is kept for 10 s, a success for 24 h, and the old one goes on while a new one
// cannot be had.
func TestOIDCDiscoveryAge(t *testing.T) {
	const path = "/.well-known/openid-configuration"
	e := newOIDCEnv(t)
	broken := true
	var mu sync.Mutex
	e.idp.metadata = func(m map[string]any) {
		mu.Lock()
		defer mu.Unlock()
		if broken {
			clear(m)
		}
	}
	setBroken := func(b bool) { mu.Lock(); defer mu.Unlock(); broken = b }
	begin := func() page { e.Helper(); return e.toProvider(e.newBrowser()) }
	step := func(what, want string, asked int) {
		t.Helper()
		p := begin()
		got := ""
		if !strings.HasPrefix(p.location, e.idp.URL) {
			got = e.heard(p)
		}
		if got != want {
			t.Fatalf("%s: client hears %q, want %q", what, got, want)
		}
		e.await(what, func() bool { return e.idp.count(path) >= asked }) // the background catches up
		if got := e.idp.count(path); got != asked {
			t.Fatalf("%s: configuration was read %d times, want %d", what, got, asked)
		}
	}
	step("at first", down, 1)
	setBroken(false)
	step("right after", down, 1)
	e.clock.advance(10 * time.Second)
	step("10 s later", "", 2)
	e.clock.advance(24*time.Hour - time.Second)
	step("within a day", "", 2)
	setBroken(true)
	e.clock.advance(time.Second)
	step("a day later", "", 3)
	e.await("the failure in the log", func() bool { return e.logged("the old one goes on") })
	step("after a failure", "", 3)
	setBroken(false)
	e.clock.advance(10 * time.Second)
	step("another 10 s later", "", 4)
}

func TestOIDCConfig(t *testing.T) {
	good := authserver.OIDCConfig{Issuer: "https://login.example.com", ClientID: "acme"}
	for name, tc := range map[string]struct {
		change func(*authserver.OIDCConfig)
		want   string
	}{
		"enough":               {func(*authserver.OIDCConfig) {}, ""},
		"http on loopback":     {func(c *authserver.OIDCConfig) { c.Issuer = "http://localhost:9000/realms/acme" }, ""},
		"one tenant of Entra":  {func(c *authserver.OIDCConfig) { c.Issuer = "https://login.microsoftonline.com/5b7…/v2.0" }, ""},
		"http elsewhere":       {func(c *authserver.OIDCConfig) { c.Issuer = "http://login.example.com" }, "https"},
		"no issuer":            {func(c *authserver.OIDCConfig) { c.Issuer = "" }, "issuer"},
		"a host alone":         {func(c *authserver.OIDCConfig) { c.Issuer = "login.example.com" }, "issuer"},
		"a query":              {func(c *authserver.OIDCConfig) { c.Issuer += "?p=signin" }, "without query"},
		"a password":           {func(c *authserver.OIDCConfig) { c.Issuer = "https://a:b@login.example.com" }, "user information"},
		"all tenants of Entra": {func(c *authserver.OIDCConfig) { c.Issuer = "https://login.microsoftonline.com/common/v2.0" }, "<tenant id>"},
		"all its companies":    {func(c *authserver.OIDCConfig) { c.Issuer = "https://login.microsoftonline.com/Organizations/v2.0/" }, "<tenant id>"},
		"no client ID":         {func(c *authserver.OIDCConfig) { c.ClientID = "" }, "client ID"},
		"scopes in one text":   {func(c *authserver.OIDCConfig) { c.Scopes = []string{"openid email"} }, "scope"},
		"a parameter of ours":  {func(c *authserver.OIDCConfig) { c.AuthorizeParams = map[string]string{"Response_Mode": "fragment"} }, "Response_Mode"},
		"one without a name":   {func(c *authserver.OIDCConfig) { c.AuthorizeParams = map[string]string{"": "x"} }, "parameter"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good
			tc.change(&cfg)
			_, err := authserver.NewOIDCIdentity(cfg)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("NewOIDCIdentity(%+v) = %v, want %q", cfg, err, tc.want)
			}
		})
	}
}

func TestOIDCKnows(t *testing.T) {
	o, err := authserver.NewOIDCIdentity(authserver.OIDCConfig{Issuer: "https://login.example.com", ClientID: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, issuer := range []string{"https://login.example.com", "https://login.example.com/", "https://other.example.com", "urn:alter-mcp:local"} {
		got[issuer] = o.Knows(issuer)
	}
	want := map[string]bool{"https://login.example.com": true, "https://login.example.com/": true, "https://other.example.com": false, "urn:alter-mcp:local": false}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Knows (-want +got):\n%s", diff)
	}
}
