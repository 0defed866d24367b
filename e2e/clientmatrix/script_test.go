package clientmatrix

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// script is a client in a library, in a program of ours that runs through the
// whole journey.
type script struct {
	seat    *seat
	run     *harness.Script
	desktop bool // it opens the browser by itself
}

// newScript installs nothing: the library is in the interpreter's own folder.
func newScript(command func(*testing.T) []string, desktop bool) func(*testing.T, *seat) client {
	return func(t *testing.T, s *seat) client {
		line := append(command(t), s.endpoint)
		return &script{seat: s, desktop: desktop, run: harness.StartScript(t, clientTimeout, s.environment(t), line[0], line[1:]...)}
	}
}

func (c *script) logIn(t *testing.T) {
	t.Helper()
	if c.desktop {
		c.seat.loggedIn(t)
	} else {
		_, line := c.run.Next()
		c.authorize(t, line)
	}
	c.run.Expect("tools", new(struct{}))
}

// authorize opens the browser as a line of the step authorize wants it.
func (c *script) authorize(t *testing.T, line []byte) {
	t.Helper()
	var step struct{ Step, URL string }
	if err := json.Unmarshal(line, &step); err != nil || step.Step != "authorize" {
		t.Fatalf("script says %s (%v), want the step authorize", line, err)
	}
	stop, err := c.seat.browser.Open(t.Context(), step.URL, browser.Visit{})
	if err != nil || !stop.Client || stop.Page.Status != 200 {
		t.Fatalf("login of %s ended at %+v: %v", c.seat.person.Name, stop, err)
	}
}

func (c *script) call(t *testing.T, tool string) string {
	t.Helper()
	c.run.Say(tool)
	_, line := c.run.Next()
	return c.answer(t, tool, line)
}

func (c *script) answer(t *testing.T, tool string, line []byte) string {
	t.Helper()
	var call struct {
		Step, Name string
		Result     mcpclient.Result
	}
	if err := json.Unmarshal(line, &call); err != nil || call.Step != "call" || call.Name != tool {
		t.Fatalf("asked for %s, the script says %s (%v)", tool, line, err)
	}
	return call.Result.Text()
}

// try lets the script open the browser on the way. At the step unauthorized the
// library has left the rest to the program.
func (c *script) try(t *testing.T, tool string) (shown, who string) {
	t.Helper()
	c.run.Say(tool)
	who = byItself
	for {
		switch step, line := c.run.Next(); step {
		case "authorize":
			c.authorize(t, line)
		case "unauthorized":
			who = byProgram
		default:
			return c.answer(t, tool, line), who
		}
	}
}

func (c *script) logInAgain(t *testing.T) string {
	t.Helper()
	t.Fatal("the script did not log in again")
	return ""
}

const goClient = "goclient" // in the folder of the clients

func goCommand(t *testing.T) []string { return []string{harness.Installed(t, goClient)} }

func typeScript(file string) func(*testing.T) []string {
	return func(t *testing.T) []string {
		return []string{harness.Installed(t, "bin", "node"), harness.Installed(t, "ts", file)}
	}
}

// python runs a file of the folder e2e in a virtual environment.
func python(environment string, file ...string) func(*testing.T) []string {
	return func(t *testing.T) []string {
		path, err := filepath.Abs(filepath.Join(append([]string{".."}, file...)...))
		if err != nil {
			t.Fatalf("finding the script: %v", err)
		}
		return []string{harness.Installed(t, environment, "bin", "python"), path}
	}
}
