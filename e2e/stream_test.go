package e2e

import (
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// Calls that wait until a person approves them stream: the client hears what
// they wait for.

const proxyCalls = "/sdk/proxy"

// newGatedAlter is newAlter with a mailbox of alice whose calls she has to
// approve.
func newGatedAlter(t *testing.T, more ...string) (*harness.Vault, *harness.Server) {
	t.Helper()
	v, s := newAlter(t, more...)
	v.Post("grant", map[string]any{"person": "alice", "provider": "google", "gates": 1})
	return v, s
}

// approve decides as the person does who opens the address in a report, or in an
// answer.
func approve(t *testing.T, v *harness.Vault, text string) {
	t.Helper()
	_, address, ok := strings.Cut(text, v.BaseURL+"/approve/")
	if !ok {
		t.Fatalf("%q holds no address to approve at", text)
	}
	id, _, _ := strings.Cut(path.Base(address), " ")
	v.Post("approval", map[string]string{"id": id, "decision": "approve"})
}

// waitingCall is a call under way.
type waitingCall struct {
	reports <-chan string
	done    <-chan *mcpclient.Result
}

// startCall calls the mailbox and waits for the first report, which it returns.
func startCall(t *testing.T, c *mcpclient.Client) (*waitingCall, string) {
	t.Helper()
	reports, done := make(chan string, 100), make(chan *mcpclient.Result, 1)
	c.Progress = func(message string) { reports <- message }
	go func() {
		defer close(done)
		result, err := c.Call(t.Context(), "list_messages", nil, nil)
		if err != nil {
			t.Errorf("call that waits: %v", err)
			return
		}
		done <- result
	}()
	select {
	case first := <-reports:
		return &waitingCall{reports, done}, first
	case result := <-done:
		t.Fatalf("the call ended without a report: %+v", result)
		return nil, ""
	}
}

// end waits for the answer.
func (w *waitingCall) end(t *testing.T) *mcpclient.Result {
	t.Helper()
	select {
	case result := <-w.done:
		if result == nil {
			t.FailNow() // the error is told
		}
		return result
	case <-time.After(10 * time.Second):
		t.Fatal("the call goes on")
		return nil
	}
}

// checkMadeOnce fails the test unless the vault was asked once to make a call.
func checkMadeOnce(t *testing.T, v *harness.Vault) {
	t.Helper()
	if n := len(v.Calls(proxyCalls)); n != 1 {
		t.Errorf("the vault was asked %d times to make the call, want once", n)
	}
}

// TestStream approves a call while its client waits.
func TestStream(t *testing.T) {
	for _, revision := range []string{mcpclient.Modern, mcpclient.Legacy} {
		t.Run(revision, func(t *testing.T) {
			v, s := newGatedAlter(t)
			c := logIn(t, s, newBrowser(t, s, alice), revision)
			waiting, report := startCall(t, c)
			approve(t, v, report)
			checkGmail(t, waiting.end(t), alice, bob)
			checkMadeOnce(t, v)
		})
	}
}

// TestStreamAtTheEnd stops and reloads the server while a call waits for an
// approval: the process is gone within two seconds, the client gets an answer
// that tells where to approve, and the next try the result of the one call.
//
// Security OPS-07, OPS-11.
func TestStreamAtTheEnd(t *testing.T) {
	ends := map[string]func(t *testing.T, s *harness.Server){
		"stop": func(_ *testing.T, s *harness.Server) {
			s.Terminate()
			s.AwaitExit(answered)
		},
		"reload": func(_ *testing.T, s *harness.Server) { s.Reload(s.Admin, withSettings("instructions new")) },
		"reload and stop": func(_ *testing.T, s *harness.Server) {
			s.Reload(s.Admin, withSettings("instructions new"))
			s.Terminate()
			s.AwaitExit(answered)
		},
	}
	for name, end := range ends {
		for _, revision := range []string{mcpclient.Modern, mcpclient.Legacy} {
			t.Run(name+" "+revision, func(t *testing.T) {
				v, s := newGatedAlter(t)
				c := logIn(t, s, newBrowser(t, s, alice), revision)
				waiting, _ := startCall(t, c)
				end(t, s)
				result := waiting.end(t)
				if !result.IsError || !strings.Contains(string(result.Structured), `"approval_required"`) {
					t.Fatalf("the call ends with %+v, want where to approve it", result)
				}
				if name != "reload" {
					s.Restart()
				}
				approve(t, v, result.Text())
				checkGmail(t, call(t, c, "list_messages"), alice, bob)
				checkMadeOnce(t, v)
			})
		}
	}
}

// TestStopWhileApprovalIsAwaited stops the server while a call of a client that hears
// of no progress waits for an approval: that holds up nothing either.
//
// Security OPS-11.
func TestStopWhileApprovalIsAwaited(t *testing.T) {
	v, s := newGatedAlter(t)
	c := logIn(t, s, newBrowser(t, s, alice), mcpclient.Legacy)
	done := make(chan *mcpclient.Result, 1)
	go func() {
		defer close(done)
		result, err := c.Call(t.Context(), "list_messages", nil, nil)
		if err != nil {
			t.Errorf("call that waits: %v", err)
			return
		}
		done <- result
	}()
	patientlyFor(t, "the vault is asked to make the call", func() bool { return len(v.Calls(proxyCalls)) == 1 })
	s.Terminate()
	s.AwaitExit(answered)
	if result := <-done; result == nil || !strings.Contains(string(result.Structured), `"approval_required"`) {
		t.Errorf("the call ends with %+v, want where to approve it", result)
	}
	s.Restart()
}

// patientlyFor waits until something has happened elsewhere.
func patientlyFor(t *testing.T, what string, happened func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !happened() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within ten seconds: %s", what)
		}
	}
}

