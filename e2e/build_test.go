package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
)

const (
	xcaddy       = "github.com/caddyserver/xcaddy/cmd/xcaddy" // in the version of go.mod
	caddyVersion = "v2.11.9"
	module       = "github.com/alter-mcp/caddy-alter-mcp"

	buildWithin = 10 * time.Minute
)

// TestXcaddy builds Caddy as xcaddy.md says and compares the list of modules
// with the one there.
func TestXcaddy(t *testing.T) {
	root, err := harness.Repository()
	if err != nil {
		t.Fatal(err)
	}
	manual, err := os.ReadFile(filepath.Join(root, "xcaddy.md"))
	if err != nil {
		t.Fatal(err)
	}
	if command := "xcaddy build " + caddyVersion + " --with " + module + "@v0.0.0=.\n"; !strings.Contains(string(manual), command) {
		t.Errorf("xcaddy.md does not say %s", command)
	}
	dir := t.TempDir()
	if err := harness.GoBuild(".", filepath.Join(dir, "xcaddy"), xcaddy); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "caddy")
	ctx, cancel := context.WithTimeout(t.Context(), buildWithin)
	defer cancel()
	build := exec.CommandContext(ctx, filepath.Join(dir, "xcaddy"), "build", caddyVersion, "--with", module+"@v0.0.0="+root, "--output", binary)
	build.Dir = t.TempDir() // outside of any module
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("xcaddy: %v\n%s", err, out)
	}
	listed, err := exec.CommandContext(ctx, binary, "list-modules").Output()
	if err != nil {
		t.Fatalf("caddy list-modules: %v", err)
	}
	var got []string
	for line := range strings.Lines(string(listed)) {
		if strings.Contains(line, "alter_") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	if want := "```\n" + strings.Join(got, "\n") + "\n```"; len(got) == 0 || !strings.Contains(string(manual), want) {
		t.Errorf("xcaddy.md does not show the modules that there are:\n%s", want)
	}
}

// TestExamples adapts, validates and formats every example with the commands
// that a person would use; validating touches nothing.
func TestExamples(t *testing.T) {
	root, err := harness.Repository()
	if err != nil {
		t.Fatal(err)
	}
	const hash = "$2a$04$tKLYY4fOfTdHyZceHKRHf.efTPaEngL9iAk/oMkOAgof9SaMORUCK"
	for _, example := range []string{"Caddyfile.example", "demo/Caddyfile", "docs/examples/gmail.Caddyfile"} {
		for _, command := range [][]string{
			{"adapt", "--config", example, "--adapter", "caddyfile"},
			{"validate", "--config", example, "--adapter", "caddyfile"},
			{"fmt", "--diff", example},
		} {
			t.Run(example+" "+command[0], func(t *testing.T) {
				dir, home := t.TempDir(), t.TempDir()
				text, err := os.ReadFile(filepath.Join(root, example))
				if err != nil {
					t.Fatal(err)
				}
				file := filepath.Join(dir, "Caddyfile")
				if err := os.WriteFile(file, text, 0o600); err != nil {
					t.Fatal(err)
				}
				args := strings.Split(strings.ReplaceAll(strings.Join(command, "\n"), example, file), "\n")
				cmd := exec.CommandContext(t.Context(), harness.Caddy(t), args...)
				cmd.Dir = dir
				cmd.Env = harness.Environment(home, "XDG_DATA_HOME="+filepath.Join(home, "data"),
					"ALTER_MCP_KEY=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "ALTER_API_KEY=alter_rk_fakevaultfakevaultfake_2whbul", "OLD_ALTER_API_KEY=alter_key_"+strings.Repeat("old4", 10), "ALICE_HASH="+hash, "BOB_HASH="+hash,
					"GOOGLE_CLIENT_ID=x", "GOOGLE_CLIENT_SECRET=x", "GITHUB_CLIENT_ID=x", "GITHUB_CLIENT_SECRET=x",
					"TRACKER_CLIENT_ID=x", "TRACKER_CLIENT_SECRET=x", "OIDC_CLIENT_ID=x", "OIDC_CLIENT_SECRET=x", "PARTNER_CLIENT_ID=x", "PARTNER_CLIENT_SECRET=x",
					"DATABASE_URL=postgres://alter_mcp@localhost/alter_mcp")
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Errorf("caddy %s: %v\n%s", command[0], err, out)
				}
				if command[0] == "fmt" && strings.Contains(string(out), "\n+") {
					t.Errorf("caddy fmt would change it:\n%s", out)
				}
				if _, err := os.Stat(filepath.Join(home, "data", "caddy", "alter_mcp")); err == nil {
					t.Error("the data directory was touched")
				}
				left, err := os.ReadDir(dir)
				if err != nil || len(left) != 1 {
					t.Errorf("left in the folder: %v, %v", left, err)
				}
			})
		}
	}
}
