package altermcp

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const modulePath = "github.com/alter-mcp/caddy-alter-mcp"

// TestImports holds the arrows between the packages: who may import whom of our
// own, and who may know Caddy. Tests may import more.
func TestImports(t *testing.T) {
	own := map[string][]string{ // package to what it may import of this module
		".":                           {"authserver", "mcphandler", "vaultclient", "vaultclient/alter", "vaultclient/altervault", "vaultclient/connect", "vaultclient/local", "store", "internal/web", "internal/toolblock", "internal/similar"},
		"authserver":                  {"internal/web"},
		"authserver/storetest":        {"authserver"},
		"mcphandler":                  nil,
		"vaultclient":                 nil,
		"vaultclient/altervault":      {"vaultclient", "vaultclient/alter", "vaultclient/connect", "internal/web", "internal/similar"},
		"vaultclient/connect":         {"internal/web"},
		"vaultclient/local":           {"vaultclient", "vaultclient/connect", "internal/web"},
		"vaultclient/local/storetest": {"vaultclient", "vaultclient/local"},
		"vaultclient/alter":           {"vaultclient"},
		"vaultclient/alter/spooltest": {"vaultclient/alter"},
		// The fake judges the client: it must not share its code.
		"vaultclient/alter/altertest":            nil,
		"vaultclient/alter/altertest/altervault": {"vaultclient/alter/altertest"},
		"store":                                  {"authserver", "vaultclient", "vaultclient/local", "vaultclient/alter"},
		"internal/web":                           nil,
		"internal/toolblock":                     nil,
		"internal/similar":                       nil,
		"demo":                                   nil,
		"cmd/caddy":                              {".", "demo"},
	}
	knowsCaddy := []string{".", "demo", "cmd/caddy"}

	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "e2e" || d.Name() == "bench" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != ".") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		pkg := filepath.ToSlash(filepath.Dir(path))
		allowed, known := own[pkg]
		if !known {
			t.Errorf("%s: package %s is not in the table of arrows", path, pkg)
			return nil
		}
		seen[pkg] = true
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range f.Imports {
			checkImport(t, path, pkg, strings.Trim(spec.Path.Value, `"`), allowed, knowsCaddy)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range own {
		if !seen[pkg] {
			t.Errorf("package %s is in the table of arrows and not in the tree", pkg)
		}
	}
}

func checkImport(t *testing.T, path, pkg, imported string, allowed, knowsCaddy []string) {
	t.Helper()
	if strings.HasPrefix(imported, "github.com/caddyserver/") && !slices.Contains(knowsCaddy, pkg) {
		t.Errorf("%s imports %s: package %s must not know Caddy", path, imported, pkg)
	}
	rest, ours := strings.CutPrefix(imported, modulePath)
	if !ours {
		return
	}
	rest = strings.TrimPrefix(rest, "/")
	if rest == "" {
		rest = "."
	}
	if !slices.Contains(allowed, rest) {
		t.Errorf("%s imports %s: there is no arrow from %s to %s", path, imported, pkg, rest)
	}
}
