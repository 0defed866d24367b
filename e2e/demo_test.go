package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// TestDemo starts what `make run` starts, in a copy of the folder that its
// configuration lies in, and goes the whole way on the address that it prints.
func TestDemo(t *testing.T) {
	root, err := harness.Repository()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "demo"), os.DirFS(filepath.Join(root, "demo"))); err != nil {
		t.Fatalf("copying the demo: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, ".demo"), 0o700); err != nil { // as make does
		t.Fatal(err)
	}
	s := harness.RunServer(t, dir, filepath.Join("demo", "Caddyfile"), "http://localhost:8000/mcp",
		"http://localhost:8000", "http://localhost:8001")
	b := newBrowser(t, s, alice)
	c := logIn(t, s, b, mcpclient.Modern)
	connect(t, b, call(t, c, "list_messages").ConnectURL())
	checkInbox(t, call(t, c, "list_messages").Text(), alice, bob)
}