// TestProgressOfClients has the clients of the official SDKs hear what a call
// waits for, before they get its result.
func TestProgressOfClients(t *testing.T) {
	root, err := harness.Repository()
	if err != nil {
		t.Fatal(err)
	}
	goClient := filepath.Join(t.TempDir(), "goclient")
	if err := harness.GoBuild(filepath.Join(root, "e2e", "clients", "go"), goClient, "."); err != nil {
		t.Fatal(err)
	}
	node := harness.Installed(t, "bin", "node")
	for name, command := range map[string][]string{
		"TypeScript SDK v1":    {node, harness.Installed(t, "ts", "v1.mjs")},
		"TypeScript client v2": {node, harness.Installed(t, "ts", "v2.mjs")},
		"Python SDK":           {harness.Installed(t, "py", "bin", "python"), filepath.Join(root, "e2e", "clients", "py", "client.py")},
		"Go SDK":               {goClient},
	} {
		t.Run(name, func(t *testing.T) { testProgress(t, command) })
	}
}

func testProgress(t *testing.T, command []string) {
	v, s := newGatedAlter(t)
	b := newBrowser(t, s, alice)
	run := harness.StartScript(t, scriptTimeout, harness.Environment(t.TempDir()), command[0], append(command[1:], s.Endpoint)...)
	var authorize struct{ URL string }
	run.Expect("authorize", &authorize)
	open(t, b, authorize.URL, browser.Visit{})
	var tools struct{ Names []string }
	run.Expect("tools", &tools)

	run.Say("list_messages")
	var heard struct {
		Progress struct {
			Progress float64
			Message  string
		}
	}
	run.Expect("progress", &heard)
	if heard.Progress.Progress != 1 {
		t.Errorf("the first report is %+v, want number 1", heard.Progress)
	}
	approve(t, v, heard.Progress.Message)
	var answer toolCall
	run.Expect("call", &answer)
	checkGmail(t, &answer.Result, alice, bob)
	checkMadeOnce(t, v)
	run.End()
}
