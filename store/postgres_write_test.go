//go:build postgres

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// Writes that wait share a commit; one that is refused, or that the server does not
// like, is undone alone.
func TestPostgresSharedCommit(t *testing.T) {
	db := openPostgresTest(t, postgresOptions(newSchema(t)))
	release := hold(t, db)
	const good = 20
	refusal := errors.New("refused")
	results := make(chan error, good+2)
	put := func(name string, after error) {
		go func() {
			results <- db.write(context.Background(), func(ctx context.Context, t *tx) error {
				if _, err := t.exec(ctx, `INSERT INTO meta (name, value) VALUES ($1, $2)`, name, "v"); err != nil {
					return err
				}
				return after
			})
		}()
	}
	before := db.writer.commits.Load()
	for i := range good {
		put(fmt.Sprint("good ", i), nil)
	}
	queuedUp(db, good)
	put("refused", refusal)
	put("keyset", nil) // is there
	queuedUp(db, good+2)
	release()
	failed := 0
	for range good + 2 {
		if err := <-results; err != nil {
			failed++
			if !errors.Is(err, refusal) && !hasCode(err, "23505") {
				t.Errorf("write = %v", err)
			}
		}
	}
	if commits := db.writer.commits.Load() - before; failed != 2 || commits != 2 {
		t.Errorf("%d writes failed in %d commits, want 2 in 2", failed, commits)
	}
	var rows int
	must(t, "reading", db.reads.row(t.Context(), `SELECT count(*) FROM meta WHERE name LIKE 'good %' OR name = 'refused'`).Scan(&rows))
	if rows != good {
		t.Errorf("%d rows, want %d", rows, good)
	}
}

// Nodes that lock rows in other orders get out of each other's way.
func TestPostgresDeadlock(t *testing.T) {
	a, b := twoNodes(t)
	execIn(t, a, `INSERT INTO meta (name, value) VALUES ('one', ''), ('two', '')`)
	add := func(db *DB, names ...string) error {
		return db.write(context.Background(), func(ctx context.Context, t *tx) error {
			for _, name := range names {
				if _, err := t.exec(ctx, `UPDATE meta SET value = value || '+' WHERE name = $1`, name); err != nil {
					return err
				}
			}
			return nil
		})
	}
	var failed atomic.Int64
	const rounds = 40
	race(4, func(i int) {
		names := []string{"one", "two"}
		if i%2 == 1 {
			names = []string{"two", "one"}
		}
		for range rounds {
			if err := add([]*DB{a, b}[i%2], names...); err != nil {
				failed.Add(1)
				t.Error(err)
			}
		}
	})
	for _, name := range []string{"one", "two"} {
		var value string
		must(t, "reading", a.reads.row(t.Context(), `SELECT value FROM meta WHERE name = $1`, name).Scan(&value))
		if len(value) != 4*rounds {
			t.Errorf("%s was written %d times, want %d", name, len(value), 4*rounds)
		}
	}
}

// execIn runs a statement as a write.
func execIn(t *testing.T, db *DB, statement string, args ...any) {
	t.Helper()
	must(t, statement, db.write(t.Context(), func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, statement, args...)
		return err
	}))
}

