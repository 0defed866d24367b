// Package clientmatrix runs the server with the MCP clients that people use, each
// through the same journey, and compares how that went with docs/clients.md.
package clientmatrix

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
)

const (
	// tokenLife is how long access tokens of the tests live.
	tokenLife = 5 * time.Second
	// stepTimeout bounds one command of a client, and waiting for a browser.
	stepTimeout = 2 * time.Minute
	// homeGone bounds the removal of a home.
	homeGone = 10 * time.Second
	// clientTimeout bounds a client that runs through its whole journey.
	clientTimeout = 5 * time.Minute
)

// The people of the server's configuration.
var (
	alice = browser.Person{Name: "alice", Password: "alice-demo"}
	bob   = browser.Person{Name: "bob", Password: "bob-demo"}
)

func TestMain(m *testing.M) {
	if err := build(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// build builds the server, what opens browsers, and the client of the Go SDK.
func build() error {
	if err := harness.Build(); err != nil {
		return err
	}
	root, err := harness.Repository()
	if err != nil {
		return err
	}
	work, err := harness.Work()
	if err != nil {
		return err
	}
	return harness.GoBuild(filepath.Join(root, "e2e", "clients", "go"), filepath.Join(work, goClient), ".")
}

// newServer starts a server whose access tokens expire quickly and whose log
// holds the requests; documents is the setting client_documents.
func newServer(t *testing.T, documents string) *harness.Server {
	t.Helper()
	settings := fmt.Sprintf("client_documents %s\nlifetimes {\naccess_token %v\n}", documents, tokenLife)
	return harness.NewServer(t, filepath.Join("..", "testdata"), "E2E_SITE=log", "E2E_SETTINGS="+settings)
}
