// Package store keeps what the server must not lose in an SQL database.
//
// It implements the store interfaces of authserver, vaultclient/local,
// vaultclient/alter and mcphandler for any number of realms in one database. It
// owns the schema, its migrations, the sealing of columns that must be read back,
// and the sharing of commits. It does not know HTTP, OAuth flows, MCP, or Caddy.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/local"
)

// Errors of this package. Those that callers of a [Realm] tell apart are in the
// packages whose interfaces it implements.
var (
	// ErrLocked: another process has the SQLite database open.
	ErrLocked = errors.New("another Caddy process has this database open; " +
		"apply a new configuration with `caddy reload` instead of starting a second process")
	// ErrOtherKeyset: the database belongs to another keyset than that given.
	ErrOtherKeyset = errors.New("the database was sealed with another encryption key; " +
		"bring that key back, or move the database away to begin with an empty one")
	// ErrDamaged: a sealed column does not open. It was changed outside of this
	// program, or its key is no longer in the keyset.
	ErrDamaged = errors.New("sealed data does not open: it was changed, or its key is missing")
	// ErrBroken: the file is not a whole SQLite database.
	ErrBroken = errors.New("the database file is damaged; " +
		"bring back a copy, or move it away, with its -wal, to begin with an empty one")
	// ErrUnavailable: the database does not answer at the moment. Of a write that
	// gives it, nobody knows whether it is kept.
	ErrUnavailable = errors.New("the database does not answer")
	// ErrClosed: the database was closed before.
	ErrClosed = errors.New("database is closed")
)

// Sealer encrypts and authenticates columns. ad is bound to the result and not
// part of it. It must be safe for concurrent use.
type Sealer interface {
	Seal(plaintext, ad []byte) ([]byte, error)
	Open(sealed, ad []byte) ([]byte, error)
}

// Options of a database.
type Options struct {
	// Sealer for the columns that must be read back. Required.
	Sealer Sealer
	// Fingerprint tells the key that Sealer seals by from others, without
	// spaces. Required.
	Fingerprint string
	// Older are the fingerprints of the keys that Sealer opens with, too. A
	// database keeps which ones its rows are sealed by, and is not opened without
	// them; see [DB.Reseal].
	Older []string
	// Logger; nil means none.
	Logger *zap.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// complete fills in the defaults.
func (o *Options) complete() error {
	if o.Sealer == nil || o.Fingerprint == "" {
		return errors.New("sealer and fingerprint are required")
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return nil
}

// DB is an open database. Its methods are safe for concurrent use.
type DB struct {
	sealer Sealer
	logger *zap.Logger
	now    func() time.Time

	fingerprint string // of the current key
	older       bool   // there are keys that only open
	resealed    atomic.Bool

	// shared: other processes may have the database open, too.
	shared bool

	reads  queries
	writer *writer
	grants recent[grantKey, *local.Grant]
	// Families that were not revoked, and legacy sessions that were not ended.
	families recent[familyKey, struct{}]
	sessions recent[sessionKey, struct{}]
	// auditSwept counts audit records that nobody sent in time.
	auditSwept atomic.Int64
	// identityTokens are opened, too.
	identityTokens recent[userKey, *authserver.KeptTokens]
	// clients, for the requests of one login: pages, redirects and the exchange
	// of the code each ask for the same one.
	clients recent[clientKey, *authserver.Client]
	// closers are closed by Close in this order, after the last write.
	closers []io.Closer

	mu      sync.Mutex // guards closed, and pending.Add against pending.Wait
	closed  bool
	pending sync.WaitGroup
}

func newDB(o *Options) *DB {
	db := &DB{sealer: o.Sealer, fingerprint: o.Fingerprint, older: len(o.Older) > 0, logger: o.Logger, now: o.Now}
	db.families.most, db.sessions.most = maxRecentStates, maxRecentStates
	return db
}

// Realm is the part of a database that belongs to one realm: no method sees or
// changes a row of another. It implements authserver.Store, local.Store and
// mcphandler.EndedSessions.
type Realm struct {
	db   *DB
	name string
}

// Realm returns the realm of that name. A realm needs no making, and two of one
// name are the same.
func (db *DB) Realm(name string) *Realm {
	return &Realm{db: db, name: name}
}

// Ping reports whether the database answers a read.
func (db *DB) Ping(ctx context.Context) error {
	var one int
	if err := db.reads.row(ctx, `SELECT 1`).Scan(&one); err != nil {
		return fmt.Errorf("reading database: %w", err)
	}
	return nil
}

// Close waits for the writes that are queued, then closes the database. Later
// writes get [ErrClosed]. Closing twice is no error.
func (db *DB) Close() error {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return nil
	}
	db.closed = true
	db.mu.Unlock()

	db.pending.Wait()
	db.grants.drop()
	db.families.drop()
	db.sessions.drop()
	db.identityTokens.drop()
	db.clients.drop()
	var errs []error
	for _, c := range db.closers {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// write runs f in a transaction that it may share with other writes, and
// returns when its effect is durable, or there is none. What f sets outside
// counts only if write returns nil. f may not keep t.
func (db *DB) write(ctx context.Context, f func(ctx context.Context, t *tx) error) error {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return ErrClosed
	}
	db.pending.Add(1)
	db.mu.Unlock()
	defer db.pending.Done()

	return db.writer.do(ctx, f)
}

// notFound turns the error of a read that found no row into sentinel, and adds
// what was read to any other.
func notFound(err, sentinel error, what string) error {
	if errors.Is(err, sql.ErrNoRows) {
		return sentinel
	}
	return fmt.Errorf("reading %s: %w", what, err)
}
