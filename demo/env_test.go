package demo

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

const (
	callback = "http://localhost:8000/mcp/connect/callback"
	verifier = "a-verifier-that-is-just-as-long-as-it-must-be"
	lifetime = 5 * time.Minute
)

// env is a provider with a clock that stands still, and its client.
type env struct {
	t        *testing.T
	provider *Provider
	now      time.Time
}

func newEnv(t *testing.T) *env {
	e := &env{t: t, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	e.provider = NewProvider(Options{
		ClientID: "demo", ClientSecret: "demo secret+1", TokenLifetime: lifetime, Now: func() time.Time { return e.now },
	})
	return e
}

func (e *env) do(r *http.Request) *httptest.ResponseRecorder {
	e.t.Helper()
	w := httptest.NewRecorder()
	e.provider.ServeHTTP(w, r)
	return w
}

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// with returns the form with changes; an empty value removes a parameter.
func with(form url.Values, changes ...string) url.Values {
	for i := 0; i < len(changes); i += 2 {
		if form.Set(changes[i], changes[i+1]); changes[i+1] == "" {
			form.Del(changes[i])
		}
	}
	return form
}

func authorizeForm(changes ...string) url.Values {
	return with(url.Values{
		"client_id": {"demo"}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {scopeMessages},
		"state": {"s t&te"}, "code_challenge": {challenge()}, "code_challenge_method": {"S256"},
	}, changes...)
}

func (e *env) show(form url.Values) *httptest.ResponseRecorder {
	e.t.Helper()
	return e.do(httptest.NewRequest(http.MethodGet, "http://localhost:8001/authorize?"+form.Encode(), nil))
}

func (e *env) post(path string, form url.Values, edit ...func(*http.Request)) *httptest.ResponseRecorder {
	e.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "http://localhost:8001"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, f := range edit {
		f(r)
	}
	return e.do(r)
}

// sentBack returns the parameters that the browser brings back to the client.
func (e *env) sentBack(w *httptest.ResponseRecorder) url.Values {
	e.t.Helper()
	to, err := url.Parse(w.Header().Get("Location"))
	if err != nil || w.Code != http.StatusSeeOther || !strings.HasPrefix(to.String(), callback+"?") {
		e.t.Fatalf("status %d to %q, want a redirect to %s\n%s", w.Code, w.Header().Get("Location"), callback, w.Body)
	}
	return to.Query()
}

// allow returns the code for a mailbox.
func (e *env) allow(address string, changes ...string) string {
	e.t.Helper()
	form := with(authorizeForm(changes...), "decision", "allow", "mailbox", address)
	code := e.sentBack(e.post("/authorize", form)).Get("code")
	if code == "" {
		e.t.Fatal("no code came back")
	}
	return code
}

// client adds the client's credentials.
func client(form url.Values) url.Values {
	return with(form, "client_id", "demo", "client_secret", "demo secret+1")
}

func codeForm(code string) url.Values {
	return url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier},
	}
}

func refreshForm(token string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
}

// tokens reads the answer of /token, which must be a success.
func (e *env) tokens(w *httptest.ResponseRecorder) tokenAnswer {
	e.t.Helper()
	if w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "no-store" {
		e.t.Fatalf("status %d, Cache-Control %q: %s", w.Code, w.Header().Get("Cache-Control"), w.Body)
	}
	return read[tokenAnswer](e.t, w)
}

// connect goes the whole way to the tokens of a mailbox.
func (e *env) connect(address string, changes ...string) tokenAnswer {
	e.t.Helper()
	return e.tokens(e.post("/token", client(codeForm(e.allow(address, changes...)))))
}

func (e *env) api(path, token string) *httptest.ResponseRecorder {
	e.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://localhost:8001"+path, nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return e.do(r)
}

// wantProblem fails the test unless w is this error.
func (e *env) wantProblem(w *httptest.ResponseRecorder, status int, code string) {
	e.t.Helper()
	if w.Code != status {
		e.t.Fatalf("status %d, want %d: %s", w.Code, status, w.Body)
	}
	if got := read[problem](e.t, w).Code; got != code {
		e.t.Errorf("error %q, want %q", got, code)
	}
}

func read[T any](t *testing.T, w *httptest.ResponseRecorder) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("reading %q: %v", w.Body, err)
	}
	return v
}
