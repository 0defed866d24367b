package mcphandler

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// BenchmarkToolsCall measures a call of a tool that does nothing: what the
// protocol costs, without sockets and without verifying a token.
func BenchmarkToolsCall(b *testing.B) {
	f := newFixture(b, func(cfg *Config) { cfg.Record = nil })
	session := f.initialize("alice", "2025-11-25", "{}")
	const legacy = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":{"a":1,"b":2}}}`
	for name, c := range map[string]struct {
		fields map[string]string
		body   string
	}{
		"modern": {modernFields("alice", "tools/call", "add"), modernCall("add", `{"a":1,"b":2}`)},
		"legacy": {map[string]string{
			"Authorization": "Bearer alice", "Mcp-Protocol-Version": "2025-11-25", "Mcp-Session-Id": session,
		}, legacy},
		"legacy that would hear of progress": {map[string]string{
			"Authorization": "Bearer alice", "Mcp-Protocol-Version": "2025-11-25", "Mcp-Session-Id": session,
		}, strings.Replace(legacy, `"arguments"`, `"_meta":{"progressToken":1},"arguments"`, 1)},
		"legacy without session": {map[string]string{
			"Authorization": "Bearer alice", "Mcp-Protocol-Version": "2025-11-25",
		}, legacy},
	} {
		b.Run(name, func(b *testing.B) {
			body := bytes.NewReader([]byte(c.body))
			r := httptest.NewRequest("POST", "/mcp", body)
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Accept", "application/json, text/event-stream")
			for name, value := range c.fields {
				r.Header.Set(name, value)
			}
			w := &discard{header: make(http.Header)}
			b.ReportAllocs()
			for b.Loop() {
				body.Reset([]byte(c.body))
				r.Body = io.NopCloser(body)
				clear(w.header)
				f.handler.ServeHTTP(w, r)
			}
			if w.status != http.StatusOK {
				b.Fatalf("status %d", w.status)
			}
		})
	}
}

// discard is a response that nobody reads.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
