// Package webbrowser drives a real Chromium, by a script of its own, so that Go
// tests can look at the pages of the server as people see them.
package webbrowser

import (
	"cmp"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
)

// life bounds one browser.
const life = 5 * time.Minute

// Variable is the environment variable that names the browser's program.
// Default: that of Debian's package, /usr/bin/chromium.
const Variable = "E2E_CHROMIUM"

// Window is how a tab is shown.
type Window struct {
	Name          string
	Width, Height int     // CSS pixels
	Scale         float64 // device pixels of a CSS pixel; default 1
	Dark          bool    // the person prefers dark pages
}

// Phone is the window of a common phone.
func Phone() Window { return Window{Name: "phone", Width: 390, Height: 844} }

// Desktop is a window on a small screen.
func Desktop() Window { return Window{Name: "desktop", Width: 1280, Height: 900} }

// Browser is a running Chromium with a fresh profile. It ends with the test.
type Browser struct {
	script *harness.Script
	tabs   int
}

// Start starts a browser. Flags are Chromium's.
func Start(t testing.TB, flags ...string) *Browser {
	t.Helper()
	driver := harness.Installed(t, "webbrowser", "driver.mjs")
	program := cmp.Or(os.Getenv(Variable), "/usr/bin/chromium")
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("finding the browser, which e2e/install.sh browser installs: %v", err)
	}
	b := &Browser{script: harness.StartScript(t, life, harness.Environment(t.TempDir(), Variable+"="+program),
		harness.Installed(t, "bin", "node"), append([]string{driver}, flags...)...)}
	t.Cleanup(b.script.End)
	var version string
	b.script.Ask(t, map[string]any{"command": "version"}, &version)
	t.Logf("Chromium %s", version)
	return b
}

// Screenshots returns the folder for screenshots, which is made.
func Screenshots(t testing.TB) string {
	t.Helper()
	work, err := harness.Work()
	if err != nil {
		t.Fatalf("finding the folder for screenshots: %v", err)
	}
	dir := filepath.Join(work, "screenshots")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatalf("making the folder for screenshots: %v", err)
	}
	return dir
}
