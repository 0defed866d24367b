package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
)

// TestCatalogueCommands goes the way of an operator who looks for a provider and
// an operation, and puts the tool that comes of it into the Caddyfile.
func TestCatalogueCommands(t *testing.T) {
	v := harness.StartVault(t)
	t.Cleanup(v.CheckProtocol)
	dir := t.TempDir()
	file := filepath.Join(dir, "Caddyfile")
	site := func(tools string) string {
		return "http://localhost {\n\talter_mcp {\n\t\tvault alter {\n\t\t\tapi_key {env.KEY}\n\t\t\tbase_url " + v.BaseURL + "\n\t\t}\n\t\tidentity alter\n" + tools + "\t}\n}\n"
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(site(""))
	caddy := harness.Program{Dir: dir, Env: harness.Environment(dir, "KEY="+v.APIKey), Timeout: time.Minute}
	run := func(args ...string) string {
		t.Helper()
		return caddy.Run(t, harness.Caddy(t), args...)
	}
	if out := run("alter-mcp", "providers", "--config", file); !strings.Contains(out, "github  GitHub  read:user") {
		t.Errorf("providers prints %s", out)
	}
	if out := run("alter-mcp", "operations", "github", "create"); !strings.Contains(out, "issues/create  POST    /repos/{owner}/{repo}/issues") {
		t.Errorf("operations prints %s", out)
	}
	block := run("alter-mcp", "tool", "github", "issues/create")
	tools := "\t\t" + strings.ReplaceAll(strings.TrimSpace(block), "\n", "\n\t\t") + "\n"
	write(site(tools))
	if out, err := caddy.Try(t, harness.Caddy(t), "fmt", "--diff", file); err != nil {
		t.Errorf("caddy fmt: %v\n%s", err, out)
	}
	run("adapt", "--config", file)
	run("validate", "--config", file)

	for name, args := range map[string][]string{
		"did you mean github?":        {"operations", "gitub"},
		"did you mean issues/create?": {"tool", "github", "issue/create"},
	} {
		if out, err := caddy.Try(t, harness.Caddy(t), append([]string{"alter-mcp"}, args...)...); err == nil || !strings.Contains(out, name) {
			t.Errorf("%q: %v, %s; want %q", args, err, out, name)
		}
	}
	away := harness.Program{Dir: dir, Env: harness.Environment(dir, "ALTER_API_KEY="+v.APIKey, "ALTER_BASE_URL=http://127.0.0.1:9"), Timeout: time.Minute}
	out, err := away.Try(t, harness.Caddy(t), "alter-mcp", "providers")
	if err == nil || !strings.Contains(out, "the vault at 127.0.0.1:9 does not answer") || strings.Contains(out, v.APIKey) {
		t.Errorf("without a vault: %v, %s", err, out)
	}
}
