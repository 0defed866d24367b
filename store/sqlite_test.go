package store

import (
	"context"
	"database/sql"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
)

func TestReopenFindsAll(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "new", "folder #1?", "a%20b.db")
	db, err := OpenSQLite(ctx, path, testOptions())
	must(t, "OpenSQLite", err)
	want := familyFor(t, db.Realm("realm"), "family")
	must(t, "Ping", db.Ping(ctx))
	must(t, "Close", db.Close())
	if err := db.Ping(ctx); err == nil {
		t.Error("Ping after Close = nil, want an error")
	}
	wantErr(t, "write after Close", db.Realm("realm").RevokeFamily(ctx, "family", at()), ErrClosed)
	for _, name := range []string{"a%20b.db", "a%20b.db.lock"} {
		if _, err := os.Stat(filepath.Join(filepath.Dir(path), name)); err != nil {
			t.Errorf("file of the database: %v", err)
		}
	}
	if _, err := os.Stat(path + "-wal"); err == nil {
		t.Error("the write-ahead log is there after Close, want it folded in")
	}

	got, err := openTest(t, path).Realm("realm").Family(ctx, "family")
	must(t, "Family", err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("family after reopening (-want +got):\n%s", diff)
	}
}

// Security VAULT-07.
func TestFileModes(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a", "b", "alter.db")
	must(t, "MkdirAll", os.MkdirAll(filepath.Join(dir, "a"), 0o755))
	// A database that somebody copied here keeps no mode of its own.
	must(t, "Mkdir", os.Mkdir(filepath.Join(dir, "a", "b"), 0o750))
	must(t, "WriteFile", os.WriteFile(path, nil, 0o644))
	other := filepath.Join(dir, "c", "d", "alter.db")

	familyFor(t, openTest(t, path).Realm("realm"), "family")
	familyFor(t, openTest(t, other).Realm("realm"), "family")
	for name, want := range map[string]fs.FileMode{
		path: 0o600, path + "-wal": 0o600, path + "-shm": 0o600, path + ".lock": 0o600,
		other: 0o600, other + "-wal": 0o600, other + "-shm": 0o600, other + ".lock": 0o600,
		filepath.Join(dir, "a"): 0o755, filepath.Join(dir, "a", "b"): 0o750, // not ours to change
		filepath.Join(dir, "c"): 0o700, filepath.Join(dir, "c", "d"): 0o700,
	} {
		info, err := os.Stat(name)
		must(t, "Stat", err)
		if got := info.Mode().Perm(); got != want {
			t.Errorf("mode of %s = %o, want %o", name, got, want)
		}
	}
}

func TestOtherKeysetIsRefused(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "alter.db")
	db, err := OpenSQLite(ctx, path, testOptions())
	must(t, "OpenSQLite", err)
	familyFor(t, db.Realm("realm"), "family")
	must(t, "Close", db.Close())
	before, err := os.ReadFile(path)
	must(t, "ReadFile", err)

	other := Options{Sealer: newSealer("other"), Fingerprint: "other"}
	_, err = OpenSQLite(ctx, path, other)
	wantErr(t, "OpenSQLite with another keyset", err, ErrOtherKeyset)
	if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "was sealed with another encryption key") {
		t.Errorf("error %q does not say which database and why", err)
	}
	after, err := os.ReadFile(path)
	must(t, "ReadFile", err)
	if string(before) != string(after) {
		t.Error("the refused process changed the database")
	}
	_, err = openTest(t, path).Realm("realm").Family(ctx, "family")
	must(t, "Family with the right keyset again", err)
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	must(t, "WriteFile", os.WriteFile(file, []byte(strings.Repeat("no database ", 1000)), 0o600))
	newer := filepath.Join(dir, "newer.db")
	db, err := OpenSQLite(t.Context(), newer, testOptions())
	must(t, "OpenSQLite", err)
	must(t, "making it newer", db.write(t.Context(), func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `INSERT INTO `+migrationTable+` (version_id, is_applied) VALUES (99999, true)`)
		return err
	}))
	must(t, "Close", db.Close())

	for name, c := range map[string]struct {
		path string
		o    Options
		want string
	}{
		"a file in place of a folder":    {filepath.Join(file, "alter.db"), testOptions(), "creating folder"},
		"a folder in place of the file":  {dir, testOptions(), "opening database: open " + dir},
		"a file that is no database":     {file, testOptions(), "opening database " + file},
		"a schema of a newer program":    {newer, testOptions(), "schema version 99999, made by a newer program"},
		"no sealer":                      {file, Options{Fingerprint: "f"}, "sealer and fingerprint are required"},
		"no fingerprint":                 {file, Options{Sealer: newSealer("key")}, "sealer and fingerprint are required"},
		"a folder that cannot be made":   {"/proc/self/alter/alter.db", testOptions(), "creating folder"},
		"a path that the system refuses": {filepath.Join(dir, "nul\x00", "x.db"), testOptions(), "creating folder"},
	} {
		t.Run(name, func(t *testing.T) {
			db, err := OpenSQLite(t.Context(), c.path, c.o)
			if err == nil {
				must(t, "Close", db.Close())
				t.Fatalf("OpenSQLite = nil, want an error with %q", c.want)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("OpenSQLite = %q, want it to contain %q", err, c.want)
			}
		})
	}
}

func TestFailedOpenGivesTheLockBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alter.db")
	must(t, "WriteFile", os.WriteFile(path, []byte(strings.Repeat("no database ", 1000)), 0o600))
	if _, err := OpenSQLite(t.Context(), path, testOptions()); err == nil {
		t.Fatal("OpenSQLite of a file that is no database = nil, want an error")
	}
	must(t, "Remove", os.Remove(path))
	must(t, "Ping", openTest(t, path).Ping(t.Context()))
}

func TestReadsCannotWrite(t *testing.T) {
	db := newTest(t)
	if _, err := db.reads.exec(t.Context(), `DELETE FROM meta`); err == nil {
		t.Error("DELETE by a connection for reads = nil, want an error")
	}
}

// TestFirstStartCutShort opens a database whose first start ended between the
// migration and the fingerprint.
func TestFirstStartCutShort(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alter.db")
	db, err := OpenSQLite(t.Context(), path, testOptions())
	must(t, "OpenSQLite", err)
	must(t, "Close", db.Close())
	editFile(t, path, `DELETE FROM meta`)
	must(t, "Ping", openTest(t, path).Ping(t.Context()))
}

// TestMigrationFromTheFirstSchema opens a database of the program before audit
// records, with what is in it.
func TestMigrationFromTheFirstSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alter.db")
	db, err := OpenSQLite(t.Context(), path, testOptions())
	must(t, "OpenSQLite", err)
	want := familyFor(t, db.Realm("realm"), "family")
	must(t, "Close", db.Close())
	backToFirstSchema(t, path)

	r := openTest(t, path).Realm("realm")
	got, err := r.Family(t.Context(), "family")
	must(t, "Family", err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("family after the migration (-want +got):\n%s", diff)
	}
	must(t, "Write", r.AuditSpool("scope").Write(t.Context(), alter.AuditWrite{Add: auditRows("id")}))
	must(t, "PutIdentityTokens", r.PutIdentityTokens(t.Context(), &authserver.KeptTokens{UserID: "alice"}))
	must(t, "SetPendingApproval", r.SetPendingApproval(t.Context(), "alice", "call", "1", at()))
}

// backToFirstSchema makes the database what the first program of all left, with
// the rows that it knew.
func backToFirstSchema(t *testing.T, path string) {
	t.Helper()
	editFile(t, path, `DROP TABLE audit_spool; DROP TABLE audit_usage; DROP TABLE identity_tokens; DROP TABLE approvals; DROP TABLE devices;
		DELETE FROM `+migrationTable+` WHERE version_id > 1`)
}

// editFile changes rows of a database as an intruder would, from outside.
func editFile(t *testing.T, path, query string, args ...any) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	must(t, "sql.Open", err)
	res, err := db.ExecContext(t.Context(), query, args...)
	must(t, query, err)
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		t.Fatalf("%s changed %d rows (%v)", query, n, err)
	}
	must(t, "Close", db.Close())
}

