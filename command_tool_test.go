package altermcp

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/alter-mcp/caddy-alter-mcp/internal/toolblock"
	"github.com/alter-mcp/caddy-alter-mcp/mcphandler"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

// inSite is a Caddyfile with tool blocks as they were written.
func inSite(blocks ...string) string {
	tools := strings.ReplaceAll(strings.TrimSuffix(strings.Join(blocks, ""), "\n"), "\n", "\n\t\t")
	return "http://localhost {\n\talter_mcp {\n\t\tapi_key " + altertest.DefaultAPIKey + "\n\t\t" + tools + "\n\t}\n}\n"
}

// accepted fails the test unless a Caddyfile is formatted, adapts without a
// warning, and is valid.
func accepted(t *testing.T, text string) {
	t.Helper()
	if formatted := string(caddyfile.Format([]byte(text))); formatted != text {
		t.Errorf("caddy fmt changes it to:\n%s", formatted)
	}
	cfg := new(caddy.Config)
	if err := json.Unmarshal([]byte(adaptText(t, strings.TrimSuffix(text, "\n"))), cfg); err != nil {
		t.Fatalf("adapting: %s", adaptText(t, strings.TrimSuffix(text, "\n")))
	}
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	if err := caddy.Validate(cfg); err != nil {
		t.Errorf("validating: %v", err)
	}
}

// What the command writes is taken by caddy fmt, adapt and validate as it is.
func TestToolCommand(t *testing.T) {
	withVault(t, altertest.Config{})
	schema := filepath.Join(t.TempDir(), "arguments.json")
	var blocks []string
	for _, args := range [][]string{
		{"github", "issues/list-for-repo"},
		{"github", "issues/create"},
		{"github", "issues/create", "--name", "open_issue", "--base-url", "https://uploads.github.com/api/v3/", "--schema", schema},
		{"google", "gmail.users.messages.list"},
	} {
		out, _, err := command(t, append([]string{"tool"}, args...)...)
		if err != nil {
			t.Fatalf("%q: %v", args, err)
		}
		blocks = append(blocks, out)
	}
	accepted(t, inSite(blocks...))
	for _, want := range []string{"https://uploads.github.com/api/v3/repos/{arg.owner}/{arg.repo}/issues", "tool open_issue {", "assignees {arg.assignees}"} {
		if !strings.Contains(blocks[2], want) {
			t.Errorf("%s has no %q", blocks[2], want)
		}
	}
	if text, err := os.ReadFile(schema); err != nil || !strings.Contains(string(text), `"assignees"`) {
		t.Errorf("the schema is %s, %v", text, err)
	}
}

func TestToolCommandWithoutAHost(t *testing.T) {
	withVault(t, altertest.Config{Catalogue: []altertest.CatalogueItem{
		{ID: "acme", Title: "Acme", Operations: []altertest.APIOperation{{ID: "list", Method: "GET", Path: "/list"}}},
	}})
	if _, _, err := command(t, "tool", "acme", "list"); err == nil || !strings.Contains(err.Error(), "a base URL is wanted by --base-url") {
		t.Errorf("%v, want the flag", err)
	}
	out, _, err := command(t, "tool", "acme", "list", "--base-url", "https://api.acme.example/v1")
	if err != nil || !strings.Contains(out, "get https://api.acme.example/v1/list\n") {
		t.Errorf("%v, %s", err, out)
	}
	accepted(t, inSite(out))
}

// nothing sends nothing.
type nothing struct{}

func (nothing) Do(*mcphandler.Caller, mcphandler.Need, *http.Request) (*http.Response, error) {
	return nil, http.ErrHandlerTimeout
}

// FuzzToolBlock writes tools of what anybody may have put into an API's document:
// each is one tool with the settings that a tool block has from here, and nothing
// else is in the Caddyfile.
func FuzzToolBlock(f *testing.F) {
	f.Add("issues/create", "POST", "/repos/{owner}/issues", "Create \"it\"", "q", "string", "A `text` with {braces}", "open\nimport /etc/passwd", "^[a-z]{1,3}$")
	f.Add("x\ny", "GET", "https://api.example/{+a}/{b-c}:send", "}\nhandle {", "filter[name]", "integer", "{$HOME} {env.KEY} {file./etc/passwd}", "1", "`")
	f.Add("", "DELETE", "/a/{}", "<<EOF", "import", "array", "a\\", "", "{path}")
	f.Add("a", "PUT", "/a b\"c", "ends in \\", "a\\\"b", "boolean", "\u202e", "true", "(")
	f.Fuzz(func(t *testing.T, id, method, path, summary, name, kind, description, value, pattern string) {
		op := toolblock.Operation{ID: id, Method: method, Path: path, Summary: summary}
		raw := func(v any) json.RawMessage {
			text, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			return text
		}
		schema := map[string]any{"type": kind, "enum": []any{value, value}, "pattern": pattern, "items": map[string]any{"type": "string", "enum": []any{value}}}
		op.Parameters = []json.RawMessage{raw(map[string]any{"name": name, "in": "query", "description": description, "schema": schema})}
		if method == "POST" || method == "PUT" {
			op.Body = raw(map[string]any{"type": "object", "properties": map[string]any{
				name: map[string]any{"type": kind, "description": description, "pattern": pattern}, value: map[string]any{"type": "string"},
			}})
		}
		block, err := toolblock.Write(op, toolblock.Options{Provider: "acme", BaseURL: "https://api.example.com"})
		if err != nil {
			return
		}
		d := caddyfile.NewTestDispenser(block.Text)
		if !d.Next() {
			t.Fatalf("no token in %q", block.Text)
		}
		tool := new(DeclaredTool)
		if err := tool.UnmarshalCaddyfile(d.NewFromNextSegment()); err != nil {
			t.Fatalf("%v of\n%s", err, block.Text)
		}
		if d.Next() {
			t.Fatalf("%q comes after the tool:\n%s", d.Val(), block.Text)
		}
		if _, err := mcphandler.NewDeclared(tool.DeclaredConfig, nothing{}, mcphandler.DeclaredOptions{}); err != nil {
			t.Fatalf("%v of\n%s", err, block.Text)
		}
		if formatted := string(caddyfile.Format([]byte(block.Text))); formatted != block.Text {
			t.Fatalf("caddy fmt changes\n%s\nto\n%s", block.Text, formatted)
		}
		out := adaptText(t, strings.TrimSuffix(inSite(block.Text), "\n"))
		if !strings.HasPrefix(out, "{") || strings.Count(out, `"type": "declared"`) != 1 || strings.Contains(out, "{http.") {
			t.Fatalf("%s\nadapts to\n%s", block.Text, out)
		}
	})
}
