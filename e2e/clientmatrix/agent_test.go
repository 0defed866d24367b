package clientmatrix

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/fakeapi"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
)

// agent is a client whose tools a model calls. The model is a fake one on
// loopback that calls the tool which the test wants.
type agent struct {
	command

	prefix string                                  // of the names of the server's tools
	add    []string                                // arguments that add the server before the login, if that is a command
	ask    func(api string) (args, setting string) // that let it ask the model behind that base URL
	litter string                                  // folder that it leaves behind to its own harm, if it does
}

func (a *agent) logIn(t *testing.T) {
	t.Helper()
	if a.add != nil {
		a.Run(t, a.line[0], a.args(a.add)...)
	}
	a.command.logIn(t)
}

// beginLogIn begins a login that need not succeed; it ends with the test.
func (a *agent) beginLogIn(t *testing.T) {
	t.Helper()
	if a.add != nil {
		a.Run(t, a.line[0], a.args(a.add)...)
	}
	line := a.loginLine()
	harness.StartScript(t, stepTimeout, a.Env, line[0], line[1:]...)
}

// logInAgain begins without what the last call left behind.
func (a *agent) logInAgain(t *testing.T) string {
	t.Helper()
	a.tidy(t)
	return a.command.logInAgain(t)
}

func (a *agent) tidy(t *testing.T) {
	t.Helper()
	if a.litter == "" {
		return
	}
	if err := os.RemoveAll(a.litter); err != nil {
		t.Fatal(err)
	}
}

// call returns what the model is told.
func (a *agent) call(t *testing.T, tool string) string {
	t.Helper()
	results, out := a.prompt(t, tool)
	if len(results) != 1 || !strings.Contains(out, "Done.") {
		t.Fatalf("the model got the results %q, want one; the client says: %s", results, out)
	}
	return results[0]
}

// try allows that the model is offered no tool, or told of a failure.
func (a *agent) try(t *testing.T, tool string) (shown, who string) {
	t.Helper()
	results, out := a.prompt(t, tool)
	return strings.Join(append(results, out), "\n"), byItself
}

// prompt lets the model call a tool, and returns what it was told of the answers,
// and what the client shows.
func (a *agent) prompt(t *testing.T, tool string) (results []string, out string) {
	t.Helper()
	api, err := fakeapi.New(a.prefix + tool)
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	a.tidy(t)
	args, setting := a.ask(api.URL)
	program := a.Program
	program.Env = append(program.Env[:len(program.Env):len(program.Env)], setting)
	out = program.Run(t, a.line[0], a.args(append(strings.Split(args, "\n"), "What is in my inbox?"))...)
	if faults := api.Faults(); len(faults) > 0 {
		t.Errorf("the fake model could not answer: %q", faults)
	}
	return api.Results(), out
}

func newClaude(t *testing.T, s *seat) client {
	t.Helper()
	line, settings := harness.ClaudeCode(t)
	return &agent{
		command: command{
			seat: s, line: line, login: []string{"mcp", "login", "demo"}, terminal: true,
			Program: s.program(t, settings...),
		},
		prefix: "mcp__demo__",
		add:    []string{"mcp", "add", "--scope", "user", "--transport", "http", "demo", s.endpoint},
		ask: func(api string) (args, setting string) {
			return "--allowedTools\nmcp__demo__whoami,mcp__demo__list_messages\n--output-format\njson\n-p", "ANTHROPIC_BASE_URL=" + api
		},
	}
}

// newCodex adds the server by the command that logs in, too.
func newCodex(t *testing.T, s *seat) client {
	t.Helper()
	return &agent{
		command: command{
			seat: s, line: node(t, "@openai", "codex", "bin", "codex.js"), login: []string{"mcp", "add", "demo", "--url", s.endpoint},
			relogin: []string{"mcp", "login", "demo"},
			Program: s.program(t),
		},
		prefix: "mcp__demo__",
		ask: func(api string) (args, setting string) {
			return strings.Join([]string{
				"exec", "--skip-git-repo-check", "--json", "--model", "fake",
				"-c", `model_provider="fake"`,
				"-c", `model_providers.fake={name="Fake",wire_api="responses",base_url="` + api + `/v1"}`,
				// Nobody is there to approve of a call.
				"-c", `mcp_servers.demo.default_tools_approval_mode="approve"`,
			}, "\n"), "OPENAI_API_KEY=none"
		},
	}
}

// openCode is the package that holds the program itself, without the launcher
// that chooses one when it is installed.
const openCode = "opencode-linux-x64"

// newOpenCode knows the server by its configuration.
func newOpenCode(t *testing.T, s *seat) client {
	t.Helper()
	setting := func(model map[string]any) string {
		config := map[string]any{
			"autoupdate": false, "share": "disabled",
			"mcp": map[string]any{"demo": map[string]string{"type": "remote", "url": s.endpoint}},
		}
		if model != nil {
			config["model"], config["small_model"] = "fake/fake", "fake/fake"
			config["provider"] = map[string]any{"fake": model}
		}
		data, err := json.Marshal(config)
		if err != nil {
			t.Fatal(err)
		}
		return "OPENCODE_CONFIG_CONTENT=" + string(data)
	}
	return &agent{
		command: command{
			seat: s, line: []string{harness.Installed(t, "cli", "node_modules", openCode, "bin", "opencode")},
			login:   []string{"mcp", "auth", "demo"},
			Program: s.program(t, "OPENCODE_DISABLE_MODELS_FETCH=1", "OPENCODE_DISABLE_AUTOUPDATE=1", setting(nil)),
		},
		prefix: "demo_",
		// Now and then it ends with a lock in its hand, and the next one waits a
		// minute for that, which is longer than it gives a server.
		litter: filepath.Join(s.home, "state", "opencode", "locks"),
		ask: func(api string) (args, env string) {
			return "run\n--format\njson", setting(map[string]any{
				"npm": "@ai-sdk/openai-compatible", "name": "Fake",
				"options": map[string]string{"baseURL": api + "/v1", "apiKey": "none"},
				"models":  map[string]any{"fake": map[string]any{"name": "Fake", "tool_call": true}},
			})
		},
	}
}
