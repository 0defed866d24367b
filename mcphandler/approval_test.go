package mcphandler

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const approveURL = "https://vault.example.com/approve/1"

// newApprovals returns a handler with a tool that waits for an approval, until
// it is called with that approval, and one whose caller has to log in again.
func newApprovals(t *testing.T, outputSchema string) *fixture {
	t.Helper()
	tool := &fakeTool{Description: Description{Name: "send", InputSchema: json.RawMessage(anyObject)}}
	tool.OutputSchema = json.RawMessage(outputSchema)
	tool.call = func(_ context.Context, c *Call) (*Result, error) {
		if c.Approval == "approval 1" {
			return &Result{Content: textContent("sent"), StructuredContent: json.RawMessage(`{"sum":1}`)}, nil
		}
		return nil, &ConnectError{Provider: "google", Title: "Google", Reason: ReasonApprovalRequired, URL: approveURL, ID: "approval 1"}
	}
	over := &fakeTool{Description: Description{Name: "over", InputSchema: json.RawMessage(anyObject)}}
	over.call = func(context.Context, *Call) (*Result, error) {
		return nil, fmt.Errorf("%w: secret of the vault", ErrInvalidToken)
	}
	return newFixture(t, func(c *Config) {
		source, err := NewStaticSource([]Tool{tool, over})
		if err != nil {
			t.Fatal(err)
		}
		c.Sources = []Source{source}
	})
}

const elicits = `"_meta":{"` + metaVersion + `":"2026-07-28","` + metaCapabilities + `":{"elicitation":{"url":{}}}}`

// A client that opens URLs and keeps a state comes back with the approval. The
// state is of this person and this call.
func TestApprovalByElicitation(t *testing.T) {
	f := newApprovals(t, "")
	call := func(token, arguments, more string) string {
		w := f.serve("POST", modernFields(token, "tools/call", "send"),
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"send","arguments":`+arguments+`,`+elicits+more+`}}`)
		return w.Body.String()
	}
	asked := call("alice", `{"to":"bob"}`, "")
	state := between(asked, `"requestState":"`, `"`)
	for _, want := range []string{`"resultType":"input_required"`, `"url":"` + approveURL + `"`, "waits for your approval"} {
		if !strings.Contains(asked, want) {
			t.Errorf("answer %s, want %s in it", asked, want)
		}
	}
	retry := `,"requestState":"` + state + `"`
	accepted := retry + `,"inputResponses":{"connect":{"action":"accept"}}`
	tests := map[string]struct{ token, arguments, more, want string }{
		"accepted":                     {"alice", `{"to":"bob"}`, accepted, `"text":"sent"`},
		"with the state alone":         {"alice", `{ "to" : "bob" }`, retry, `"text":"sent"`},
		"declined":                     {"alice", `{"to":"bob"}`, retry + `,"inputResponses":{"connect":{"action":"decline"}}`, `"isError":true`},
		"without the state":            {"alice", `{"to":"bob"}`, "", `"resultType":"input_required"`},
		"with that of another call":    {"alice", `{"to":"eve"}`, accepted, "requestState is invalid"},
		"with that of another person":  {"bob", `{"to":"bob"}`, accepted, "requestState is invalid"},
		"with that of another client":  {"alice/other", `{"to":"bob"}`, accepted, "requestState is invalid"},
		"with a state that was forged": {"alice", `{"to":"bob"}`, `,"requestState":"eyJpIjoiYXBwcm92YWwgMSJ9"`, "requestState is invalid"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := call(tt.token, tt.arguments, tt.more); !strings.Contains(got, tt.want) {
				t.Errorf("answer %s, want %s in it", got, tt.want)
			}
		})
	}
}

// The session era has an error with the URL.
func TestApprovalByElicitationInASession(t *testing.T) {
	f := newApprovals(t, "")
	session := f.initialize("alice", "2025-11-25", `{"elicitation":{"url":{}}}`)
	w := f.serve("POST", map[string]string{"Authorization": "Bearer alice", "Mcp-Session-Id": session, "Mcp-Protocol-Version": "2025-11-25"},
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"send","arguments":{}}}`)
	if errorCode(t, w.Body.Bytes()) != codeElicitationNeeded || !strings.Contains(w.Body.String(), `"url":"`+approveURL+`"`) {
		t.Errorf("answer %s, want the error %d with the URL", w.Body, codeElicitationNeeded)
	}
}

// Every other client gets a text, and a structured answer where no schema says
// otherwise.
func TestApprovalAsText(t *testing.T) {
	for name, schema := range map[string]string{"no schema": "", "a schema": `{"type":"object","properties":{"sum":{"type":"integer"}}}`} {
		t.Run(name, func(t *testing.T) {
			f := newApprovals(t, schema)
			w := f.serve("POST", modernFields("alice", "tools/call", "send"), modernCall("send", "{}"))
			var answer struct {
				Result struct {
					Content           []struct{ Text string }
					StructuredContent map[string]string
					IsError           bool
				}
			}
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
				t.Fatal(err)
			}
			r := answer.Result
			if !r.IsError || len(r.Content) != 1 || !strings.Contains(r.Content[0].Text, approveURL) {
				t.Errorf("result %+v, want a failure that names the URL", r)
			}
			s := r.StructuredContent
			if schema != "" && s != nil {
				t.Errorf("structured content %v, which the schema does not describe", s)
			}
			if schema == "" && (s["error"] != ReasonApprovalRequired || s["approval_url"] != approveURL || s["connect_url"] != "" || s["provider"] != "google") {
				t.Errorf("structured content %v", s)
			}
		})
	}
}

// A tool that finds the person's login over has the client log in again, in both
// eras.
func TestToolEndsTheLogin(t *testing.T) {
	f := newApprovals(t, "")
	session := f.initialize("alice", "2025-11-25", `{}`)
	for name, fields := range map[string]map[string]string{
		"2026-07-28": modernFields("alice", "tools/call", "over"),
		"2025-11-25": {"Authorization": "Bearer alice", "Mcp-Session-Id": session, "Mcp-Protocol-Version": "2025-11-25"},
	} {
		t.Run(name, func(t *testing.T) {
			body := modernCall("over", "{}")
			if name != "2026-07-28" {
				body = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"over","arguments":{}}}`
			}
			w := f.serve("POST", fields, body)
			challenge := w.Header().Get("WWW-Authenticate")
			if w.Code != http.StatusUnauthorized || !strings.Contains(challenge, `error="invalid_token"`) || !strings.Contains(challenge, "resource_metadata=") {
				t.Errorf("answer %d %q, want 401 with a challenge", w.Code, challenge)
			}
			if text := w.Body.String() + challenge; strings.Contains(text, "secret of the vault") {
				t.Errorf("the client is told %s", text)
			}
		})
	}
}
