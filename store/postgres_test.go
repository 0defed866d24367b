//go:build postgres

package store

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
	authtest "github.com/alter-mcp/caddy-alter-mcp/authserver/storetest"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/spooltest"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/local"
	vaulttest "github.com/alter-mcp/caddy-alter-mcp/vaultclient/local/storetest"
)

// These tests need a PostgreSQL at $TEST_POSTGRES; `make test-nodes` starts one.

const realm = "https://mcp.example.com/mcp"

var schemas atomic.Int64

func postgresURL(t testing.TB) string {
	t.Helper()
	url := os.Getenv("TEST_POSTGRES")
	if url == "" {
		t.Fatal("TEST_POSTGRES is empty; run e2e/nodes/run")
	}
	return url
}

// newSchema names a schema that the test's databases have to themselves.
func newSchema(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test %d", schemas.Add(1))
	t.Cleanup(func() { execSQL(t, `DROP SCHEMA IF EXISTS "`+name+`" CASCADE`) })
	return name
}

// execSQL runs a statement beside the store.
func execSQL(t testing.TB, statement string, args ...any) {
	t.Helper()
	db, err := sql.Open("pgx", postgresURL(t))
	must(t, "opening", err)
	defer func() { _ = db.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err = db.ExecContext(ctx, statement, args...)
	must(t, statement, err)
}

func postgresOptions(schema string) PostgresOptions {
	return PostgresOptions{Options: testOptions(), Schema: schema}
}

// openPostgresTest opens a database as one more node.
func openPostgresTest(t testing.TB, o PostgresOptions) *DB {
	t.Helper()
	db, err := OpenPostgres(context.Background(), postgresURL(t), o)
	must(t, "OpenPostgres", err)
	t.Cleanup(func() { must(t, "Close", db.Close()) })
	must(t, "Ping", db.Ping(context.Background()))
	return db
}

// spread is a store whose calls go to two nodes in turn.
func twoNodes(t testing.TB) (a, b *DB) {
	t.Helper()
	schema := newSchema(t)
	return openPostgresTest(t, postgresOptions(schema)), openPostgresTest(t, postgresOptions(schema))
}

func TestPostgresAuthserverStore(t *testing.T) {
	authtest.Run(t, func(t *testing.T) authserver.Store {
		return openPostgresTest(t, postgresOptions(newSchema(t))).Realm(realm)
	})
}

func TestPostgresLocalStore(t *testing.T) {
	vaulttest.Run(t, func(t *testing.T) local.Store {
		return openPostgresTest(t, postgresOptions(newSchema(t))).Realm(realm)
	})
}

// The two spools are of different nodes: those of one scope are shared.
func TestPostgresAuditSpool(t *testing.T) {
	spooltest.Run(t, func(t *testing.T) (a, b alter.AuditSpool) {
		one, other := twoNodes(t)
		return one.Realm(realm).AuditSpool("a"), other.Realm(realm).AuditSpool("b")
	})
}

// Security CLUS-01.
func TestPostgresCodeAtTwoNodes(t *testing.T) {
	a, b := twoNodes(t)
	nodes := []*Realm{a.Realm(realm), b.Realm(realm)}
	for i := range 20 {
		now := at()
		c := &authserver.Code{Hash: hashOf(fmt.Sprint(i)), FamilyID: fmt.Sprint(i), ExpiresAt: now.Add(time.Minute)}
		must(t, "AddCode", nodes[0].AddCode(t.Context(), c))
		var won, taken atomic.Int64
		race(8, func(n int) {
			f := &authserver.Family{ID: fmt.Sprintf("%d-%d", i, n), CreatedAt: now, ExpiresAt: now.Add(time.Hour), Generation: 1, Current: hashOf("t")}
			switch err := nodes[n%2].RedeemCode(t.Context(), c.Hash, f); err {
			case nil:
				won.Add(1)
			case authserver.ErrTaken:
				taken.Add(1)
			default:
				t.Errorf("RedeemCode = %v", err)
			}
		})
		if won.Load() != 1 || taken.Load() != 7 {
			t.Errorf("%d calls redeemed the code and %d found it taken, want 1 and 7", won.Load(), taken.Load())
		}
	}
}

// race runs f n times at once.
func race(n int, f func(i int)) {
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		wg.Go(func() { <-begin; f(i) })
	}
	close(begin)
	wg.Wait()
}
