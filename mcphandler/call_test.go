package mcphandler

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestCallRecords(t *testing.T) {
	tests := map[string]string{
		"echo": outcomeOK, "fail": outcomeToolError, "inbox": outcomeConnect, "refuse": outcomeInvalidArguments,
		"nope": outcomeUnknownTool, "break": outcomeFailed, "panic": outcomeFailed, "nothing": outcomeFailed,
		"garbage": outcomeFailed,
	}
	for tool, want := range tests {
		t.Run(tool, func(t *testing.T) {
			f := newFixture(t, func(cfg *Config) {
				start := time.Unix(0, 0)
				cfg.Now = func() time.Time { // each look at the clock takes a second
					start = start.Add(time.Second)
					return start
				}
			})
			f.serve("POST", modernFields("alice", "tools/call", tool), modernCall(tool, "{}"))
			got := recordsOf(f)
			if diff := cmp.Diff([]CallRecord{{
				Caller: &Caller{UserID: "u-alice", ClientID: "app", Email: "alice@example.com", Scopes: []string{"mail", "mcp", "offline_access"}},
				Tool:   tool, Outcome: want, Duration: time.Second,
			}}, got); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
	}
}

// recordsOf returns the records so far.
func recordsOf(f *fixture) []CallRecord {
	close(f.records)
	var list []CallRecord
	for rec := range f.records {
		list = append(list, rec)
	}
	return list
}

func TestNamesInRecordsAreBounded(t *testing.T) {
	f := newFixture(t, nil)
	name := strings.Repeat("x", 10_000)
	f.serve("POST", map[string]string{"Authorization": "Bearer alice"},
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+name+`"}}`)
	got := recordsOf(f)
	if len(got) != 1 || len(got[0].Tool) > 2*maxToolName {
		t.Errorf("records %+v, want one with a name of at most %d bytes", got, 2*maxToolName)
	}
}

// TestFailureIsLoggedNotTold looks for what only the operator may read.
func TestFailureIsLoggedNotTold(t *testing.T) {
	tests := map[string]struct{ tool, secret, message string }{
		"error":         {"break", "secret detail", "tool failed"},
		"panic":         {"panic", "secret panic", "tool failed"},
		"cause":         {"fail", "secret cause", "tool error"},
		"broken result": {"garbage", "not a JSON array", "tool failed"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			core, logs := observer.New(zapcore.InfoLevel)
			f := newFixture(t, func(cfg *Config) { cfg.Logger = zap.New(core) })
			w := f.serve("POST", modernFields("alice", "tools/call", test.tool), modernCall(test.tool, "{}"))
			if strings.Contains(w.Body.String(), test.secret) {
				t.Errorf("body %s tells %q", w.Body, test.secret)
			}
			entries := logs.FilterMessage(test.message).All()
			if len(entries) != 1 {
				t.Fatalf("logs %v, want one %q", logs.All(), test.message)
			}
			fields := entries[0].ContextMap()
			if cause, _ := fields["error"].(string); !strings.Contains(cause, test.secret) {
				t.Errorf("logged error %q, want %q in it", cause, test.secret)
			}
			if reference, ok := fields["reference"].(string); ok && !strings.Contains(w.Body.String(), reference) {
				t.Errorf("body %s, want the reference %s in it", w.Body, reference)
			}
		})
	}
}

func TestCanceledCall(t *testing.T) {
	core, logs := observer.New(zapcore.InfoLevel)
	f := newFixture(t, func(cfg *Config) { cfg.Logger = zap.New(core) })
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, "POST", "/mcp", strings.NewReader(modernCall("wait", "{}")))
	for name, value := range modernFields("alice", "tools/call", "wait") {
		r.Header.Set(name, value)
	}
	r.Header.Set("Content-Type", "application/json")
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.handler.ServeHTTP(httptest.NewRecorder(), r)
	}()
	cancel()
	<-done
	if got := recordsOf(f); len(got) != 1 || got[0].Outcome != outcomeCanceled {
		t.Errorf("records %+v, want one canceled", got)
	}
	if logs.Len() > 0 {
		t.Errorf("logs %v, want none", logs.All())
	}
}

// brokenSource fails.
type brokenSource struct{}

func (brokenSource) List(context.Context, *Caller) ([]Tool, error) {
	return nil, errors.New("secret detail")
}

func (brokenSource) Lookup(context.Context, *Caller, string) (Tool, error) {
	return nil, errors.New("secret detail")
}

func TestBrokenSource(t *testing.T) {
	f := newFixture(t, func(cfg *Config) { cfg.Sources = append(cfg.Sources, brokenSource{}) })
	alice := map[string]string{"Authorization": "Bearer alice"}
	list := f.serve("POST", alice, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
	if got := errorCode(t, list.Body.Bytes()); got != codeInternal {
		t.Errorf("tools/list: code %d, want %d", got, codeInternal)
	}
	found := f.serve("POST", alice, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}`)
	if got := errorCode(t, found.Body.Bytes()); got != 0 || !strings.Contains(found.Body.String(), "u-alice") {
		t.Errorf("tool of the source before: %s", found.Body)
	}
	other := f.serve("POST", alice, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"other"}}`)
	if !strings.Contains(other.Body.String(), `"isError":true`) {
		t.Errorf("tool of no source: %s, want a failed result", other.Body)
	}
	for _, body := range []string{list.Body.String(), other.Body.String()} {
		if strings.Contains(body, "secret") {
			t.Errorf("body %s tells the detail", body)
		}
	}
}
