package mcphandler

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	testEndpoint = "https://mcp.example.com/mcp"
	testOrigin   = "https://mcp.example.com"
)

// fixture is a handler with everything around it in memory.
type fixture struct {
	t       testing.TB
	handler *Handler
	ended   *endedInMemory
	now     time.Time
	records chan CallRecord
	granted atomic.Bool // the inbox tools have what they need
}

// newFixture returns a handler of the test tools; adjust may change its
// configuration.
func newFixture(t testing.TB, adjust func(*Config)) *fixture {
	t.Helper()
	f := &fixture{
		t: t, ended: &endedInMemory{ids: make(map[string]time.Time)},
		now:     time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
		records: make(chan CallRecord, 1024),
	}
	source, err := NewStaticSource(f.tools())
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Name: "test", Version: "1.0.0", Title: "Test server", Instructions: "Be gentle.",
		Sources:       []Source{source},
		Authenticator: tokensAreNames{},
		Sealer:        sealByMAC{},
		Sessions:      f.ended,
		Endpoint:      func(*http.Request) string { return testEndpoint },
		OriginAllowed: func(_ *http.Request, origin string) bool { return origin == testOrigin },
		Scopes:        []string{"mcp", "mail"},
		Now:           func() time.Time { return f.now },
		Random:        new(counter),
		Record:        func(rec CallRecord) { f.records <- rec },
	}
	if adjust != nil {
		adjust(&cfg)
	}
	if f.handler, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return f
}

// serve sends one request. Fields without a value are left out.
func (f *fixture) serve(method string, fields map[string]string, body string) *httptest.ResponseRecorder {
	f.t.Helper()
	r := httptest.NewRequest(method, "/mcp", strings.NewReader(body))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "application/json, text/event-stream")
	}
	for name, value := range fields {
		r.Header.Set(name, value)
		if value == "" {
			r.Header.Del(name)
		}
	}
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	return w
}

// initialize begins a session of the caller and returns its id.
func (f *fixture) initialize(token, version, capabilities string) string {
	f.t.Helper()
	w := f.serve("POST", map[string]string{"Authorization": "Bearer " + token},
		`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"`+version+
			`","capabilities":`+capabilities+`,"clientInfo":{"name":"t","version":"1"}}}`)
	id := w.Header().Get("Mcp-Session-Id")
	if w.Code != http.StatusOK || id == "" {
		f.t.Fatalf("initialize: status %d, session id %q, body %s", w.Code, id, w.Body)
	}
	return id
}

// modernFields are the fields that a request of the stateless revision needs.
func modernFields(token, method, name string) map[string]string {
	return map[string]string{
		"Authorization": "Bearer " + token, "Mcp-Protocol-Version": "2026-07-28",
		"Mcp-Method": method, "Mcp-Name": name,
	}
}

const modernMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",` +
	`"io.modelcontextprotocol/clientCapabilities":{}}`

func modernCall(name, arguments string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + name +
		`","arguments":` + arguments + `,` + modernMeta + `}}`
}

// errorCode returns the code of a JSON-RPC error, and 0 when body is none.
func errorCode(t testing.TB, body []byte) int {
	t.Helper()
	var response struct {
		Version string `json:"jsonrpc"`
		Error   struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(body, &response); err != nil {
		t.Fatalf("body %q: %v", body, err)
	}
	if response.Version != "2.0" {
		t.Fatalf("body %s is no JSON-RPC", body)
	}
	return response.Error.Code
}

// tokensAreNames takes "alice" as the token of the user u-alice with the client
// "app", and "alice/other" as that of the same user with the client "other".
type tokensAreNames struct{}

func (tokensAreNames) Authenticate(r *http.Request) (*Caller, error) {
	switch token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); {
	case !ok:
		return nil, ErrNoToken
	case token == "bad":
		return nil, errors.Join(ErrInvalidToken, errors.New(`looking at "bad"`))
	case token == "down":
		return nil, ErrUnavailable
	case token == "nobody":
		return nil, nil
	case token == "nameless":
		return new(Caller), nil
	default:
		user, client, ok := strings.Cut(token, "/")
		if !ok {
			client = "app"
		}
		scopes := []string{"mail", "mcp", "offline_access"}
		if user == "narrow" {
			scopes = scopes[1:]
		}
		return &Caller{UserID: "u-" + user, ClientID: client, Email: user + "@example.com", Scopes: scopes}, nil
	}
}

// sealByMAC authenticates and does not hide: transcripts stay the same.
type sealByMAC struct{}

func mac(plaintext, ad []byte) []byte {
	h := hmac.New(sha256.New, []byte("test key"))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(ad))))
	h.Write(ad)
	h.Write(plaintext)
	return h.Sum(nil)[:16]
}

