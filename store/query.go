package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// queries runs the queries of this package on a database, or in a transaction.
type queries interface {
	// row runs a query for one row.
	row(ctx context.Context, query string, args ...any) row
	// each runs a query and calls scan for each row.
	each(ctx context.Context, scan func(scanner) error, query string, args ...any) error
	// exec runs a statement and returns how many rows it changed.
	exec(ctx context.Context, query string, args ...any) (int64, error)
}

// preparer is a database or one connection of it.
type preparer interface {
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// statements prepares each query once. Queries are written for PostgreSQL, with
// placeholders $1, $2; they are constants of this package, so there is no limit.
type statements struct {
	on preparer
	// rebind turns a query into what the driver takes.
	rebind func(query string) string
	// detach runs statements without the caller's context. The SQLite driver
	// starts a goroutine per statement to watch a context that can end, which
	// takes longer than a read by key.
	detach bool

	mu      sync.RWMutex
	byQuery map[string]*sql.Stmt
}

// stmt returns the prepared form of query.
func (s *statements) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	s.mu.RLock()
	st, ok := s.byQuery[query]
	s.mu.RUnlock()
	if ok {
		return st, nil
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if st, ok := s.byQuery[query]; ok {
		return st, nil
	}
	st, err := s.on.PrepareContext(ctx, s.rebind(query))
	if err != nil {
		return nil, fmt.Errorf("preparing statement: %w", err)
	}
	if s.byQuery == nil {
		s.byQuery = map[string]*sql.Stmt{}
	}
	s.byQuery[query] = st
	return st, nil
}

// Close closes the prepared statements. Those of one connection keep its
// database open otherwise.
func (s *statements) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, st := range s.byQuery {
		errs = append(errs, st.Close())
	}
	s.byQuery = nil
	return errors.Join(errs...)
}

// begin returns the statement and the context to run it with.
func (s *statements) begin(ctx context.Context, query string) (context.Context, *sql.Stmt, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if s.detach {
		ctx = context.WithoutCancel(ctx)
	}
	st, err := s.stmt(ctx, query)
	return ctx, st, err
}

// row is a [sql.Row] whose statement may have failed to prepare.
type row struct {
	row *sql.Row
	err error
	// done ends the query, and may give another error; nil: nothing is to be
	// ended.
	done func(err error) error
}

// Scan is like [sql.Row.Scan].
func (r row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	err := r.row.Scan(dest...)
	if r.done != nil {
		return r.done(err)
	}
	return err
}

// row implements queries.
func (s *statements) row(ctx context.Context, query string, args ...any) row {
	ctx, st, err := s.begin(ctx, query)
	if err != nil {
		return row{err: err}
	}
	return row{row: st.QueryRowContext(ctx, args...)}
}

// each implements queries.
func (s *statements) each(ctx context.Context, scan func(scanner) error, query string, args ...any) error {
	ctx, st, err := s.begin(ctx, query)
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err below says what went wrong
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// exec implements queries.
func (s *statements) exec(ctx context.Context, query string, args ...any) (int64, error) {
	ctx, st, err := s.begin(ctx, query)
	if err != nil {
		return 0, err
	}
	res, err := st.ExecContext(ctx, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// scanner is a row.
type scanner interface {
	Scan(dest ...any) error
}

// rebindSQLite writes $1 as ?1: SQLite takes $1 for a name.
func rebindSQLite(query string) string {
	return strings.ReplaceAll(query, "$", "?")
}
