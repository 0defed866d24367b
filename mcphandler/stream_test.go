package mcphandler

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// slowTool tells of its progress, as often as it is told to.
type slowTool struct {
	messages []string
	clock    *atomic.Int64 // moves on between messages
	fail     error
	seen     atomic.Pointer[Call]
}

func (s *slowTool) Describe() Description {
	return Description{Name: "slow", Description: "slow", InputSchema: json.RawMessage(`{"type":"object"}`)}
}

func (s *slowTool) Call(_ context.Context, c *Call) (*Result, error) {
	s.seen.Store(c)
	for _, m := range s.messages {
		if c.Progress != nil {
			c.Progress(Progress{Message: m})
		}
		s.clock.Add(int64(progressRest))
	}
	if s.fail != nil {
		return nil, s.fail
	}
	return TextResult("done"), nil
}

// newStreamFixture returns a handler of one slow tool.
func newStreamFixture(t *testing.T, tool *slowTool) *fixture {
	t.Helper()
	tool.clock = new(atomic.Int64)
	return newFixture(t, func(cfg *Config) {
		source, err := NewStaticSource([]Tool{tool})
		if err != nil {
			t.Fatal(err)
		}
		start := cfg.Now()
		cfg.Sources = []Source{source}
		cfg.Now = func() time.Time { return start.Add(time.Duration(tool.clock.Load())) }
	})
}

// events reads a body of server-sent events, one JSON message each.
func events(t *testing.T, body string) []string {
	t.Helper()
	var out []string
	for block := range strings.SplitSeq(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		data, ok := strings.CutPrefix(block, "event: message\ndata: ")
		if !ok || strings.Contains(data, "\n") {
			t.Fatalf("no event: %q", block)
		}
		out = append(out, data)
	}
	return out
}

func slowCall(meta string) string {
	return `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"slow","arguments":{},"_meta":{` + meta + `}}}`
}

func TestProgress(t *testing.T) {
	const result = `{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"done"}]}}`
	modern := `"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},`
	for name, c := range map[string]struct {
		legacy bool
		meta   string
		accept string
		want   []string // nil: plain JSON
	}{
		"a token that is a text, handshake era": {
			true, `"progressToken":"t\"1"`, "application/json, text/event-stream",
			[]string{
				`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t\"1","progress":1,"message":"one"}}`,
				`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t\"1","progress":2,"message":"two"}}`, result,
			},
		},
		"a token that is a number, stateless era": {
			false, modern + `"progressToken":-12`, "application/json, text/event-stream",
			[]string{
				`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":-12,"progress":1,"message":"one"}}`,
				`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":-12,"progress":2,"message":"two"}}`, "",
			},
		},
		"no token":                        {true, `"x":1`, "application/json, text/event-stream", nil},
		"a token of no good type":         {true, `"progressToken":1.5`, "application/json, text/event-stream", nil},
		"a client that reads JSON alone":  {true, `"progressToken":1`, "application/json", nil},
		"a client that reads anything":    {true, `"progressToken":1`, "*/*", nil},
		"a client that refuses streams":   {true, `"progressToken":1`, "application/json, text/event-stream;q=0", nil},
		"a client that reads all of text": {true, `"progressToken":1`, "application/json, text/*", []string{"", "", result}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newStreamFixture(t, &slowTool{messages: []string{"one", "two"}})
			fields := modernFields("alice", "tools/call", "slow")
			if c.legacy {
				fields = map[string]string{"Authorization": "Bearer alice", "Mcp-Protocol-Version": "2025-06-18"}
			}
			fields["Accept"] = c.accept
			w := f.serve("POST", fields, slowCall(c.meta))
			if w.Code != http.StatusOK {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			if c.want == nil {
				if got := w.Header().Get("Content-Type"); got != "application/json" || w.Body.String() != result {
					t.Errorf("answer is %s: %s", got, w.Body)
				}
				return
			}
			if got := w.Header().Get("Content-Type"); got != "text/event-stream" {
				t.Errorf("Content-Type is %q", got)
			}
			got := events(t, w.Body.String())
			if len(got) != len(c.want) {
				t.Fatalf("%d events, want %d: %q", len(got), len(c.want), got)
			}
			for i, want := range c.want {
				if diff := cmp.Diff(want, got[i]); want != "" && diff != "" {
					t.Errorf("event %d (-want +got):\n%s", i, diff)
				}
			}
			if !strings.Contains(got[len(got)-1], `"id":7,"result":`) {
				t.Errorf("the last event is no response: %s", got[len(got)-1])
			}
		})
	}
}

