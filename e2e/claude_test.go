package e2e

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/fakeapi"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

const (
	claudeTimeout = 2 * time.Minute
	loginTimeout  = time.Minute
)

// TestClaudeCode adds the server to Claude Code, logs in by its own command and
// lets a fake model call a tool: first it gets the connect link, and when the
// person has opened that, the person's inbox.
func TestClaudeCode(t *testing.T) {
	// It would describe itself by a document in the public Internet, which the
	// tests do without; so it registers.
	s := newServer(t, "client_documents off")
	b := newBrowser(t, s, alice)
	c := newClaude(t, b)

	c.run(t, "mcp", "add", "--transport", "http", "demo", s.Endpoint)
	c.logIn(t, "demo")
	if list := c.run(t, "mcp", "list"); !strings.Contains(list, "Connected") {
		t.Fatalf("claude mcp list shows no connection:\n%s", list)
	}

	before := mcpclient.Result{Content: []mcpclient.Content{{Text: c.ask(t, "mcp__demo__list_messages")}}}
	if before.ConnectURL() == "" {
		t.Fatalf("the model got %q, want a connect link", before.Text())
	}
	connect(t, b, before.ConnectURL())
	checkInbox(t, c.ask(t, "mcp__demo__list_messages"), alice, bob)
}

// claude is an installation of Claude Code with a home of its own and a desktop
// that opens addresses in one person's browser.
type claude struct {
	harness.Program

	command []string
	desk    *browser.Desk
}

func newClaude(t *testing.T, b *browser.Browser) *claude {
	t.Helper()
	desk, err := browser.NewDesk(b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(desk.Close)
	home := t.TempDir()
	command, settings := harness.ClaudeCode(t)
	return &claude{
		command: command, desk: desk,
		Program: harness.Program{
			Dir: home, Timeout: claudeTimeout,
			Env: harness.Environment(home, append(settings, harness.Desktop(t, home, browser.Variable, desk.URL)...)...),
		},
	}
}

func (c *claude) run(t *testing.T, args ...string) string {
	t.Helper()
	return c.Run(t, c.command[0], append(c.command[1:len(c.command):len(c.command)], args...)...)
}

// logIn runs the login command, which insists on a terminal.
func (c *claude) logIn(t *testing.T, server string) {
	t.Helper()
	line := "'" + strings.Join(append(c.command[:len(c.command):len(c.command)], "mcp", "login", server), "' '") + "'"
	out := c.Run(t, "script", "-qec", line, "/dev/null")
	select {
	case opened := <-c.desk.Stops:
		if opened.Err != nil || !opened.Stop.Client {
			t.Fatalf("login ended at %v: %v\nclaude says: %s", opened.Stop.URL, opened.Err, out)
		}
	case <-time.After(loginTimeout):
		t.Fatalf("claude opened no browser: %s", out)
	}
}

// ask asks the fake model, which calls the tool, and returns what the tool
// answered.
func (c *claude) ask(t *testing.T, tool string) string {
	t.Helper()
	api, err := fakeapi.New(tool)
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	run := *c
	run.Env = append(run.Env[:len(run.Env):len(run.Env)], "ANTHROPIC_BASE_URL="+api.URL)
	out := run.run(t, "-p", "What is in my inbox?", "--allowedTools", tool, "--output-format", "json")
	var answer struct {
		Result  string `json:"result"`
		IsError bool   `json:"is_error"`
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil || answer.IsError || answer.Result != "Done." {
		t.Errorf("claude answers %q (%v), want Done.", out, err)
	}
	if faults := api.Faults(); len(faults) > 0 {
		t.Errorf("the fake api could not answer: %q", faults)
	}
	results := api.Results()
	if len(results) != 1 {
		t.Fatalf("the model got %d tool results, want one: %q\nclaude says: %s", len(results), results, out)
	}
	return results[0]
}
