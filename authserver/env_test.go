package authserver_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
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

	"golang.org/x/net/html"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
	"github.com/alter-mcp/caddy-alter-mcp/internal/web"
	"github.com/alter-mcp/caddy-alter-mcp/store"
)

const (
	testRealm = "test realm"
	testPath  = "/mcp"
	callback  = "http://127.0.0.1:4711/callback"
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636 appendix B
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

// aeadSealer is a sealer of one random key.
type aeadSealer struct{ cipher.AEAD }

func newSealer(t testing.TB) aeadSealer {
	t.Helper()
	block, err := aes.NewCipher(randomBytes(32))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	return aeadSealer{gcm}
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func (s aeadSealer) Seal(plain, ad []byte) ([]byte, error) {
	return s.AEAD.Seal(nil, nil, plain, ad), nil
}

func (s aeadSealer) Open(sealed, ad []byte) ([]byte, error) { return s.AEAD.Open(nil, nil, sealed, ad) }

// clock is a clock that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// env is an authorization server on loopback with a real store and real pages.
type env struct {
	testing.TB
	server *authserver.Server
	base   string // origin
	clock  *clock
	store  *store.Realm
}

func newEnv(t testing.TB, change ...func(*authserver.Config)) *env {
	t.Helper()
	e := &env{TB: t, clock: &clock{t: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}}
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
	e.store = db.Realm(testRealm)
	pages, err := web.New(web.Site{Name: "Test tools", Path: testPath})
	if err != nil {
		t.Fatal(err)
	}
	cfg := authserver.Config{
		Name: "Test tools", Path: testPath, Realm: testRealm,
		Endpoint:      func(*http.Request) string { return e.base + testPath },
		Identity:      authserver.NewPasswordIdentity(checkPassword),
		IdentityTitle: "test accounts", Store: e.store, Sealer: sealer, Pages: pages, Now: e.clock.Now,
		Registration: authserver.Registration{Rate: 10_000},
	}
	for _, f := range change {
		f(&cfg)
	}
	if e.server, err = authserver.New(cfg); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for path, serve := range e.server.Routes() {
		mux.HandleFunc(testPath+path, serve)
	}
	mux.HandleFunc("/.well-known/oauth-authorization-server"+testPath, e.server.ServeServerMetadata)
	mux.HandleFunc("/.well-known/oauth-protected-resource"+testPath, e.server.ServeResourceMetadata)
	mux.HandleFunc(testPath+"/connect", func(w http.ResponseWriter, r *http.Request) {
		if p, ok := e.server.Person(w, r); ok {
			_, _ = io.WriteString(w, "person "+p.Name)
		}
	})
	ts := httptest.NewServer(mux)
	t.Cleanup(ts.Close)
	e.base = ts.URL
	return e
}

// checkPassword knows alice and bob, whose passwords are their names reversed.
func checkPassword(_ context.Context, name, password string) (*authserver.Person, error) {
	if (name == "alice" && password == "ecila") || (name == "bob" && password == "bob!") {
		return &authserver.Person{
			Issuer: "urn:test", Subject: name,
			Profile: authserver.Profile{Name: strings.ToUpper(name[:1]) + name[1:], Email: name + "@example.com", EmailVerified: true},
		}, nil
	}
	return nil, nil
}

// passwords of the people that checkPassword knows.
func passwordOf(name string) string {
	return map[string]string{"alice": "ecila", "bob": "bob!"}[name]
}

// browser is a person's browser: cookies, and no redirects followed by itself.
type browser struct {
	*env
	http *http.Client
}

func (e *env) newBrowser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		e.Fatal(err)
	}
	return &browser{e, &http.Client{
		Jar:           jar,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// page is an answer that was read.
type page struct {
	status   int
	header   http.Header
	location string
	body     string
}

func (b *browser) do(req *http.Request) page {
	b.Helper()
	resp, err := b.http.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	return page{resp.StatusCode, resp.Header, resp.Header.Get("Location"), string(body)}
}

func (b *browser) get(target string) page {
	b.Helper()
	req, err := http.NewRequest(http.MethodGet, b.absolute(target), nil)
	if err != nil {
		b.Fatal(err)
	}
	return b.do(req)
}

func (b *browser) absolute(target string) string {
	if strings.HasPrefix(target, "/") {
		return b.base + target
	}
	return target
}

func (b *browser) post(target string, form url.Values, header ...string) page {
	b.Helper()
	req, err := http.NewRequest(http.MethodPost, b.absolute(target), strings.NewReader(form.Encode()))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return b.do(req)
}

// form returns action and hidden token of the page's first form.
func (b *browser) form(p page) (action, token string) {
	b.Helper()
	doc, err := html.Parse(strings.NewReader(p.body))
	if err != nil {
		b.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if n.Data == "form" && action == "" {
			action = attr(n, "action")
		}
		if n.Data == "input" && attr(n, "name") == "token" && token == "" {
			token = attr(n, "value")
		}
	}
	if action == "" || token == "" {
		b.Fatalf("no form with a token in status %d:\n%s", p.status, p.body)
	}
	return action, token
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// submit posts the form of a page.
func (b *browser) submit(p page, fields ...string) page {
	b.Helper()
	action, token := b.form(p)
	form := url.Values{"token": {token}}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return b.post(action, form, "Origin", b.base)
}

// authorizeURL is a good authorization request, with changes: a name and a
// value, or a name and "-" to leave it out.
func (e *env) authorizeURL(clientID string, change ...string) string {
	q := url.Values{
		"response_type": {"code"}, "client_id": {clientID}, "redirect_uri": {callback},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"}, "state": {"st&te=ü"},
		"resource": {e.base + testPath},
	}
	for i := 0; i+1 < len(change); i += 2 {
		if change[i+1] == "-" {
			q.Del(change[i])
		} else {
			q.Set(change[i], change[i+1])
		}
	}
	return e.base + testPath + "/authorize?" + q.Encode()
}

// approve goes from the authorization request through consent and login to the
// redirect to the client.
func (b *browser) approve(authorize, name string) page {
	b.Helper()
	p := b.get(authorize)
	if p.status != http.StatusOK {
		b.Fatalf("GET authorize = %d %s\n%s", p.status, p.location, p.body)
	}
	p = b.submit(p, "decision", "allow")
	if p.status != http.StatusSeeOther {
		b.Fatalf("POST consent = %d\n%s", p.status, p.body)
	}
	if !strings.HasPrefix(p.location, testPath+"/login?") {
		return p // was logged in
	}
	return b.submit(b.get(p.location), "username", name, "password", passwordOf(name))
}

// codeOf returns the parameters of a redirect to the client.
func (e *env) params(p page) url.Values {
	e.Helper()
	u, err := url.Parse(p.location)
	if err != nil || p.location == "" {
		e.Fatalf("no redirect: %d\n%s", p.status, p.body)
	}
	return u.Query()
}

// register registers a client and returns the answer.
func (e *env) register(body string) (int, map[string]any) {
	e.Helper()
	p := e.newBrowser().postJSON(testPath+"/register", body)
	var answer map[string]any
	if err := json.Unmarshal([]byte(p.body), &answer); err != nil {
		e.Fatalf("register = %d %q: %v", p.status, p.body, err)
	}
	return p.status, answer
}

func (b *browser) postJSON(target, body string) page {
	b.Helper()
	req, err := http.NewRequest(http.MethodPost, b.absolute(target), strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	return b.do(req)
}

// publicClient registers a native client and returns its id.
func (e *env) publicClient() string {
	e.Helper()
	status, answer := e.register(`{"client_name":"Test client","redirect_uris":["` + callback + `"],"token_endpoint_auth_method":"none"}`)
	if status != http.StatusCreated {
		e.Fatalf("register = %d %v", status, answer)
	}
	return answer["client_id"].(string)
}

// token posts to the token endpoint and returns status and answer.
func (e *env) token(form url.Values, header ...string) (int, map[string]any, http.Header) {
	e.Helper()
	p := e.newBrowser().post(testPath+"/token", form, header...)
	var answer map[string]any
	if err := json.Unmarshal([]byte(p.body), &answer); err != nil {
		e.Fatalf("token = %d %q: %v", p.status, p.body, err)
	}
	return p.status, answer, p.header
}

func codeForm(clientID, code string) url.Values {
	return url.Values{
		"grant_type": {"authorization_code"}, "client_id": {clientID}, "code": {code},
		"redirect_uri": {callback}, "code_verifier": {verifier},
	}
}

func refreshForm(clientID, token string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "client_id": {clientID}, "refresh_token": {token}}
}

// login logs a person in by a client and returns access and refresh token.
func (e *env) login(clientID, name string) (access, refresh string) {
	e.Helper()
	code := e.params(e.newBrowser().approve(e.authorizeURL(clientID), name)).Get("code")
	status, answer, _ := e.token(codeForm(clientID, code))
	if status != http.StatusOK {
		e.Fatalf("token = %d %v", status, answer)
	}
	return answer["access_token"].(string), answer["refresh_token"].(string)
}

// verify returns the user that an access token stands for.
func (e *env) verify(token string) (string, error) {
	access, err := e.server.Verify(context.Background(), token, e.base+testPath)
	if err != nil {
		return "", err
	}
	return access.User.Subject, nil
}

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
