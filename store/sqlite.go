package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// readers is how many connections serve reads of SQLite.
const readers = 4

// OpenSQLite opens the SQLite database at path, and makes it if there is none,
// with missing folders (mode 0700; files 0600). One process at a time may have
// it open: others get [ErrLocked]. A database that was made with another keyset
// gives [ErrOtherKeyset], a damaged one [ErrBroken], and both are left as they
// are.
func OpenSQLite(ctx context.Context, path string, o Options) (*DB, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("opening database: %w", err)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("opening database: %w", err)
	}
	if err := makeFolders(filepath.Dir(path)); err != nil {
		return nil, err
	}
	lock, err := lockBeside(path)
	if err != nil {
		return nil, err
	}

	db := newDB(&o)
	db.closers = []io.Closer{lock}
	db.families.span, db.sessions.span = recentAloneFor, recentAloneFor
	if err := db.openFiles(ctx, path, o); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// openFiles opens the connections to a locked database. Each that is open is
// among db.closers, also after an error.
func (db *DB) openFiles(ctx context.Context, path string, o Options) error {
	if err := makePrivate(path); err != nil {
		return err
	}
	if err := checkWhole(path); err != nil {
		return fmt.Errorf("opening database %s: %w", path, err)
	}
	writes, err := sql.Open("sqlite", sqliteDSN(path))
	if err != nil {
		return fmt.Errorf("opening database %s: %w", path, err)
	}
	writes.SetMaxOpenConns(1)
	db.closeFirst(writes)
	if err := checkWAL(ctx, writes); err != nil {
		return fmt.Errorf("opening database %s: %w", path, diagnose(ctx, writes, err))
	}
	if err := migrate(ctx, writes, goose.DialectSQLite3, rebindSQLite, o); err != nil {
		return fmt.Errorf("opening database %s: %w", path, diagnose(ctx, writes, err))
	}
	conn, err := writes.Conn(ctx)
	if err != nil {
		return fmt.Errorf("opening database %s: %w", path, err)
	}
	// No other process writes, so taking the write lock at once never waits.
	db.writer = newWriter(conn, `BEGIN IMMEDIATE`, rebindSQLite)
	db.closeFirst(db.writer)

	// Each reader has a page cache of its own, which a commit empties: 512 KiB hold
	// the inner pages of the trees, and the system has the others.
	reads, err := sql.Open("sqlite", sqliteDSN(path, "query_only(1)", "cache_size(-512)"))
	if err != nil {
		return fmt.Errorf("opening database %s: %w", path, err)
	}
	reads.SetMaxOpenConns(readers)
	reads.SetMaxIdleConns(readers)
	db.closeFirst(reads) // before the writer, which then removes the write-ahead log
	db.reads = &statements{on: reads, rebind: rebindSQLite, detach: true}
	return nil
}

// closeFirst adds c to what Close closes, before all that is there.
func (db *DB) closeFirst(c io.Closer) {
	db.closers = append([]io.Closer{c}, db.closers...)
}

// sqliteDSN returns the data source name of the file at path. Every connection
// of it is durable at commit, also against loss of power.
func sqliteDSN(path string, pragmas ...string) string {
	slashed := filepath.ToSlash(path)
	if !strings.HasPrefix(slashed, "/") {
		slashed = "/" + slashed // C:/caddy/alter.db
	}
	q := url.Values{"_pragma": append([]string{
		"busy_timeout(5000)",
		"journal_mode(WAL)",
		"synchronous(FULL)",
		"foreign_keys(1)",
		"temp_store(MEMORY)",
		"journal_size_limit(16777216)",
	}, pragmas...)}
	u := url.URL{Scheme: "file", Path: slashed, RawQuery: q.Encode()}
	return u.String()
}

// checkWAL connects, and reports whether the write-ahead log works on this file
// system: SQLite silently falls back to another mode.
func checkWAL(ctx context.Context, db *sql.DB) error {
	var mode string
	if err := db.QueryRowContext(ctx, `PRAGMA journal_mode`).Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("journal mode is %q: the file system lacks what a write-ahead log needs", mode)
	}
	return nil
}