// After the answer, no report is heard.
func TestProgressAfterTheEnd(t *testing.T) {
	tool := &slowTool{}
	f := newStreamFixture(t, tool)
	tool.messages = []string{"one"}
	w := f.serve("POST", map[string]string{"Authorization": "Bearer alice"}, slowCall(`"progressToken":1`))
	before := w.Body.String()
	tool.clock.Add(int64(time.Minute))
	tool.seen.Load().Progress(Progress{Message: "late"})
	if w.Body.String() != before {
		t.Errorf("something was written after the end: %s", w.Body)
	}
}

// A tool that finds the person's login to be over leads to the challenge, as long
// as no stream has begun.
func TestLoginAgain(t *testing.T) {
	for name, c := range map[string]struct {
		messages []string
		status   int
	}{
		"before anything was written": {nil, http.StatusUnauthorized},
		"in a stream":                 {[]string{"one"}, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			f := newStreamFixture(t, &slowTool{messages: c.messages, fail: errors.Join(errors.New("token is gone"), ErrInvalidToken)})
			w := f.serve("POST", map[string]string{"Authorization": "Bearer alice"}, slowCall(`"progressToken":1`))
			if w.Code != c.status {
				t.Fatalf("status %d, want %d", w.Code, c.status)
			}
			challenge := w.Header().Get("WWW-Authenticate")
			if want := `Bearer error="invalid_token"`; (c.status == http.StatusUnauthorized) != strings.HasPrefix(challenge, want) {
				t.Errorf("WWW-Authenticate is %q", challenge)
			}
			if strings.Contains(w.Body.String(), "gone") || !strings.Contains(w.Body.String(), `"id":7,"error":`) {
				t.Errorf("body %s", w.Body)
			}
			if rec := <-f.records; rec.Outcome != outcomeLogin {
				t.Errorf("outcome %q", rec.Outcome)
			}
		})
	}
}

// A stream reaches the client while the tool runs, and a client that goes ends
// the tool.
func TestStreamOverHTTP(t *testing.T) {
	waiting := make(chan error, 1)
	f := newFixture(t, func(cfg *Config) {
		source, err := NewStaticSource([]Tool{waitingTool(waiting)})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Sources, cfg.Now = []Source{source}, time.Now
	})
	server := httptest.NewServer(f.handler)
	defer server.Close()
	ctx, leave := context.WithTimeout(t.Context(), 10*time.Second)
	defer leave()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, strings.NewReader(slowCall(`"progressToken":1`)))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Authorization": "Bearer alice", "Content-Type": "application/json", "Accept": "application/json, text/event-stream",
	} {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	if err != nil || line != "event: message\n" {
		t.Fatalf("first line %q, %v", line, err)
	}
	leave()
	select {
	case err := <-waiting:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the tool ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the tool goes on though its client has gone")
	}
}

// waitingTool waits for the end of its context, after one message.
type waitingTool chan error

func (w waitingTool) Describe() Description { return (&slowTool{}).Describe() }

func (w waitingTool) Call(ctx context.Context, c *Call) (*Result, error) {
	c.Progress(Progress{Message: "waiting"})
	<-ctx.Done()
	w <- ctx.Err()
	return nil, ctx.Err()
}

// TestStreamOutlivesTimeouts: what the operator allows for a request and its
// answer does not cut a stream, and the connection goes on after it.
func TestStreamOutlivesTimeouts(t *testing.T) {
	const timeout = 200 * time.Millisecond
	for name, start := range map[string]func(*httptest.Server){
		"HTTP/1.1": (*httptest.Server).Start,
		"HTTP/2":   func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() },
	} {
		t.Run(name, func(t *testing.T) {
			f := newToolFixture(t, func(ctx context.Context, c *Call) (*Result, error) {
				c.Progress(Progress{Message: "begun"})
				select {
				case <-time.After(3 * timeout):
					return TextResult("done"), nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}, nil)
			server := httptest.NewUnstartedServer(f.handler)
			server.Config.ReadTimeout, server.Config.WriteTimeout, server.Config.IdleTimeout = timeout, timeout, time.Minute
			var connections atomic.Int32
			server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					connections.Add(1)
				}
			}
			start(server)
			defer server.Close()
			fields := legacyFields()
			fields["Accept"] = "application/json, text/event-stream"
			for range 2 {
				got := exchange(t, server.Client(), server.URL, fields, slowCall(`"progressToken":1`))
				if list := events(t, got.body); len(list) != 2 || !strings.Contains(list[1], `"text":"done"`) {
					t.Errorf("events %q, want a report and the response", list)
				}
			}
			if got := connections.Load(); got != 1 {
				t.Errorf("%d connections, want one", got)
			}
		})
	}
}
