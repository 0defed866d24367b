package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

const (
	// lockMigrations waits until no other node migrates. It is given up with the
	// connection at the latest, so that a node that dies holds nobody up.
	lockMigrations   = `SELECT pg_advisory_lock($1)`
	unlockMigrations = `SELECT pg_advisory_unlock($1)`
)

// unlockTimeout bounds giving up the lock, also after ctx has ended.
const unlockTimeout = 2 * time.Second

// prepare brings the schema to this program's version and binds the database to
// the keyset. Of nodes that start at the same time one does it, the others wait
// and find it done. Its connections are its own: a migration may take longer than
// a query is given.
func (p *postgres) prepare(ctx context.Context) (err error) {
	db := stdlib.OpenDB(*p.config)
	db.SetMaxOpenConns(2) // one holds the lock, the other works
	defer func() { err = errors.Join(err, db.Close()) }()

	lock, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer func() { _ = lock.Close() }() // what it held is given up before
	key := p.lockKey()
	if _, err := lock.ExecContext(ctx, lockMigrations, key); err != nil {
		return fmt.Errorf("waiting for other nodes: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlockTimeout)
		defer cancel()
		_, _ = lock.ExecContext(ctx, unlockMigrations, key) // or closing the connection does it
	}()
	if err := p.makeSchema(ctx, db); err != nil {
		return err
	}
	return migrate(ctx, db, goose.DialectPostgres, asWritten, p.opts.Options)
}

// makeSchema makes the configured schema, if it is missing. A role that may not
// make one can still use it.
func (p *postgres) makeSchema(ctx context.Context, db *sql.DB) error {
	if p.opts.Schema == "" {
		return nil
	}
	var exists bool
	err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)`, p.opts.Schema).Scan(&exists)
	if err != nil {
		return fmt.Errorf("looking for the schema: %w", err)
	}
	if exists {
		return nil
	}
	if _, err := db.ExecContext(ctx, `CREATE SCHEMA `+pgx.Identifier{p.opts.Schema}.Sanitize()); err != nil {
		return fmt.Errorf("making the schema: %w", err)
	}
	return nil
}

// lockKey names the lock of the migrations of one schema. Advisory locks belong to
// one database already.
func (p *postgres) lockKey() int64 {
	h := fnv.New64a()
	_, _ = h.Write(tuple("alter_mcp migrations", p.opts.Schema)) // never fails
	return int64(h.Sum64())
}

// asWritten is the rebind of PostgreSQL, which queries are written for.
func asWritten(query string) string { return query }