func TestEndedSessions(t *testing.T) {
	ctx := t.Context()
	db := newTest(t)
	r := db.Realm("realm")
	now := at()
	isEnded := func(r *Realm, id string, want bool) {
		t.Helper()
		got, err := r.SessionEnded(ctx, id)
		if err != nil || got != want {
			t.Errorf("SessionEnded(%q) = %t, %v; want %t", id, got, err, want)
		}
	}
	isEnded(r, "id", false)
	must(t, "EndSession", r.EndSession(ctx, "id", now.Add(time.Hour)))
	must(t, "EndSession for a shorter time", r.EndSession(ctx, "id", now))
	isEnded(r, "id", true)
	isEnded(r, "ID", false)
	isEnded(db.Realm("another"), "id", false)
	must(t, "Sweep", db.Sweep(ctx, now.Add(time.Hour)))
	isEnded(r, "id", true)
	must(t, "Sweep", db.Sweep(ctx, now.Add(time.Hour+time.Millisecond)))
	isEnded(r, "id", false)
}

// TestRealmsAreApart asks one realm for all that another has (ISO-05).
func TestRealmsAreApart(t *testing.T) {
	ctx := t.Context()
	db := newTest(t)
	a, b := db.Realm("https://a.example/mcp"), db.Realm("https://b.example/mcp")
	f := familyFor(t, a, "family")
	now := at()
	must(t, "AddClient", a.AddClient(ctx, &authserver.Client{ID: "c"}, 1))
	ua, err := a.UpsertUser(ctx, "ua", "iss", "sub", authserver.Profile{}, now)
	must(t, "UpsertUser", err)
	must(t, "AddSession", a.AddSession(ctx, &authserver.Session{Hash: hashOf("s"), ExpiresAt: now.Add(time.Hour)}))
	must(t, "PutConsent", a.PutConsent(ctx, &authserver.Consent{UserID: "ua"}))
	must(t, "AddFirstKey", a.AddFirstKey(ctx, &authserver.SigningKey{ID: "kid"}))

	_, err = b.Client(ctx, "c")
	wantErr(t, "Client", err, authserver.ErrNotFound)
	_, err = b.User(ctx, ua.ID)
	wantErr(t, "User", err, authserver.ErrNotFound)
	_, err = b.Session(ctx, hashOf("s"), now)
	wantErr(t, "Session", err, authserver.ErrNotFound)
	wantErr(t, "ExtendSession", b.ExtendSession(ctx, hashOf("s"), now), authserver.ErrNotFound)
	_, err = b.Consent(ctx, "ua", "", "")
	wantErr(t, "Consent", err, authserver.ErrNotFound)
	_, err = b.Code(ctx, hashOf("code of family"), now)
	wantErr(t, "Code", err, authserver.ErrNotFound)
	_, err = b.Family(ctx, "family")
	wantErr(t, "Family", err, authserver.ErrNotFound)
	ok, err := b.RotateFamily(ctx, &authserver.Rotation{FamilyID: "family", Presented: f.Current, Now: now})
	if ok || err != nil {
		t.Errorf("RotateFamily of another realm = %t, %v; want false", ok, err)
	}
	keys, err := b.SigningKeys(ctx)
	if len(keys) != 0 || err != nil {
		t.Errorf("SigningKeys of another realm = %v, %v; want none", keys, err)
	}

	must(t, "DeleteSession", b.DeleteSession(ctx, hashOf("s")))
	must(t, "RevokeFamily", b.RevokeFamily(ctx, "family", now))
	if _, err := b.SweepClients(ctx, now.Add(time.Hour), now); err != nil {
		t.Errorf("SweepClients = %v", err)
	}
	must(t, "AddClient of the same id with a limit of its own", b.AddClient(ctx, &authserver.Client{ID: "c"}, 1))
	ub, err := b.UpsertUser(ctx, "ub", "iss", "sub", authserver.Profile{}, now)
	if err != nil || ub.ID != "ub" {
		t.Errorf("UpsertUser of the same subject = %v, %v; want a user of its own", ub, err)
	}
	_, err = a.Session(ctx, hashOf("s"), now)
	must(t, "Session after the other realm's DeleteSession", err)
	got, err := a.Family(ctx, "family")
	must(t, "Family", err)
	if !got.RevokedAt.IsZero() {
		t.Error("another realm revoked the family")
	}
	_, err = a.Client(ctx, "c")
	must(t, "Client after the other realm's SweepClients", err)
}
