package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// TestIdentityTokensMadeAnew: a renewal that began before the row was swept does
// not replace that of a new login.
func TestIdentityTokensMadeAnew(t *testing.T) {
	ctx := t.Context()
	db := newTest(t)
	r := db.Realm("realm")
	old := &authserver.KeptTokens{UserID: "alice", UpdatedAt: at()}
	must(t, "PutIdentityTokens", r.PutIdentityTokens(ctx, old))
	must(t, "Sweep", db.Sweep(ctx, at().Add(2*identityRest)))
	if _, err := r.RecentIdentityTokens(ctx, "alice"); !errors.Is(err, authserver.ErrNotFound) {
		t.Fatalf("after the sweep: %v, want ErrNotFound", err)
	}
	anew := &authserver.KeptTokens{UserID: "alice", UpdatedAt: at()}
	must(t, "PutIdentityTokens", r.PutIdentityTokens(ctx, anew))
	if anew.Version <= old.Version {
		t.Errorf("version %d after %d, want a later one", anew.Version, old.Version)
	}
	if err := r.PutIdentityTokens(ctx, old); !errors.Is(err, authserver.ErrConflict) {
		t.Errorf("PutIdentityTokens of what was swept = %v, want ErrConflict", err)
	}
}

// Security VAULT-01.
func TestIdentityTokensAreSealed(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "alter.db")
	db, err := OpenSQLite(ctx, path, testOptions())
	must(t, "OpenSQLite", err)
	secret := authserver.NewSecret("what nobody may read")
	must(t, "PutIdentityTokens", db.Realm("realm").PutIdentityTokens(ctx, &authserver.KeptTokens{
		UserID: "alice", Tokens: authserver.IdentityTokens{Subject: secret.Reveal(), ID: secret, Access: secret, Refresh: secret},
	}))
	must(t, "Close", db.Close())
	file, err := os.ReadFile(path)
	must(t, "ReadFile", err)
	if !strings.Contains(string(file), "alice") || strings.Contains(string(file), secret.Reveal()) {
		t.Error("the file has a token in clear, or not the row at all")
	}
}