func (sealByMAC) Seal(plaintext, ad []byte) ([]byte, error) {
	return append(mac(plaintext, ad), plaintext...), nil
}

func (sealByMAC) Open(sealed, ad []byte) ([]byte, error) {
	if len(sealed) < 16 || !hmac.Equal(sealed[:16], mac(sealed[16:], ad)) {
		return nil, errors.New("bad seal")
	}
	return sealed[16:], nil
}

type endedInMemory struct {
	mu      sync.Mutex
	ids     map[string]time.Time
	fail    error // of a look
	failEnd error
}

func (e *endedInMemory) EndSession(_ context.Context, id string, until time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ids[id] = until
	return e.failEnd
}

func (e *endedInMemory) SessionEnded(_ context.Context, id string) (bool, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, ok := e.ids[id]
	return ok, e.fail
}

// counter is a source of bytes that no two readers share.
type counter struct{ n atomic.Uint64 }

func (c *counter) Read(b []byte) (int, error) {
	clear(b)
	binary.BigEndian.PutUint64(b[len(b)-8:], c.n.Add(1))
	return len(b), nil
}

// fakeTool is a tool by a function.
type fakeTool struct {
	Description
	call func(ctx context.Context, c *Call) (*Result, error)
}

func (f *fakeTool) Describe() Description { return f.Description }

func (f *fakeTool) Call(ctx context.Context, c *Call) (*Result, error) { return f.call(ctx, c) }

const anyObject = `{"type":"object"}`

// tools are the tools of the fixture. Each shows one way a call can end.
func (f *fixture) tools() []Tool {
	readOnly := true
	errTool := func(err error) func(context.Context, *Call) (*Result, error) {
		return func(context.Context, *Call) (*Result, error) { return nil, err }
	}
	inbox := func(_ context.Context, c *Call) (*Result, error) {
		if f.granted.Load() {
			return TextResult("3 messages of " + c.Caller.UserID), nil
		}
		return nil, &ConnectError{
			Provider: "google", Title: "Google", Reason: ReasonAuthorizationRequired,
			URL: testEndpoint + "/connect?link=abc&x=1",
		}
	}
	tool := func(name string, call func(context.Context, *Call) (*Result, error)) *fakeTool {
		return &fakeTool{Description: Description{Name: name, InputSchema: json.RawMessage(anyObject)}, call: call}
	}
	echo := tool("echo", func(_ context.Context, c *Call) (*Result, error) {
		return TextResult(c.Caller.UserID + " " + string(c.Arguments)), nil
	})
	echo.Title, echo.Description.Description = "Echo", "Says who calls, and with what"
	echo.Annotations = &Annotations{ReadOnly: &readOnly}
	add := tool("add", func(context.Context, *Call) (*Result, error) {
		return &Result{Content: textContent("3"), StructuredContent: json.RawMessage(`{"sum":3}`)}, nil
	})
	add.OutputSchema = json.RawMessage(`{"type":"object","properties":{"sum":{"type":"integer"}}}`)
	list := tool("list", func(context.Context, *Call) (*Result, error) {
		return &Result{StructuredContent: json.RawMessage(`[1,2]`)}, nil
	})
	list.OutputSchema = json.RawMessage(`{"type":"array"}`)
	strict := tool("inbox_with_schema", inbox)
	strict.OutputSchema = add.OutputSchema
	query := tool("query", echo.call)
	query.InputSchema = json.RawMessage(`{"type":"object","properties":{` +
		`"region":{"type":"string","x-mcp-header":"Region"},` +
		`"limit":{"type":"integer","x-mcp-header":"limit"},` +
		`"deep":{"type":"object","properties":{"dry":{"type":"boolean","x-mcp-header":"Dry-Run"}}}}}`)
	return []Tool{
		echo, add, list, query, tool("inbox", inbox), strict,
		tool("narrow", errTool(&ConnectError{
			Provider: "github", Reason: ReasonScopesMissing, URL: testEndpoint + "/connect?link=def",
		})),
		tool("refuse", errTool(&ArgumentsError{Message: "limit: must be at most 100"})),
		tool("fail", errTool(&ToolError{Message: "the mailbox is full", Cause: errors.New("secret cause")})),
		tool("break", errTool(errors.New("secret detail"))),
		tool("panic", func(context.Context, *Call) (*Result, error) { panic("secret panic") }),
		tool("nothing", errTool(nil)),
		tool("garbage", func(context.Context, *Call) (*Result, error) {
			return &Result{Content: json.RawMessage(`[],"isError":false`)}, nil
		}),
		tool("wait", func(ctx context.Context, _ *Call) (*Result, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}),
	}
}

// indent makes JSON readable, and leaves what is none.
func indent(body []byte) []byte {
	var b bytes.Buffer
	if json.Indent(&b, body, "", "  ") != nil {
		return body
	}
	return b.Bytes()
}
