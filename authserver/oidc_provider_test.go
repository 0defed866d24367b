package authserver_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

const (
	idpClient = "acme"
	idpSecret = "the client's secret+/%"
)

// idp is an OpenID Connect provider whose every answer a test can change.
type idp struct {
	*testing.T
	*httptest.Server
	clock *clock
	key   jwk.Key

	mu       sync.Mutex
	codes    map[string]url.Values // authorization requests by code
	requests []url.Values          // authorization requests
	asked    map[string]int        // requests by path

	// What a test changes; nil leaves the answer as it is.
	metadata func(map[string]any)
	answer   func(url.Values) // the authorization response
	claims   func(map[string]any)
	sign     func(claims map[string]any) string
	token    http.HandlerFunc
	keys     http.HandlerFunc
	userinfo http.HandlerFunc
	anyPKCE  bool // takes any verifier
}

func newIDP(t *testing.T) *idp {
	t.Helper()
	p := &idp{T: t, key: newSigningKey(t, "first"), codes: make(map[string]url.Values), asked: make(map[string]int)}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", p.serveMetadata)
	mux.HandleFunc("/authorize", p.serveAuthorize)
	mux.HandleFunc("/token", p.serveToken)
	mux.HandleFunc("/keys", p.serveKeys)
	mux.HandleFunc("/userinfo", func(w http.ResponseWriter, r *http.Request) {
		if serve := get(p, &p.userinfo); serve != nil {
			serve(w, r)
			return
		}
		http.Error(w, "no", http.StatusForbidden)
	})
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked[r.URL.Path]++
		p.mu.Unlock()
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func newSigningKey(t *testing.T, kid string) jwk.Key {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := jwk.FromRaw(private)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]any{jwk.KeyIDKey: kid, jwk.AlgorithmKey: jwa.ES256} {
		if err := key.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	return key
}

// set changes an answer while requests may come.
func (p *idp) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// get reads what a test may change.
func get[V any](p *idp, v *V) V {
	p.mu.Lock()
	defer p.mu.Unlock()
	return *v
}

// count returns how often a path was asked.
func (p *idp) count(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[path]
}

func (p *idp) serveMetadata(w http.ResponseWriter, _ *http.Request) {
	m := map[string]any{
		"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize?tenant=1", "token_endpoint": p.URL + "/token",
		"jwks_uri": p.URL + "/keys", "userinfo_endpoint": p.URL + "/userinfo",
		"id_token_signing_alg_values_supported":          []string{"ES256", "HS256", "none"},
		"authorization_response_iss_parameter_supported": true,
	}
	if change := get(p, &p.metadata); change != nil {
		change(m)
	}
	writeJSON(w, http.StatusOK, m)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the test fails on what is missing
}

// serveAuthorize lets everybody in as the person "42".
func (p *idp) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	code := q.Get("nonce") + "-code"
	p.mu.Lock()
	p.codes[code] = q
	p.requests = append(p.requests, q)
	p.mu.Unlock()
	answer := url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {p.URL}}
	if change := get(p, &p.answer); change != nil {
		change(answer)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+answer.Encode(), http.StatusFound)
}

func (p *idp) serveToken(w http.ResponseWriter, r *http.Request) {
	if serve := get(p, &p.token); serve != nil {
		serve(w, r)
		return
	}
	name, secret, _ := r.BasicAuth()
	if secret, _ = url.QueryUnescape(secret); name != idpClient || secret != idpSecret {
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return
	}
	p.giveTokens(w, r)
}

// giveTokens redeems the code of a client that is who it says.
func (p *idp) giveTokens(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	q, ok := p.codes[r.FormValue("code")]
	delete(p.codes, r.FormValue("code"))
	p.mu.Unlock()
	if !ok || r.FormValue("redirect_uri") != q.Get("redirect_uri") ||
		!get(p, &p.anyPKCE) && challengeOf(r.FormValue("code_verifier")) != q.Get("code_challenge") {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_grant", "error_description": "inner\n<b>detail</b>"})
		return
	}
	now := p.clock.Now().Unix()
	claims := map[string]any{
		"iss": p.URL, "sub": "42", "aud": idpClient, "iat": now, "exp": now + 300, "nonce": q.Get("nonce"),
		"email": "alice@example.com", "email_verified": true, "name": "Alice", "groups": []string{"staff"},
	}
	if change := get(p, &p.claims); change != nil {
		change(claims)
	}
	answer := map[string]any{"access_token": "at", "token_type": "Bearer", "id_token": p.signed(claims, get(p, &p.key))}
	if change := get(p, &p.sign); change != nil {
		answer["id_token"] = change(claims)
	}
	writeJSON(w, http.StatusOK, answer)
}

