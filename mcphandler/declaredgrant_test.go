package mcphandler

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// needs is an upstream that keeps what it was asked for.
type needs struct{ need Need }

func (n *needs) Do(_ *Caller, need Need, req *http.Request) (*http.Response, error) {
	n.need = need
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/plain"}}, Body: io.NopCloser(strings.NewReader("x")), Request: req}, nil
}

func mailbox(g GrantConfig) DeclaredConfig {
	return DeclaredConfig{
		Name: "list", Description: "d", Provider: "google", GrantConfig: g,
		Inputs:  []Input{{Name: "box", Type: "string", Optional: true}, {Name: "why", Type: "string", Optional: true}},
		Request: &RequestConfig{Method: "GET", URL: "https://api.example.com/"},
	}
}

func TestGrantConfigChecks(t *testing.T) {
	for name, tt := range map[string]struct {
		grant GrantConfig
		want  string
	}{
		"unknown mode":         {GrantConfig{Mode: "fast"}, `mode "fast": accepted are auto, retrieve and proxy`},
		"long label":           {GrantConfig{Label: strings.Repeat("x", 65)}, "label: accepted are at most 64 bytes"},
		"blank in constraints": {GrantConfig{Constraints: []string{"a b"}}, `constraints "a b"`},
		"comma in constraints": {GrantConfig{Constraints: []string{"a,b"}}, `constraints "a,b"`},
		"empty constraint":     {GrantConfig{Constraints: []string{""}}, "constraints"},
		"account of no input":  {GrantConfig{Account: "{arg.none}"}, "{arg.none}"},
		"reason of no input":   {GrantConfig{Reason: "{arg.none}"}, "{arg.none}"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewDeclared(mailbox(tt.grant), new(needs), DeclaredOptions{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("NewDeclared: %v, want %q", err, tt.want)
			}
		})
	}
	cfg := mailbox(GrantConfig{Label: "x"})
	cfg.Provider = ""
	if _, err := NewDeclared(cfg, new(needs), DeclaredOptions{}); err == nil || !strings.Contains(err.Error(), "accepted only with provider") {
		t.Errorf("NewDeclared without provider: %v", err)
	}
}

// Settings reach the vault with what the call fills in, and an account that is
// not named is none.
func TestGrantConfigFillsIn(t *testing.T) {
	grant := GrantConfig{
		Label: "work", Account: "{arg.box}", Agent: "bot", Mode: GrantModeProxy, Reason: "{arg.why} for {user.name}",
		Constraints: []string{"proxy:execute"},
	}
	for name, tt := range map[string]struct {
		arguments       string
		account, reason string
	}{
		"both":    {`{"box":"a@example.com","why":"Review"}`, "a@example.com", "Review for Alice"},
		"neither": {`{}`, "", " for Alice"},
	} {
		t.Run(name, func(t *testing.T) {
			up := new(needs)
			tool, err := NewDeclared(mailbox(grant), up, DeclaredOptions{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = tool.Call(context.Background(), &Call{
				Caller: &Caller{UserID: "u", Name: "Alice"}, Arguments: json.RawMessage(tt.arguments), Approval: "approval 1",
			})
			if err != nil {
				t.Fatal(err)
			}
			want := Need{
				Provider: "google", Tool: "list", Label: "work", Account: tt.account, Agent: "bot", Mode: GrantModeProxy,
				Reason: tt.reason, Constraints: []string{"proxy:execute"}, Arguments: json.RawMessage(tt.arguments), Approval: "approval 1",
			}
			if diff := cmp.Diff(want, up.need); diff != "" {
				t.Errorf("need (-want +got):\n%s", diff)
			}
		})
	}
}
