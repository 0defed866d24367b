package mcphandler

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// sent is what the recorder saw of a request.
type sent struct {
	Method, RequestURI, Host string
	Header                   http.Header
	Body                     string
}

// recorder is a service that remembers the last request, and an [Upstream]
// that reaches it.
type recorder struct {
	*httptest.Server
	mu     sync.Mutex
	last   *sent
	caller *Caller
	need   Need
}

func newRecorder(t testing.TB, answer http.HandlerFunc) *recorder {
	r := &recorder{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Errorf("reading request: %v", err)
		}
		r.mu.Lock()
		r.last = &sent{req.Method, req.RequestURI, req.Host, req.Header, string(body)}
		r.mu.Unlock()
		if answer != nil {
			answer(w, req)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"ok":true}`)
	}))
	t.Cleanup(r.Close)
	return r
}

// Do implements [Upstream].
func (r *recorder) Do(caller *Caller, need Need, req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	r.caller, r.need = caller, need
	r.mu.Unlock()
	client := *r.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client.Do(req)
}

// take returns the last request, and forgets it. Nil means that none came.
func (r *recorder) take() *sent {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.last
	r.last = nil
	return last
}

func alice() *Caller {
	return &Caller{
		UserID: "u-1", Email: "alice@example.com", Name: "Alice Ä", ClientID: "c-1", ClientName: "Claude",
		Claims: json.RawMessage(`{
			"tenant": "acme", "level": 3, "groups": ["eng", "ops"], "flag": true,
			"https://acme.example/roles": ["admin"],
			"address": {"country": "NL", "geo.lat": 52.5}
		}`),
	}
}

// fakeEnv expands the names that tests use.
func fakeEnv(name string) (string, error) {
	value, ok := map[string]string{
		"env.HOST": "api.example.com", "env.KEY": "s3cr3t", "env.EMPTY": "", "env.TRICK": "{arg.q}{user.id}",
		"env.LINES": "a\r\nb", "file./run/key": "from file",
	}[name]
	if !ok {
		return "", errors.New("not set")
	}
	return value, nil
}

func mustDeclare(t testing.TB, up Upstream, cfg DeclaredConfig) *Declared {
	t.Helper()
	if cfg.Name == "" {
		cfg.Name = "tool"
	}
	if cfg.Description == "" {
		cfg.Description = "A tool"
	}
	d, err := NewDeclared(cfg, up, DeclaredOptions{Expand: fakeEnv})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// callResult runs d and returns the result, or the error as text.
func callResult(t testing.TB, d *Declared, arguments string) (*Result, string) {
	t.Helper()
	result, err := d.Call(t.Context(), &Call{Caller: alice(), Arguments: json.RawMessage(arguments)})
	if err != nil {
		return nil, err.Error()
	}
	return result, ""
}

// textOf returns the text of a result of one text block.
func textOf(t testing.TB, result *Result) string {
	t.Helper()
	var blocks []struct{ Type, Text string }
	if result == nil {
		t.Fatal("no result")
	}
	if err := json.Unmarshal(result.Content, &blocks); err != nil || len(blocks) != 1 || blocks[0].Type != "text" {
		t.Fatalf("content is %s, want one text block (%v)", result.Content, err)
	}
	return blocks[0].Text
}

// callText runs d and returns its text; an error result begins with "error: ",
// an error with its type.
func callText(t testing.TB, d *Declared, arguments string) string {
	t.Helper()
	result, err := d.Call(t.Context(), &Call{Caller: alice(), Arguments: json.RawMessage(arguments)})
	var refused *ArgumentsError
	var tool *ToolError
	switch {
	case errors.As(err, &refused):
		return "arguments: " + refused.Message
	case errors.As(err, &tool):
		return "tool error: " + err.Error()
	case err != nil:
		return "failed: " + err.Error()
	case result.IsError:
		return "error: " + textOf(t, result)
	}
	return textOf(t, result)
}

func answering(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		w.WriteHeader(status)
		io.Copy(w, strings.NewReader(body))
	}
}
