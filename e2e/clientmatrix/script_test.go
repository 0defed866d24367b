package clientmatrix

import (
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
		var authorize struct{ URL string }
		c.run.Expect("authorize", &authorize)
		stop, err := c.seat.browser.Open(t.Context(), authorize.URL, browser.Visit{})
		if err != nil || !stop.Client || stop.Page.Status != 200 {
			t.Fatalf("login of %s ended at %+v: %v", c.seat.person.Name, stop, err)
		}
	}
	c.run.Expect("tools", new(struct{}))
}

func (c *script) call(t *testing.T, tool string) string {
	t.Helper()
	var answer struct {
		Name   string
		Result mcpclient.Result
	}
	c.run.Say(tool)
	c.run.Expect("call", &answer)
	if answer.Name != tool {
		t.Fatalf("asked for %s, the script called %s", tool, answer.Name)
	}
	return answer.Result.Text()
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