// A connection that the server ends is replaced without an error: nothing was sent
// that may be done twice.
func TestPostgresConnectionsEnd(t *testing.T) {
	db := openPostgresTest(t, postgresOptions(newSchema(t)))
	r := db.Realm(realm)
	for i := range 5 {
		execSQL(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'alter_mcp'`)
		c := &authserver.Client{ID: fmt.Sprint(i), RedirectURIs: []string{"http://127.0.0.1/"}, AuthMethod: "none", CreatedAt: at()}
		if err := r.AddClient(t.Context(), c, 100); err != nil {
			t.Errorf("AddClient = %v", err)
		}
	}
}

// What no text of PostgreSQL can be is not there.
func TestPostgresStrangeText(t *testing.T) {
	db := openPostgresTest(t, postgresOptions(newSchema(t)))
	r := db.Realm(realm)
	for _, id := range []string{"a\x00b", "a\xffb", strings.Repeat("x", 1<<16), "'; DROP TABLE clients; --"} {
		if _, err := r.Client(t.Context(), id); !errors.Is(err, authserver.ErrNotFound) {
			t.Errorf("Client(%.20q) = %v, want ErrNotFound", id, err)
		}
	}
	must(t, "Ping", db.Ping(t.Context()))
}

// A server that would acknowledge before its disk does is told not to.
func TestPostgresSynchronousCommit(t *testing.T) {
	for setting, want := range map[string]string{"off": "on", "remote_apply": "remote_apply"} {
		t.Run(setting, func(t *testing.T) {
			schema := newSchema(t)
			config, err := parsePostgres(postgresURL(t), schema)
			must(t, "parsePostgres", err)
			config.RuntimeParams["synchronous_commit"] = setting
			p := &postgres{config: config, opts: postgresOptions(schema)}
			db := p.pool(1)
			defer func() { must(t, "Close", db.Close()) }()
			got := map[string]string{}
			for _, name := range []string{"synchronous_commit", "lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"} {
				var value string
				must(t, "reading", db.QueryRow(`SELECT current_setting($1)`, name).Scan(&value))
				got[name] = value
			}
			if diff := cmp.Diff(map[string]string{
				"synchronous_commit": want, "lock_timeout": "4s", "statement_timeout": "10s", "idle_in_transaction_session_timeout": "10s",
			}, got); diff != "" {
				t.Errorf("settings (-want +got):\n%s", diff)
			}
		})
	}
}

// A claim is one node's, until it is released or its time is over.
func TestPostgresClaim(t *testing.T) {
	a, b := twoNodes(t)
	claim := func(db *DB, until time.Duration) (func(), bool) {
		release, claimed, err := db.Realm(realm).Claim(t.Context(), "renewal", time.Now().Add(until))
		must(t, "Claim", err)
		return release, claimed
	}
	release, claimed := claim(a, time.Minute)
	if _, other := claim(b, time.Minute); !claimed || other {
		t.Fatalf("claimed %t, by the other node, too, %t", claimed, other)
	}
	release()
	release, claimed = claim(b, time.Millisecond)
	if !claimed {
		t.Fatal("after the release nobody else can claim")
	}
	<-time.After(10 * time.Millisecond) // its end
	if _, claimed = claim(a, time.Minute); !claimed {
		t.Fatal("after its end nobody else can claim")
	}
	release() // of who came too late: the claim of the other one stays
	if _, claimed = claim(b, time.Minute); claimed {
		t.Error("a late release gave up another's claim")
	}
}

// Four nodes that open an empty database at once make it together.
func TestPostgresOpenedTogether(t *testing.T) {
	schema := newSchema(t)
	race(4, func(int) {
		db, err := OpenPostgres(context.Background(), postgresURL(t), postgresOptions(schema))
		if err == nil {
			err = errors.Join(db.Ping(context.Background()), db.Close())
		}
		if err != nil {
			t.Error(err)
		}
	})
}

func TestPostgresOtherKeyset(t *testing.T) {
	schema := newSchema(t)
	openPostgresTest(t, postgresOptions(schema))
	o := postgresOptions(schema)
	o.Sealer, o.Fingerprint = newSealer("other"), "other"
	_, err := OpenPostgres(t.Context(), postgresURL(t), o)
	wantErr(t, "OpenPostgres with another key", err, ErrOtherKeyset)
}

func TestPostgresNewerSchema(t *testing.T) {
	schema := newSchema(t)
	db := openPostgresTest(t, postgresOptions(schema))
	execIn(t, db, `INSERT INTO alter_mcp_migrations (version_id, is_applied) VALUES (9999, true)`)
	if _, err := OpenPostgres(t.Context(), postgresURL(t), postgresOptions(schema)); err == nil || !strings.Contains(err.Error(), "newer program") {
		t.Errorf("OpenPostgres of a newer schema = %v", err)
	}
}

// Settings that nobody can wait for are errors of the start, without the password.
func TestPostgresRefuses(t *testing.T) {
	for name, url := range map[string]string{
		"a wrong password":    strings.Replace(postgresURL(t), ":p4ss", ":"+hush, 1),
		"no such database":    strings.Replace(postgresURL(t), "/postgres?", "/nowhere?", 1),
		"TLS that is not had": strings.Replace(postgresURL(t), "sslmode=disable", "sslmode=nonsense", 1),
	} {
		_, err := OpenPostgres(t.Context(), url, postgresOptions(""))
		if err == nil || strings.Contains(err.Error(), hush) || strings.Contains(err.Error(), "p4ss") {
			t.Errorf("%s: OpenPostgres = %v, want an error without the password", name, err)
		}
	}
}

// All rows are sealed anew, also those that a node with the older key writes after
// the first node was done.
func TestPostgresReseal(t *testing.T) {
	schema := newSchema(t)
	old := openPostgresTest(t, postgresOptions(schema))
	put := func(db *DB, id string) {
		c := &authserver.Client{ID: id, RedirectURIs: []string{"http://127.0.0.1/"}, AuthMethod: "none", Metadata: []byte(`{}`), CreatedAt: at()}
		must(t, "AddClient", db.Realm(realm).AddClient(t.Context(), c, 100))
	}
	put(old, "before")
	o := postgresOptions(schema)
	o.Sealer, o.Fingerprint, o.Older = bothKeys{newSealer("new"), newSealer("key")}, "new", []string{"fingerprint"}
	must(t, "Reseal", openPostgresTest(t, o).Reseal(t.Context()))
	put(old, "after")
	must(t, "Reseal of the last node", openPostgresTest(t, o).Reseal(t.Context()))
	o.Sealer, o.Older = newSealer("new"), nil
	alone := openPostgresTest(t, o)
	for _, id := range []string{"before", "after"} {
		if _, err := alone.Realm(realm).Client(t.Context(), id); err != nil {
			t.Errorf("client %s with the new key alone: %v", id, err)
		}
	}
}

// bothKeys seals by the first key and opens by both.
type bothKeys struct{ current, older testSealer }

func (s bothKeys) Seal(plaintext, ad []byte) ([]byte, error) { return s.current.Seal(plaintext, ad) }

func (s bothKeys) Open(sealed, ad []byte) ([]byte, error) {
	if plain, err := s.current.Open(sealed, ad); err == nil {
		return plain, nil
	}
	return s.older.Open(sealed, ad)
}

// A schema keeps the tables apart from those of others.
func TestPostgresSchema(t *testing.T) {
	schema := newSchema(t)
	openPostgresTest(t, postgresOptions(schema))
	db, err := sql.Open("pgx", postgresURL(t))
	must(t, "opening", err)
	defer func() { _ = db.Close() }()
	var tables int
	must(t, "counting", db.QueryRow(`SELECT count(*) FROM pg_tables WHERE schemaname = $1`, schema).Scan(&tables))
	var elsewhere int
	must(t, "counting", db.QueryRow(`SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`).Scan(&elsewhere))
	if tables < 10 || elsewhere != 0 {
		t.Errorf("%d tables in the schema, %d in public", tables, elsewhere)
	}
}
