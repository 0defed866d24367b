package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// span is one of OpenTelemetry's exporter to the standard output.
type span struct {
	Name        string
	SpanContext struct{ TraceID, SpanID string }
	Parent      struct{ SpanID string }
}

// TestTracing has the spans of a call below that of Caddy's tracing, down to the
// requests to the vault and to the provider. What the person asked for is in none.
func TestTracing(t *testing.T) {
	v, s := newAlter(t, "E2E_SITE=tracing", "OTEL_TRACES_EXPORTER=console", "OTEL_BSP_SCHEDULE_DELAY=50")
	b := newBrowser(t, s, alice)
	c := logIn(t, s, b, mcpclient.Modern)
	connect(t, b, call(t, c, "list_messages").ConnectURL())
	checkGmail(t, call(t, c, "list_messages"), alice, bob)

	const last = "GET < tools/call list_messages < handler"
	byID := make(map[string]span)
	names := make(map[string]int)
	for end := time.Now().Add(10 * time.Second); names[last] == 0 && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		byID, names = spansOf(t, s.Log())
	}
	if names["tools/call list_messages < handler"] != 2 || names["POST < tools/call list_messages < handler"] == 0 || names[last] != 1 {
		t.Errorf("spans %v", names)
	}
	calls := v.Calls("/sdk/token")
	if len(calls) == 0 {
		t.Fatal("the vault was not asked for a token")
	}
	for _, one := range calls {
		sent := ""
		for _, field := range one.Header {
			if strings.EqualFold(field.Name, "Traceparent") {
				sent = field.Value
			}
		}
		parts := strings.Split(sent, "-")
		if len(parts) != 4 || byID[parts[2]].Name != "POST" {
			t.Errorf("the vault got the traceparent %q, which is none of the spans of requests", sent)
		}
	}
	for line := range strings.Lines(s.Log()) {
		if strings.HasPrefix(line, `{"Name":"GET"`) && strings.Contains(line, "gmail/v1") || strings.Contains(line, c.Tokens.AccessToken) {
			t.Errorf("a span holds a path or a token: %s", line)
		}
	}
}

// spansOf reads the spans in a log, and counts them by the names on their way up.
func spansOf(t *testing.T, log string) (byID map[string]span, names map[string]int) {
	t.Helper()
	byID, names = make(map[string]span), make(map[string]int)
	for line := range strings.Lines(log) {
		if !strings.HasPrefix(line, `{"Name":`) || !strings.HasSuffix(line, "\n") {
			continue
		}
		var one span
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("reading a span: %v: %s", err, line)
		}
		byID[one.SpanContext.SpanID] = one
	}
	for _, one := range byID {
		path := one.Name
		for parent, ok := byID[one.Parent.SpanID]; ok; parent, ok = byID[parent.Parent.SpanID] {
			path += " < " + parent.Name
		}
		names[path]++
	}
	return byID, names
}
