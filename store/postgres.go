package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"go.uber.org/zap"
)

// Bounds of [PostgresOptions].Connections.
const (
	DefaultConnections = 10
	MinConnections     = 2 // one for writes, and one for reads
	MaxConnections     = 1000
)

const (
	// openTimeout bounds the first try to open; migrations that other nodes run
	// at the moment are waited for.
	openTimeout = 15 * time.Second
	// laterTimeout bounds each later try, which nobody waits for.
	laterTimeout = 5 * time.Minute
	// Waits between tries to open a database that is away.
	firstOpenWait = 250 * time.Millisecond // doubled after each try
	lastOpenWait  = 5 * time.Second
	// connectionIdle is how long a connection is kept that nobody needs, and
	// connectionLife how long one is used at all: names of hosts get other
	// addresses.
	connectionIdle = 5 * time.Minute
	connectionLife = 30 * time.Minute
)

// PostgresOptions are those of a PostgreSQL database.
type PostgresOptions struct {
	Options
	// Connections is how many connections this process opens at most. One of them
	// writes, the others read. Default [DefaultConnections].
	Connections int
	// Schema holds the tables; it is made if need be. Default: what the
	// search_path of the role says, such as public.
	Schema string
}

// postgres is what there is of a PostgreSQL database: its connections, whether it
// was prepared, and whether it answers.
type postgres struct {
	config *pgx.ConnConfig
	opts   PostgresOptions
	reads  *sql.DB
	writes *sql.DB

	health  breaker
	refusal atomic.Pointer[error] // why it is not ready; nil: it is

	stop  context.CancelFunc
	ended chan struct{} // closed when nothing tries to open it any more
}

// OpenPostgres opens the PostgreSQL database at url, see [CheckPostgresURL], and
// makes its tables if there are none. Any number of processes may have it open.
//
// A database that is away is no error: until it comes, which is tried again and
// again, and whenever it goes away later, reads and writes give [ErrUnavailable].
// One that belongs to another keyset gives [ErrOtherKeyset], and it and one that
// refuses the role, or was made by a newer program, are left as they are. No error
// holds the password.
func OpenPostgres(ctx context.Context, url string, o PostgresOptions) (*DB, error) {
	config, err := parsePostgres(url, o.Schema)
	if err != nil {
		return nil, err
	}
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("opening database: %w", err)
	}
	if o.Connections == 0 {
		o.Connections = DefaultConnections
	}
	if o.Connections < MinConnections || o.Connections > MaxConnections {
		return nil, fmt.Errorf("opening database: %d connections: want %d to %d", o.Connections, MinConnections, MaxConnections)
	}

	p := &postgres{config: config, opts: o, ended: make(chan struct{})}
	if err := p.open(ctx); err != nil {
		return nil, err
	}
	db := newDB(&o.Options)
	db.shared = true
	db.reads = &pgQueries{on: p.reads, before: p.allow, after: p.answered, timeout: readTimeout}
	db.writer = newPostgresWriter(p)
	db.closers = []io.Closer{db.writer, p}
	return db, nil
}

// open connects and prepares the database, or begins to try until that succeeds.
func (p *postgres) open(ctx context.Context) error {
	first, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	err := p.prepare(first)
	if err != nil && !isTransient(err) {
		return fmt.Errorf("opening database: %w", err)
	}
	p.reads, p.writes = p.pool(p.opts.Connections-1), p.pool(1)
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	p.stop = stop
	if err == nil {
		close(p.ended)
		return nil
	}
	p.refusal.Store(&err)
	p.opts.Logger.Warn("the database is away, it is tried again until it answers", zap.Error(err))
	go p.prepareLater(background)
	return nil
}

// pool returns connections for queries. None is opened yet.
func (p *postgres) pool(size int) *sql.DB {
	db := stdlib.OpenDB(*p.config, stdlib.OptionAfterConnect(setUp))
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	db.SetConnMaxIdleTime(connectionIdle)
	db.SetConnMaxLifetime(connectionLife)
	return db
}

// prepareLater prepares a database that was away at first.
func (p *postgres) prepareLater(ctx context.Context) {
	defer close(p.ended)
	said := "" // a fault that stays is logged once
	for wait := firstOpenWait; ; wait = min(2*wait, lastOpenWait) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		limited, cancel := context.WithTimeout(ctx, laterTimeout)
		err := p.prepare(limited)
		cancel()
		if err == nil {
			p.refusal.Store(nil)
			p.opts.Logger.Info("the database answers")
			return
		}
		if !isTransient(err) && err.Error() != said && ctx.Err() == nil {
			said = err.Error()
			p.opts.Logger.Error("the database cannot be used", zap.Error(err))
		}
		p.refusal.Store(&err)
	}
}

// allow returns [ErrUnavailable] when there is no use in a query.
func (p *postgres) allow() error {
	if err := p.refusal.Load(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, *err)
	}
	return p.health.allow()
}

// answered takes the error of a query, and returns it for the caller.
func (p *postgres) answered(err error) error {
	if !isLost(err) {
		p.health.succeeded()
		return err
	}
	p.health.failed()
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// Close closes all connections. There may be no query under way.
func (p *postgres) Close() error {
	p.stop()
	<-p.ended
	return errors.Join(p.reads.Close(), p.writes.Close())
}
