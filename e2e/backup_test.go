package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// backUp copies a database that is in use, by the interface that the sqlite3
// program's .backup has, too.
const backUp = `import sqlite3, sys
sqlite3.connect(sys.argv[1]).backup(sqlite3.connect(sys.argv[2]))`

// TestBackup restores a backup that was made while the server ran. It opens with
// the key, people's grants are there, whoever refreshed since then logs in again,
// and nobody else does. Security VAULT-08.
func TestBackup(t *testing.T) {
	s := newServer(t)
	alices, bobs := newBrowser(t, s, alice), newBrowser(t, s, bob)
	refreshed, idle := logIn(t, s, alices, mcpclient.Modern), logIn(t, s, bobs, mcpclient.Modern)
	connect(t, alices, call(t, refreshed, "list_messages").ConnectURL())
	connect(t, bobs, call(t, idle, "list_messages").ConnectURL())

	copied := filepath.Join(t.TempDir(), "backup.db")
	program := harness.Program{Dir: t.TempDir(), Env: os.Environ(), Timeout: 30 * time.Second}
	program.Run(t, harness.Installed(t, "py", "bin", "python"), "-c", backUp, s.Database(), copied)
	for range 2 {
		if err := refreshed.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.Kill()
	s.RestoreDatabase(copied)
	s.Restart()

	checkInbox(t, call(t, idle, "list_messages").Text(), bob, alice)
	if err := idle.Refresh(t.Context()); err != nil {
		t.Errorf("refresh of a token that the backup knows: %v", err)
	}
	var refused *mcpclient.OAuthError
	if err := refreshed.Refresh(t.Context()); !errors.As(err, &refused) || refused.Code != "invalid_grant" {
		t.Errorf("refresh of a token that is newer than the backup: %v, want invalid_grant", err)
	}
	if _, err := refreshed.Call(t.Context(), "whoami", nil, nil); err == nil {
		t.Error("the family goes on after a token that counts as used again")
	}
	checkInbox(t, call(t, logIn(t, s, alices, mcpclient.Modern), "list_messages").Text(), alice, bob)
}
