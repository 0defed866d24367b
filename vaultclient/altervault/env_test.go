package altervault_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/alter-mcp/caddy-alter-mcp/internal/web"
	"github.com/alter-mcp/caddy-alter-mcp/store"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/altervault"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/connect"
)

const agentName = "research-bot"

// env is a vault with the fake behind it, a real store, and its pages.
type env struct {
	*testing.T
	fake   *altertest.Vault
	vault  *altervault.Vault
	tokens *tokens
	log    *observer.ObservedLogs
	base   string // of the pages

	mu    sync.Mutex
	told  []string  // by Progress
	until time.Time // the latest end of what paused between two calls of the vault
}

func newEnv(t *testing.T, change ...func(*altervault.Config)) *env {
	t.Helper()
	core, log := observer.New(zapcore.InfoLevel)
	e := &env{T: t, log: log, fake: altertest.Start(t, altertest.Config{
		Agents: []altertest.Agent{{ID: altertest.AgentID(agentName), Name: agentName}},
	})}
	e.tokens = &tokens{fake: e.fake, kept: make(map[string]string)}
	client, err := alter.New(alter.Config{
		APIKey: vaultclient.NewSecret(e.fake.APIKey()), BaseURL: e.fake.URL, Caller: alter.Caller{Name: "tests"},
		Sleep: e.pause,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	sealer := newSealer(t)
	db, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "test.db"), store.Options{Sealer: sealer, Fingerprint: "test", Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	cfg := altervault.Config{
		Client: client, Tokens: e.tokens, Pending: pending{db.Realm("test")}, Once: db.Realm("test"),
		Providers: map[string]*vaultclient.Provider{
			"google": {Name: "google", Title: "Google", APIHosts: []string{strings.TrimPrefix(e.fake.URL, "http://")}, Scopes: []string{"read"}},
			"github": {Name: "github", Title: "GitHub", APIHosts: []string{strings.TrimPrefix(e.fake.URL, "http://")}},
		},
		Endpoint: func(*http.Request) string { return e.base + "/mcp" }, Sealer: sealer,
		Browser: cookieBrowser{}, Pages: printer{}, Logger: zap.New(core),
	}
	for _, c := range change {
		c(&cfg)
	}
	if e.vault, err = altervault.New(cfg); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/mcp/connect", e.vault.ServeConnect)
	mux.HandleFunc("/mcp/connect/callback", e.vault.ServeCallback)
	mux.HandleFunc("/mcp/account", e.vault.ServeAccount)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	e.base = server.URL
	return e
}

// pause takes no time and remembers how long its caller has.
func (e *env) pause(ctx context.Context, _ time.Duration) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if end, ok := ctx.Deadline(); ok && end.After(e.until) {
		e.until = end
	}
	return ctx.Err()
}

// tokens are people's tokens, issued by the fake's identity provider.
type tokens struct {
	fake    *altertest.Vault
	mu      sync.Mutex
	kept    map[string]string
	renewed string // what a refused token is replaced by; empty: a login
	refused int
	tooOld  bool // said of the last
}

func (t *tokens) UserToken(_ context.Context, user string) (vaultclient.Secret, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept[user] == "" {
		t.kept[user] = t.fake.UserToken(user, time.Hour)
	}
	if t.kept[user] == "gone" {
		return vaultclient.Secret{}, altervault.ErrLoginRequired
	}
	return vaultclient.NewSecret(t.kept[user]), nil
}

func (t *tokens) RejectUserToken(_ context.Context, user string, refused vaultclient.Secret, tooOld bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refused++
	t.tooOld = tooOld
	if t.kept[user] != refused.Reveal() {
		return errors.New("a token is refused that was not given")
	}
	t.kept[user] = "gone"
	if t.renewed == "" {
		return altervault.ErrLoginRequired
	}
	t.kept[user], t.renewed = t.renewed, ""
	return nil
}

func (t *tokens) set(user, token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept[user] = token
}

// pending keeps approvals in the store.
type pending struct{ realm *store.Realm }

func (p pending) PendingApproval(ctx context.Context, user, call string) (*altervault.Approval, error) {
	text, err := p.realm.PendingApproval(ctx, user, call, time.Now())
	if err != nil || text == "" {
		return nil, err
	}
	kept := new(altervault.Approval)
	return kept, json.Unmarshal([]byte(text), kept)
}

func (p pending) SetPendingApproval(ctx context.Context, user, call string, kept *altervault.Approval, until time.Time) error {
	if kept == nil {
		return p.realm.SetPendingApproval(ctx, user, call, "", until)
	}
	text, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	return p.realm.SetPendingApproval(ctx, user, call, string(text), until)
}

// use is a call of alice.
func (e *env) use(change ...func(*altervault.Use)) altervault.Use {
	u := altervault.Use{
		UserID: "alice", Endpoint: e.base + "/mcp", Provider: "google", Tool: "list_messages", Client: "client", Arguments: json.RawMessage(`{"a":1}`),
	}
	for _, c := range change {
		c(&u)
	}
	return u
}

// answer is what the fake provider says of a request.
type answer struct{ Person, Account, Method, Query string }

// send makes a request of the mode of the fake provider and returns its status.
func (e *env) send(ctx context.Context, mode string, use altervault.Use) (answer, int, error) {
	e.Helper()
	return e.sendBody(ctx, http.MethodGet, mode, "", use)
}

func (e *env) sendBody(ctx context.Context, method, mode, body string, use altervault.Use) (answer, int, error) {
	e.Helper()
	req, err := http.NewRequestWithContext(ctx, method, e.fake.ProviderURL(mode)+"/messages?q=1", strings.NewReader(body))
	if err != nil {
		e.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := e.vault.Send(req, use)
	if err != nil {
		return answer{}, 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		e.Fatal(err)
	}
	var a answer
	if err := json.Unmarshal(text, &a); err != nil {
		e.Fatalf("the provider's answer is %q: %v", text, err)
	}
	return a, resp.StatusCode, nil
}

// works fails the test unless the call reaches the provider as the person.
func (e *env) works(use altervault.Use) {
	e.Helper()
	if a, status, err := e.send(e.Context(), "ok", use); err != nil || status != 200 || a.Person != use.UserID {
		e.Errorf("Send = %+v, %d, %v, want the provider's answer to %s", a, status, err, use.UserID)
	}
}

// calls returns the bodies of the calls of a path.
func (e *env) calls(path string) []map[string]any {
	e.Helper()
	var out []map[string]any
	for _, c := range e.fake.Calls() {
		if c.Path != path {
			continue
		}
		body := map[string]any{}
		if err := json.Unmarshal(c.Body, &body); err != nil {
			e.Fatal(err)
		}
		out = append(out, body)
	}
	return out
}

// logged reports whether an error was logged that holds the text.
func (e *env) logged(text string) bool {
	return slices.ContainsFunc(e.log.All(), func(entry observer.LoggedEntry) bool {
		raw, err := json.Marshal(entry.ContextMap())
		return err == nil && entry.Level == zapcore.ErrorLevel && strings.Contains(string(raw), text)
	})
}

// progress collects what a call waits for.
func (e *env) progress(message string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.told = append(e.told, message)
}

// cookieBrowser says that whoever the cookie names is logged in.
type cookieBrowser struct{}

func (cookieBrowser) Person(w http.ResponseWriter, r *http.Request) (connect.Person, bool) {
	c, err := r.Cookie("user")
	if err != nil {
		http.Redirect(w, r, "/mcp/login", http.StatusFound)
		return connect.Person{}, false
	}
	return connect.Person{UserID: c.Value, Name: c.Value, Session: "session of " + c.Value}, true
}

// printer shows pages as JSON.
type printer struct{}

func (printer) Connect(w http.ResponseWriter, _ *http.Request, p web.Connect) { show(w, 200, p) }
func (printer) Account(w http.ResponseWriter, _ *http.Request, p web.Account) { show(w, 200, p) }
func (printer) Message(w http.ResponseWriter, _ *http.Request, p web.Message) { show(w, p.Status, p) }

func show(w http.ResponseWriter, status int, page any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(page)
}

// browser is a person's browser.
type browser struct {
	*env
	http *http.Client
}

func (e *env) browser(person string) *browser {
	e.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		e.Fatal(err)
	}
	u, err := url.Parse(e.base)
	if err != nil {
		e.Fatal(err)
	}
	jar.SetCookies(u, []*http.Cookie{{Name: "user", Value: person}})
	return &browser{e, &http.Client{Jar: jar}}
}

// page is what a browser shows at the end of its redirects.
type page struct {
	url    *url.URL
	status int
	web.Connect
	Account web.Account
	Message web.Message
}

func (b *browser) do(method, target string, form url.Values) page {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), method, target, strings.NewReader(form.Encode()))
	if err != nil {
		b.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", b.base)
	}
	resp, err := b.http.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	p := page{url: resp.Request.URL, status: resp.StatusCode}
	for _, into := range []any{&p.Connect, &p.Account, &p.Message} {
		_ = json.Unmarshal(text, into) // of which one fits
	}
	return p
}

