package local_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/internal/web"
	"github.com/alter-mcp/caddy-alter-mcp/store"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/connect"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/local"
)

// aeadSealer is a sealer of one random key.
type aeadSealer struct{ cipher.AEAD }

func newSealer(t *testing.T) aeadSealer {
	t.Helper()
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	return aeadSealer{gcm}
}

func (s aeadSealer) Seal(plain, ad []byte) ([]byte, error) {
	return s.AEAD.Seal(nil, nil, plain, ad), nil
}

func (s aeadSealer) Open(sealed, ad []byte) ([]byte, error) {
	return s.AEAD.Open(nil, nil, sealed, ad)
}

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// provider is a recording OAuth provider. Refresh tokens rotate; an old one is
// refused. answer, when set, answers the token endpoint instead.
type provider struct {
	*httptest.Server
	mu        sync.Mutex
	serial    int
	live      map[string]string // refresh token to account
	codes     map[string]string // code to account
	exchanges int
	refreshes int
	revoked   []string
	granted   string // scopes reported; empty: none
	lifetime  int    // seconds of an access token
	answer    func(w http.ResponseWriter, r *http.Request)
}

func newProvider(t *testing.T) *provider {
	p := &provider{live: map[string]string{}, codes: map[string]string{}, lifetime: 3600}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", p.serveToken)
	mux.HandleFunc("POST /revoke", func(_ http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.revoked = append(p.revoked, r.PostFormValue("token"))
		delete(p.live, r.PostFormValue("token"))
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func (p *provider) serveToken(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	answer := p.answer
	defer p.mu.Unlock()
	if answer != nil {
		answer(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	var account string
	if r.PostFormValue("grant_type") == "refresh_token" {
		p.refreshes++
		account = p.live[r.PostFormValue("refresh_token")]
		delete(p.live, r.PostFormValue("refresh_token"))
	} else {
		p.exchanges++
		account = p.codes[r.PostFormValue("code")]
		delete(p.codes, r.PostFormValue("code"))
	}
	if account == "" || r.PostFormValue("client_secret") != "secret" {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"error":"invalid_grant"}`)
		return
	}
	p.serial++
	refresh := fmt.Sprintf("refresh-%s-%d", account, p.serial)
	p.live[refresh] = account
	reply := map[string]any{
		"access_token": fmt.Sprintf("access-%s-%d", account, p.serial), "refresh_token": refresh, "expires_in": p.lifetime,
	}
	if p.granted != "" {
		reply["scope"] = p.granted
	}
	_ = json.NewEncoder(w).Encode(reply)
}

// set changes the provider's switches.
func (p *provider) set(f func(p *provider)) { p.mu.Lock(); defer p.mu.Unlock(); f(p) }

// code makes an authorization code for an account.
func (p *provider) code(account string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.serial++
	code := fmt.Sprintf("code-%d", p.serial)
	p.codes[code] = account
	return code
}

// printer renders pages as their JSON.
type printer struct{}

func (printer) Connect(w http.ResponseWriter, _ *http.Request, p web.Connect) { show(w, 200, p) }
func (printer) Account(w http.ResponseWriter, _ *http.Request, p web.Account) { show(w, 200, p) }
func (printer) Message(w http.ResponseWriter, _ *http.Request, p web.Message) { show(w, p.Status, p) }

func show(w http.ResponseWriter, status int, page any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(page)
}

// cookieBrowser logs in whoever the cookie "user" names, in the login that the
// cookie "session" names.
type cookieBrowser struct{}

func (cookieBrowser) Person(w http.ResponseWriter, r *http.Request) (connect.Person, bool) {
	c, err := r.Cookie("user")
	if err != nil {
		http.Redirect(w, r, "/mcp/login", http.StatusFound)
		return connect.Person{}, false
	}
	who := connect.Person{UserID: c.Value, Name: "Name of " + c.Value, Email: c.Value + "@example.com", Session: "session of " + c.Value}
	if c, err := r.Cookie("session"); err == nil {
		who.Session = c.Value
	}
	return who, true
}

// env is a vault with a real store, a recording provider, and its pages.
type env struct {
	*testing.T
	vault    *local.Vault
	cfg      local.Config // of the vault
	clock    *clock
	store    local.Store
	provider *provider
	told     told
	base     string
}

func newEnv(t *testing.T) *env {
	t.Helper()
	e := &env{T: t, clock: &clock{t: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}, provider: newProvider(t)}
	sealer := newSealer(t)
	db, err := store.OpenSQLite(context.Background(), filepath.Join(t.TempDir(), "test.db"),
		store.Options{Sealer: sealer, Fingerprint: "test", Now: e.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	e.store = db.Realm("test")
	e.cfg = local.Config{
		Endpoint: func(*http.Request) string { return e.base + "/mcp" },
		Providers: map[string]*vaultclient.Provider{"p": {
			Name: "p", Title: "Provider", ClientID: "id", ClientSecret: vaultclient.NewSecret("secret"),
			AuthorizationURL: e.provider.URL + "/authorize", TokenURL: e.provider.URL + "/token",
			RevocationURL: e.provider.URL + "/revoke", APIHosts: []string{"localhost:1"}, Scopes: []string{"read"},
		}},
		Store: e.store, Sealer: sealer, Browser: cookieBrowser{}, Pages: printer{}, HTTP: vaultclient.NewBase(), Now: e.clock.Now,
		Record: e.told.add,
	}
	e.vault = e.newVault(e.store)
	mux := http.NewServeMux()
	mux.HandleFunc("/mcp/connect", func(w http.ResponseWriter, r *http.Request) { e.vault.ServeConnect(w, r) })
	mux.HandleFunc("/mcp/connect/callback/own", func(w http.ResponseWriter, r *http.Request) { e.vault.ServeCallback(w, r) })
	mux.HandleFunc("/mcp/connect/callback", func(w http.ResponseWriter, r *http.Request) { e.vault.ServeCallback(w, r) })
	mux.HandleFunc("/mcp/account", func(w http.ResponseWriter, r *http.Request) { e.vault.ServeAccount(w, r) })
	ts := httptest.NewServer(mux)
	t.Cleanup(ts.Close)
	e.base = ts.URL
	return e
}

// newVault returns another vault like that of e, as a reload makes one while the
// old one still serves.
func (e *env) newVault(store local.Store) *local.Vault {
	e.Helper()
	cfg := e.cfg
	cfg.Store = store
	v, err := local.New(cfg)
	if err != nil {
		e.Fatal(err)
	}
	return v
}

// page is an answer that was read.
type page struct {
	status   int
	location string
	body     string
}

// member returns a field of a page that was printed.
func (p page) member(names ...string) any {
	var v any
	if json.Unmarshal([]byte(p.body), &v) != nil {
		return nil
	}
	for _, name := range names {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[name]
	}
	return v
}

type browser struct {
	*env
	http *http.Client
}

// newBrowser returns a browser in which user is logged in; "" is nobody.
func (e *env) newBrowser(user string) *browser {
	e.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		e.Fatal(err)
	}
	u, err := url.Parse(e.base)
	if err != nil {
		e.Fatal(err)
	}
	if user != "" {
		jar.SetCookies(u, []*http.Cookie{{Name: "user", Value: user}})
	}
	return &browser{e, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (b *browser) do(method, target string, form url.Values, header ...string) page {
	b.Helper()
	if strings.HasPrefix(target, "/") {
		target = b.base + target
	}
	req, err := http.NewRequest(method, target, strings.NewReader(form.Encode()))
	if err != nil {
		b.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := b.http.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	return page{resp.StatusCode, resp.Header.Get("Location"), string(body)}
}

func (b *browser) get(target string) page { b.Helper(); return b.do(http.MethodGet, target, nil) }

// link makes a link to connect for a user.
func (e *env) link(user string, scopes ...string) string {
	e.Helper()
	link, err := e.vault.ConnectURL(e.base+"/mcp", vaultclient.Request{UserID: user, Provider: "p", Scopes: scopes})
	if err != nil {
		e.Fatal(err)
	}
	return link
}

// begin opens a link and agrees; it returns where the provider is.
func (b *browser) begin(link string) page {
	b.Helper()
	p := b.get(link)
	token, _ := p.member("Form", "Token").(string)
	if p.status != http.StatusOK || token == "" {
		b.Fatalf("GET %s = %d %s", link, p.status, p.body)
	}
	return b.do(http.MethodPost, "/mcp/connect", url.Values{"token": {token}, "decision": {"allow"}}, "Origin", b.base)
}

// callback is where the provider sends the browser back to after p.
func (e *env) callback(p page, params url.Values) string {
	e.Helper()
	u, err := url.Parse(p.location)
	if err != nil || !strings.HasPrefix(p.location, e.provider.URL+"/authorize?") {
		e.Fatalf("no redirect to the provider: %d %q %s", p.status, p.location, p.body)
	}
	params.Set("state", u.Query().Get("state"))
	return "/mcp/connect/callback?" + params.Encode()
}

// connect connects a user's account of the same name.
func (e *env) connect(user string, scopes ...string) {
	e.Helper()
	b := e.newBrowser(user)
	p := b.get(e.callback(b.begin(e.link(user, scopes...)), url.Values{"code": {e.provider.code(user)}}))
	if p.status != http.StatusOK || p.member("OK") != true {
		e.Fatalf("callback = %d %s", p.status, p.body)
	}
}

// token returns the access token that the vault gives for a user.
func (e *env) token(user string, scopes ...string) (string, error) {
	c, err := e.vault.Credential(context.Background(), vaultclient.Request{UserID: user, Provider: "p", Scopes: scopes})
	if err != nil {
		return "", err
	}
	return c.Token.Reveal(), nil
}
