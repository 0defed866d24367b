package clientmatrix

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
)

// command is a client on the command line that keeps what it knows in the
// person's home, so that each step is a process of its own.
type command struct {
	harness.Program

	seat     *seat
	line     []string              // how it begins
	login    []string              // arguments that log in
	relogin  []string              // and those that do so later; none if they are the same
	terminal bool                  // the login insists on a terminal
	use      func(string) []string // arguments that call a tool
}

func (c *command) args(more []string) []string {
	return append(c.line[1:len(c.line):len(c.line)], more...)
}

func (c *command) logIn(t *testing.T) {
	t.Helper()
	line := c.loginLine()
	c.Run(t, line[0], line[1:]...)
	c.seat.loggedIn(t)
}

func (c *command) logInAgain(t *testing.T) string {
	t.Helper()
	if c.relogin != nil {
		c.login = c.relogin
	}
	c.logIn(t)
	return byCommand
}

func (c *command) loginLine() []string {
	line := append(c.line[:1:1], c.args(c.login)...)
	if c.terminal {
		return []string{"script", "-qec", "'" + strings.Join(line, "' '") + "'", "/dev/null"}
	}
	return line
}

// call allows the command to fail, as it does when the tool does.
func (c *command) call(t *testing.T, tool string) string {
	t.Helper()
	out, err := c.Try(t, c.line[0], c.args(c.use(tool))...)
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Fatalf("calling %s: %v\n%s", tool, err, out)
	}
	return out
}

func (c *command) try(t *testing.T, tool string) (shown, who string) {
	t.Helper()
	return c.call(t, tool), byItself
}

func node(t *testing.T, path ...string) []string {
	return []string{harness.Installed(t, "bin", "node"), harness.Installed(t, append([]string{"cli", "node_modules"}, path...)...)}
}

// newInspector is the Inspector without its page.
func newInspector(t *testing.T, s *seat) client {
	t.Helper()
	line := append(node(t, "@modelcontextprotocol", "inspector", "clients", "launcher", "build", "index.js"),
		"--cli", s.endpoint, "--transport", "http",
		"--callback-url", fmt.Sprintf("http://127.0.0.1:%d/oauth/callback", harness.FreePorts(t, 1)[0]))
	return &command{
		seat: s, line: line, login: []string{"--method", "tools/list"},
		use: func(tool string) []string { return []string{"--method", "tools/call", "--tool-name", tool} },
		// Without a terminal it opens no browser; without a keychain it would
		// forget the tokens.
		Program: s.program(t, "MCP_AUTO_OPEN_ENABLED=true", "MCP_INSPECTOR_SECRET_STORE=file"),
	}
}

func newMCPorter(t *testing.T, s *seat) client {
	t.Helper()
	return &command{
		seat: s, line: node(t, "mcporter", "dist", "cli.js"),
		login:   []string{"auth", s.endpoint, "--allow-http"},
		use:     func(tool string) []string { return []string{"call", s.endpoint + "." + tool, "--allow-http"} },
		Program: s.program(t),
	}
}