// agree opens a link and agrees; it returns where the vault's page is.
func (b *browser) agree(link string) (page, *url.URL) {
	b.Helper()
	p := b.do(http.MethodGet, link, nil)
	if p.status != http.StatusOK || p.Connect.Form.Token == "" {
		b.Fatalf("GET %s: %d %+v", link, p.status, p)
	}
	vaults := b.do(http.MethodPost, b.base+"/mcp/connect", url.Values{"token": {p.Connect.Form.Token}, "decision": {"allow"}})
	if !strings.HasPrefix(vaults.url.String(), b.fake.URL+"/connect?session=") {
		b.Fatalf("agreeing leads to %s with %d %+v, want the vault's page", vaults.url, vaults.status, vaults.Message)
	}
	return p, vaults.url
}

// connect goes the whole way of a link.
func (b *browser) connect(link, decision string) page {
	b.Helper()
	_, vaults := b.agree(link)
	q := vaults.Query()
	q.Set("decision", decision)
	return b.do(http.MethodGet, b.fake.URL+"/connect?"+q.Encode(), nil)
}

type aeadSealer struct{ cipher.AEAD }

func newSealer(t *testing.T) aeadSealer {
	t.Helper()
	block, err := aes.NewCipher(make([]byte, 32))
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

func (s aeadSealer) Open(sealed, ad []byte) ([]byte, error) { return s.AEAD.Open(nil, nil, sealed, ad) }

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

func sortedAny(list any) []any {
	items, _ := list.([]any)
	slices.SortFunc(items, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
	return items
}
