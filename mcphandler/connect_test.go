package mcphandler

import (
	"net/http"
	"testing"
	"time"
)

// TestStateExpires has what transcripts cannot show: time that passes.
func TestStateExpires(t *testing.T) {
	const caps = `"_meta":{"` + metaVersion + `":"2026-07-28","` + metaCapabilities + `":{"elicitation":{"url":{}}}}`
	const first = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"inbox",` + caps
	tests := map[string]struct {
		after  time.Duration
		status int
	}{
		"in time": {stateLifetime - time.Second, http.StatusOK},
		"late":    {stateLifetime, http.StatusBadRequest},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil)
			fields := modernFields("alice", "tools/call", "inbox")
			w := f.serve("POST", fields, first+"}}")
			state := between(w.Body.String(), `"requestState":"`, `"`)
			if state == "" {
				t.Fatalf("no state in %s", w.Body)
			}
			f.now = f.now.Add(test.after)
			w = f.serve("POST", fields, first+`,"requestState":"`+state+`","inputResponses":{"connect":{"action":"accept"}}}}`)
			if w.Code != test.status {
				t.Errorf("retry: status %d, want %d; body %s", w.Code, test.status, w.Body)
			}
		})
	}
}

func TestDeclaresURLs(t *testing.T) {
	tests := map[string]struct {
		capabilities string
		want         bool
	}{
		"both modes":      {`{"elicitation":{"form":{},"url":{}}}`, true},
		"empty":           {`{"elicitation":{}}`, false},
		"no elicitation":  {`{"sampling":{}}`, false},
		"null":            {`{"elicitation":{"url":null}}`, false},
		"true":            {`{"elicitation":{"url":true}}`, false},
		"elsewhere":       {`{"url":{},"sampling":{"url":{}}}`, false},
		"twice":           {`{"elicitation":{"url":{}},"elicitation":{}}`, false},
		"no object":       {`[]`, false},
		"absent":          {``, false},
		"in capitals":     {`{"Elicitation":{"URL":{}}}`, false},
		"with white room": {"{ \"elicitation\" : { \"url\" : { } } }", true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := declaresURLs([]byte(test.capabilities)); got != test.want {
				t.Errorf("declaresURLs(%s) = %v, want %v", test.capabilities, got, test.want)
			}
		})
	}
}
