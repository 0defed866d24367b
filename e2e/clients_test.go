package e2e

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

const scriptTimeout = 2 * time.Minute

// The clients of the official SDKs, each logging in by itself and calling the
// tools before and after the mailbox is connected.

func TestTypeScriptSDKv1(t *testing.T) {
	testScript(t, mcpclient.Legacy, harness.Installed(t, "bin", "node"), harness.Installed(t, "ts", "v1.mjs"))
}

func TestTypeScriptClientV2(t *testing.T) {
	testScript(t, mcpclient.Modern, harness.Installed(t, "bin", "node"), harness.Installed(t, "ts", "v2.mjs"))
}

func TestPythonClient(t *testing.T) {
	script, err := filepath.Abs(filepath.Join("clients", "py", "client.py"))
	if err != nil {
		t.Fatalf("finding the script: %v", err)
	}
	testScript(t, mcpclient.Modern, harness.Installed(t, "py", "bin", "python"), script)
}

// toolCall is the step "call" of a script.
type toolCall struct {
	Name   string           `json:"name"`
	Result mcpclient.Result `json:"result"`
}

func testScript(t *testing.T, revision, interpreter, script string) {
	s := newServer(t)
	b := newBrowser(t, s, alice)
	run := harness.StartScript(t, scriptTimeout, harness.Environment(t.TempDir()), interpreter, script, s.Endpoint)

	var authorize struct{ URL string }
	run.Expect("authorize", &authorize)
	if stop := open(t, b, authorize.URL, browser.Visit{}); !stop.Client || stop.Page.Status != 200 {
		t.Fatalf("login ended at %s with %d on the page %q: %s", stop.URL, stop.Page.Status, stop.Page.Title, stop.Page.Text)
	}
	var tools struct {
		Protocol string
		Names    []string
	}
	run.Expect("tools", &tools)
	if diff := cmp.Diff([]string{"list_messages", "whoami"}, tools.Names); diff != "" || tools.Protocol != revision {
		t.Errorf("client speaks %s, want %s, and sees the tools (-want +got):\n%s", tools.Protocol, revision, diff)
	}
	ask := func(tool string) (answer toolCall) {
		run.Say(tool)
		run.Expect("call", &answer)
		return answer
	}
	who := ask("whoami")
	if text := who.Result.Text(); who.Result.IsError || !strings.Contains(text, alice.Name) {
		t.Errorf("whoami gives %q, want %s", text, alice.Name)
	}
	before := ask("list_messages")
	if !before.Result.IsError || before.Result.ConnectURL() == "" {
		t.Fatalf("list_messages gives %+v, want a failure with a connect link", before.Result)
	}
	connect(t, b, before.Result.ConnectURL())
	after := ask("list_messages")
	if after.Result.IsError {
		t.Errorf("list_messages fails after connecting: %s", after.Result.Text())
	}
	checkInbox(t, after.Result.Text(), alice, bob)
	run.End()
}
