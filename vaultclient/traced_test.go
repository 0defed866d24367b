package vaultclient

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

func TestTraced(t *testing.T) {
	const address = "https://api.example.com:8443/messages/of-alice?q=secret"
	tests := map[string]struct {
		traceparent string
		status      int
		err         error
		want        map[string]string // beside what all have
	}{
		"good":                    {"", 200, nil, map[string]string{"http.response.status_code": "200"}},
		"with a traceparent":      {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", 204, nil, map[string]string{"http.response.status_code": "204"}},
		"refused":                 {"", 403, nil, map[string]string{"http.response.status_code": "403", "error.type": "403"}},
		"a failure with a secret": {"", 0, errors.New(address), map[string]string{"error.type": "*errors.errorString"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			spans := tracetest.NewSpanRecorder()
			ctx, parent := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test").Start(t.Context(), "call")
			req := httptest.NewRequest("GET", address, nil).WithContext(ctx)
			if test.traceparent != "" {
				req.Header.Set("Traceparent", test.traceparent)
			}
			var sent string
			var within trace.SpanContext
			resp, err := Traced(roundTripper(func(r *http.Request) (*http.Response, error) {
				sent, within = r.Header.Get("Traceparent"), trace.SpanContextFromContext(r.Context())
				return &http.Response{StatusCode: test.status}, test.err
			})).RoundTrip(req)
			if !errors.Is(err, test.err) || resp.StatusCode != test.status {
				t.Errorf("RoundTrip = %v, %v", resp, err)
			}
			if len(spans.Ended()) != 1 {
				t.Fatalf("%d spans, want 1", len(spans.Ended()))
			}
			span := spans.Ended()[0]
			want := map[string]string{"http.request.method": "GET", "server.address": "api.example.com", "server.port": "8443"}
			for name, value := range test.want {
				want[name] = value
			}
			got := make(map[string]string)
			for _, a := range span.Attributes() {
				got[string(a.Key)] = a.Value.String()
			}
			if diff := cmp.Diff(want, got); diff != "" || span.Name() != "GET" || span.SpanKind() != trace.SpanKindClient {
				t.Errorf("span %q (-want +got):\n%s", span.Name(), diff)
			}
			if span.Parent().SpanID() != parent.SpanContext().SpanID() || within.SpanID() != span.SpanContext().SpanID() {
				t.Error("the span is not below the call's, or the request not within it")
			}
			expected := ""
			if test.traceparent != "" {
				expected = "00-" + span.SpanContext().TraceID().String() + "-" + span.SpanContext().SpanID().String() + "-01"
			}
			if sent != expected {
				t.Errorf("traceparent %q was sent, want %q", sent, expected)
			}
			if kept := req.Header.Get("Traceparent"); kept != test.traceparent {
				t.Errorf("the caller's header is now %q", kept)
			}
		})
	}
}

func TestUntracedCostsNothing(t *testing.T) {
	answer := &http.Response{StatusCode: http.StatusOK}
	base := Traced(roundTripper(func(*http.Request) (*http.Response, error) { return answer, nil }))
	req := httptest.NewRequest("GET", "https://api.example.com/", nil)
	if n := testing.AllocsPerRun(100, func() { _, _ = base.RoundTrip(req) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
