package clientmatrix

import (
	"debug/buildinfo"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
)

// kind is a line of the table.
type kind struct {
	name    string
	version func(*testing.T) string // installed
	install func(*testing.T, *seat) client
	// document is the address by which it describes itself to servers that
	// take client ID metadata documents; "" if it only registers.
	document string
}

func kinds() []*kind {
	return []*kind{
		{name: "Claude Code", version: npm("ts", "@anthropic-ai", "claude-code"), install: newClaude, document: "https://claude.ai/oauth/claude-code-client-metadata"},
		{name: "Codex", version: npm("cli", "@openai", "codex"), install: newCodex, document: "https://chatgpt.com/oauth/codex/client.json"},
		{name: "opencode", version: npm("cli", openCode), install: newOpenCode},
		{name: "mcp-remote (Claude Desktop)", version: npm("cli", "mcp-remote"), install: newBridge},
		{name: "MCP Inspector", version: npm("cli", "@modelcontextprotocol", "inspector"), install: newInspector},
		{name: "mcporter", version: npm("cli", "mcporter"), install: newMCPorter},
		{name: "TypeScript SDK 1", version: npm("ts", "@modelcontextprotocol", "sdk"), install: newScript(typeScript("v1.mjs"), false)},
		{name: "TypeScript client 2", version: npm("ts", "@modelcontextprotocol", "client"), install: newScript(typeScript("v2.mjs"), false)},
		{name: "Python SDK", version: pip("py", "mcp"), install: newScript(python("py", "clients", "py", "client.py"), false)},
		{name: "FastMCP 3", version: pip("fastmcp3", "fastmcp"), install: newScript(python("fastmcp3", "clientmatrix", "fastmcp", "client.py"), true)},
		{name: "FastMCP 4", version: pip("fastmcp4", "fastmcp"), install: newScript(python("fastmcp4", "clientmatrix", "fastmcp", "client.py"), true)},
		{name: "Go SDK", version: goModule("github.com/modelcontextprotocol/go-sdk"), install: newScript(goCommand, false)},
	}
}

// TestClients leads every client through the journey and compares the table that
// this makes with the one in docs/clients.md.
func TestClients(t *testing.T) {
	t.Parallel()
	all := kinds()
	var mu sync.Mutex
	rows := make(map[string]row)
	t.Cleanup(func() { compareTable(t, all, rows) })
	for _, k := range all {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			j := &journey{kind: k}
			r := j.run(t)
			mu.Lock()
			defer mu.Unlock()
			rows[k.name] = r
		})
	}
}

// TestDocuments lets the clients that describe themselves by a document on the
// Internet log in to a server that offers that, but accepts none from there: it
// shows which document they name.
func TestDocuments(t *testing.T) {
	t.Parallel()
	for _, k := range kinds() {
		if k.document == "" {
			continue
		}
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, "client.invalid")
			s := newSeat(t, server, alice)
			k.install(t, s).(*agent).beginLogIn(t)
			opened := s.opened(t)
			if opened.Err != nil || opened.Stop.Client || opened.Stop.Page.Status != 400 {
				t.Errorf("login ended at %+v: %v, want a page that says no", opened.Stop, opened.Err)
			}
			asked := watch(t, server, 0).authorizations()
			if len(asked) == 0 {
				t.Error("client asked for no authorization")
			}
			for _, query := range asked {
				if id := query.Get("client_id"); id != k.document {
					t.Errorf("client calls itself %q, want %q", id, k.document)
				}
			}
		})
	}
}

// npm reads the version of an installed package.
func npm(folder string, path ...string) func(*testing.T) string {
	return func(t *testing.T) string {
		t.Helper()
		file := harness.Installed(t, append(append([]string{folder, "node_modules"}, path...), "package.json")...)
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var pkg struct{ Version string }
		if err := json.Unmarshal(data, &pkg); err != nil {
			t.Fatalf("reading %s: %v", file, err)
		}
		return pkg.Version
	}
}

// pip finds the version of a package in a virtual environment.
func pip(environment, name string) func(*testing.T) string {
	return func(t *testing.T) string {
		t.Helper()
		pattern := filepath.Join(harness.Installed(t, environment), "lib", "python3*", "site-packages", name+"-*.dist-info")
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) != 1 {
			t.Fatalf("%s is there %d times (%v), want once", pattern, len(found), err)
		}
		return strings.TrimSuffix(strings.TrimPrefix(filepath.Base(found[0]), name+"-"), ".dist-info")
	}
}

// goModule reads the version of a module from the client that was built with it.
func goModule(path string) func(*testing.T) string {
	return func(t *testing.T) string {
		t.Helper()
		info, err := buildinfo.ReadFile(harness.Installed(t, goClient))
		if err != nil {
			t.Fatal(err)
		}
		for _, dep := range info.Deps {
			if dep.Path == path {
				return strings.TrimPrefix(dep.Version, "v")
			}
		}
		t.Fatalf("the client was built without %s", path)
		return ""
	}
}
