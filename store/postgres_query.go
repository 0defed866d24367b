package store

import (
	"context"
	"database/sql"
	"time"
)

// readTimeout bounds a read of PostgreSQL with the wait for a connection.
const readTimeout = 5 * time.Second

// runner is a database or one connection of it.
type runner interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// pgQueries runs queries on PostgreSQL. The driver keeps prepared statements with
// each connection. A caller that gives up does not end a query: the driver would
// close the connection, and whoever asks and leaves would use them up.
type pgQueries struct {
	on      runner
	before  func() error          // whether there is use in a query
	after   func(err error) error // takes each error, also nil, and may change it
	timeout time.Duration         // of a query; the least of it and the caller's
	// leaving: the caller's context counts, because it is a transaction's.
	leaving bool
}

// begin returns the context of one query.
func (q *pgQueries) begin(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if err := q.before(); err != nil {
		return nil, nil, err
	}
	if !q.leaving {
		ctx = context.WithoutCancel(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, q.timeout)
	return ctx, cancel, nil
}

// row implements queries. There is no row of a name that no text can have, such as
// one with a zero byte: clients send what they like.
func (q *pgQueries) row(ctx context.Context, query string, args ...any) row {
	ctx, cancel, err := q.begin(ctx)
	if err != nil {
		return row{err: err}
	}
	return row{row: q.on.QueryRowContext(ctx, query, args...), done: func(err error) error {
		cancel()
		if hasCode(err, codeEncoding) {
			err = sql.ErrNoRows
		}
		return q.after(err)
	}}
}

// each implements queries.
func (q *pgQueries) each(ctx context.Context, scan func(scanner) error, query string, args ...any) error {
	ctx, cancel, err := q.begin(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	rows, err := q.on.QueryContext(ctx, query, args...)
	if err != nil {
		return q.after(err)
	}
	defer func() { _ = rows.Close() }() // Err below says what went wrong
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return q.after(rows.Err())
}

// exec implements queries.
func (q *pgQueries) exec(ctx context.Context, query string, args ...any) (int64, error) {
	ctx, cancel, err := q.begin(ctx)
	if err != nil {
		return 0, err
	}
	defer cancel()
	res, err := q.on.ExecContext(ctx, query, args...)
	if err := q.after(err); err != nil {
		return 0, err
	}
	return res.RowsAffected()
}