func (p *idp) signed(claims map[string]any, key jwk.Key) string {
	body, err := json.Marshal(claims)
	if err != nil {
		p.Fatal(err)
	}
	token, err := jws.Sign(body, jws.WithKey(jwa.ES256, key))
	if err != nil {
		p.Fatal(err)
	}
	return string(token)
}

func (p *idp) serveKeys(w http.ResponseWriter, r *http.Request) {
	if serve := get(p, &p.keys); serve != nil {
		serve(w, r)
		return
	}
	public, err := get(p, &p.key).PublicKey()
	if err != nil {
		p.Error(err)
	}
	writeJSON(w, http.StatusOK, map[string]any{"keys": []any{public}})
}

// oidcEnv is an authorization server whose people log in at an idp.
type oidcEnv struct {
	*env
	idp      *idp
	clientID string
	log      *observer.ObservedLogs
}

func newOIDCEnv(t *testing.T, change ...func(*authserver.OIDCConfig)) *oidcEnv {
	t.Helper()
	return newOIDCEnvWith(t, func(*authserver.Config) {}, change...)
}

// newOIDCEnvWith is newOIDCEnv with a change of the server's configuration, too.
func newOIDCEnvWith(t *testing.T, server func(*authserver.Config), change ...func(*authserver.OIDCConfig)) *oidcEnv {
	t.Helper()
	core, log := observer.New(zapcore.DebugLevel)
	logger, provider := zap.New(core), newIDP(t)
	e := &oidcEnv{idp: provider, log: log}
	identity := func(cfg *authserver.Config) {
		provider.clock = &clock{t: cfg.Now()}
		oidc := authserver.OIDCConfig{
			Issuer: provider.URL, ClientID: idpClient, ClientSecret: idpSecret, Now: cfg.Now, Logger: logger,
		}
		for _, f := range change {
			f(&oidc)
		}
		o, err := authserver.NewOIDCIdentity(oidc)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Identity, cfg.Logger = o, logger
	}
	e.env = newEnv(t, identity, server)
	e.idp.clock = e.clock
	e.clientID = e.publicClient()
	return e
}

// toProvider goes from the client to the provider's address.
func (e *oidcEnv) toProvider(b *browser) page {
	e.Helper()
	p := b.submit(b.get(e.authorizeURL(e.clientID)), "decision", "allow")
	if !strings.HasPrefix(p.location, testPath+"/login?") {
		e.Fatalf("consent leads to %d %s", p.status, p.location)
	}
	return b.get(p.location)
}

// callbackURL goes on to the address that the provider sends the browser back to.
func (e *oidcEnv) callbackURL(b *browser) string {
	e.Helper()
	p := e.toProvider(b)
	if !strings.HasPrefix(p.location, e.idp.URL+"/authorize?") {
		e.Fatalf("login leads to %d %q, want the provider", p.status, p.location)
	}
	return b.get(p.location).location
}

// hear logs in, returns what the client is told: an error code or "", and fails
// when the provider's words are among it.
func (e *oidcEnv) hear() string {
	e.Helper()
	b := e.newBrowser()
	return e.heard(b.get(e.callbackURL(b)))
}

func (e *oidcEnv) heard(p page) string {
	e.Helper()
	if strings.Contains(p.location, "inner") || strings.Contains(p.body, "inner") {
		e.Errorf("the provider's words go out: %s %s", p.location, p.body)
	}
	q := e.params(p)
	if q.Get("state") != "st&te=ü" || q.Get("iss") != e.base+testPath || q.Has("code") == q.Has("error") {
		e.Errorf("answer to the client is %v", q)
	}
	return q.Get("error")
}

// person returns who the user of a login is.
func (e *oidcEnv) person() *authserver.User {
	e.Helper()
	b := e.newBrowser()
	code := e.params(b.get(e.callbackURL(b))).Get("code")
	status, answer, _ := e.token(codeForm(e.clientID, code))
	if status != http.StatusOK {
		e.Fatalf("token = %d %v", status, answer)
	}
	access, err := e.server.Verify(e.Context(), answer["access_token"].(string), e.base+testPath)
	if err != nil {
		e.Fatal(err)
	}
	return access.User
}

// logged reports whether a line of the log holds a text.
func (e *oidcEnv) logged(text string) bool {
	for _, entry := range e.log.All() {
		b, err := zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "msg"}).EncodeEntry(entry.Entry, entry.Context)
		if err != nil {
			e.Fatal(err)
		}
		if strings.Contains(b.String(), text) {
			return true
		}
	}
	return false
}

// await waits for what happens in the background.
func (e *oidcEnv) await(what string, happened func() bool) {
	e.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !happened() {
		select {
		case <-tick.C:
		case <-deadline:
			e.Fatalf("%s: waited too long", what)
		}
	}
}
