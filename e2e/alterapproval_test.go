package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// TestAlterApproval lets a client give up while a person is to approve its call,
// and the server be killed. The person decides, the client comes back with the
// same call, and that is made once.
func TestAlterApproval(t *testing.T) {
	tests := map[string]struct {
		decision string
		want     string
	}{
		"approved": {"allow", `"person":"alice"`},
		"denied":   {"deny", "the call was not approved"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			v, s := newAlter(t)
			b := newBrowser(t, s, alice)
			c := logIn(t, s, b, mcpclient.Modern)
			v.Post("grant", map[string]any{"person": "alice", "provider": "google", "gates": 1})
			page := giveUp(t, v, c)
			s.Kill()
			s.Restart()
			if end := open(t, b, page, browser.Visit{Decision: tt.decision}); end.Page.Status != 200 {
				t.Fatalf("deciding ends with %d %q", end.Page.Status, end.Page.Text)
			}
			if result := call(t, c, "list_messages"); !strings.Contains(result.Text(), tt.want) || result.IsError != (tt.decision == "deny") {
				t.Errorf("list_messages gives %q, want %q", result.Text(), tt.want)
			}
			if n := len(v.Calls("/sdk/proxy")); n != 1 {
				t.Errorf("the call was asked for %d times, want once", n)
			}
		})
	}
}

// giveUp begins a call, and ends it when the server waits for the approval, whose
// page it returns.
func giveUp(t *testing.T, v *harness.Vault, c *mcpclient.Client) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := c.Call(ctx, "list_messages", nil, nil)
		ended <- err
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(15 * time.Second); ; {
		var calls []harness.VaultCall
		v.Get("log", &calls)
		for _, asked := range calls {
			if id, ok := strings.CutPrefix(asked.Path, "/sdk/approvals/"); ok {
				cancel()
				if err := <-ended; err == nil {
					t.Error("the call ended before the client gave up")
				}
				return v.BaseURL + "/approve/" + id
			}
		}
		select {
		case <-tick.C:
		case err := <-ended:
			t.Fatalf("the call ended at once: %v", err)
		case <-deadline:
			t.Fatal("nobody waits for an approval")
		}
	}
}
