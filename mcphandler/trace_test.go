package mcphandler

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// traced answers a request within a span, and returns the spans below it.
func traced(t *testing.T, f *fixture, body string) []sdktrace.ReadOnlySpan {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	ctx, parent := provider.Tracer("test").Start(t.Context(), "POST")
	r := httptest.NewRequest("POST", testEndpoint, strings.NewReader(body)).WithContext(ctx)
	for name, value := range map[string]string{
		"Authorization": "Bearer alice", "Content-Type": "application/json", "Accept": "application/json, text/event-stream",
	} {
		r.Header.Set(name, value)
	}
	f.handler.ServeHTTP(httptest.NewRecorder(), r)
	for _, span := range spans.Ended() {
		if span.Parent().SpanID() != parent.SpanContext().SpanID() {
			t.Errorf("span %q is not below the request's", span.Name())
		}
	}
	return spans.Ended()
}

func attributesOf(span sdktrace.ReadOnlySpan) map[string]string {
	all := make(map[string]string)
	for _, a := range span.Attributes() {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

func TestSpans(t *testing.T) {
	const secret = "what alice asks for"
	request := func(tool string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"` + tool + `","arguments":{"q":"` + secret + `"}}}`
	}
	var inner trace.SpanContext
	outcomes := map[string]func(ctx context.Context) (*Result, error){
		outcomeOK: func(ctx context.Context) (*Result, error) {
			inner = trace.SpanContextFromContext(ctx)
			return TextResult(secret), nil
		},
		outcomeToolError: func(context.Context) (*Result, error) { return ErrorResult("%s", secret), nil },
		outcomeConnect:   func(context.Context) (*Result, error) { return nil, &ConnectError{Provider: "p", URL: "https://x/"} },
		outcomeFailed:    func(context.Context) (*Result, error) { return nil, errors.New(secret) },
	}
	for outcome, answer := range outcomes {
		t.Run(outcome, func(t *testing.T) {
			f := newFixture(t, func(cfg *Config) {
				source, err := NewStaticSource([]Tool{&fakeTool{
					Description{Name: "look", Description: "d", InputSchema: []byte(`{"type":"object"}`)},
					func(ctx context.Context, _ *Call) (*Result, error) { return answer(ctx) },
				}})
				if err != nil {
					t.Fatal(err)
				}
				cfg.Sources = []Source{source}
			})
			spans := traced(t, f, request("look"))
			if len(spans) != 1 {
				t.Fatalf("%d spans, want 1", len(spans))
			}
			want := map[string]string{
				"mcp.method.name": "tools/call", "mcp.protocol.version": "2025-03-26", "gen_ai.operation.name": "execute_tool",
				"gen_ai.tool.name": "look", "user.id": "u-alice",
			}
			status := sdktrace.Status{}
			if outcome != outcomeOK {
				want["error.type"], status = outcome, sdktrace.Status{Code: codes.Error, Description: outcome}
			} else if inner.SpanID() != spans[0].SpanContext().SpanID() {
				t.Error("the tool does not run within the span")
			}
			if diff := cmp.Diff(want, attributesOf(spans[0])); diff != "" || spans[0].Name() != "tools/call look" || spans[0].Status() != status {
				t.Errorf("span %q %v (-want +got):\n%s", spans[0].Name(), spans[0].Status(), diff)
			}
		})
	}
}

// A tool that is not there is no name for a span: anybody can make names up.
func TestNoSpanForAnUnknownTool(t *testing.T) {
	f := newFixture(t, nil)
	if spans := traced(t, f, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"made-up"}}`); len(spans) > 0 {
		t.Errorf("%d spans", len(spans))
	}
}

// Whoever does not trace does not pay for it.
func TestNoSpanCostsNothing(t *testing.T) {
	c := &call{request: &request{caller: &Caller{UserID: "u"}}, tool: &described{}}
	if n := testing.AllocsPerRun(100, func() { startSpan(t.Context(), c); endSpan(c, outcomeOK) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
