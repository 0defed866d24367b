package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
)

const (
	// writeTimeout bounds a batch of writes with the wait for a connection.
	writeTimeout = 10 * time.Second
	// rollbackTimeout bounds the end of a batch that failed.
	rollbackTimeout = time.Second
	// tries is how often a write is run that stands in the way of other nodes'.
	tries = 5
	// conflictWait is the longest wait before the second try; it grows with each.
	conflictWait = 20 * time.Millisecond
)

// Statements around writes. Several in one text take one round trip. What a
// transaction reads is what was committed before the statement, so that conditional
// writes decide: of two nodes that write one row the second waits for the first,
// and its condition is looked at again.
const (
	beginBatch  = `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SAVEPOINT one`
	nextOfBatch = `RELEASE SAVEPOINT one; SAVEPOINT one`
	undoOne     = `ROLLBACK TO SAVEPOINT one`
	commitBatch = `COMMIT`
)

// pgWriter runs batches of writes on PostgreSQL.
type pgWriter struct {
	p       *postgres
	commits func()
}

// newPostgresWriter starts a writer. Its connection is taken from the pool for each
// batch, so that one that broke is not used again.
func newPostgresWriter(p *postgres) *writer {
	w := new(writer)
	w.transact = (&pgWriter{p: p, commits: func() { w.commits.Add(1) }}).transact
	return w.start()
}

// transact runs a batch in one transaction. A write that stood in the way of
// another node's is undone alone and run again after the others, in transactions of
// its own.
func (w *pgWriter) transact(ctx context.Context, batch []*request) error {
	again, err := w.transactOnce(ctx, batch)
	if err != nil {
		return err
	}
	for _, r := range again {
		for try := 1; try < tries && isConflict(r.err); try++ {
			time.Sleep(rand.N(time.Duration(try) * conflictWait)) //nolint:gosec // no secret: two nodes must not wait equally long
			if _, err := w.transactOnce(ctx, []*request{r}); err != nil {
				r.err = err
			}
		}
	}
	return nil
}

// transactOnce runs a batch, and once more on another connection when the first
// one turned out to be broken before the commit was sent. It returns the requests
// that another try may mend.
func (w *pgWriter) transactOnce(ctx context.Context, batch []*request) (again []*request, err error) {
	if err := w.p.allow(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	for range 2 {
		var sent bool
		if sent, err = w.attempt(ctx, batch); err == nil || sent || !isLost(err) || ctx.Err() != nil {
			break
		}
	}
	if err := w.p.answered(err); err != nil {
		return nil, err
	}
	for _, r := range batch {
		if isConflict(r.err) {
			again = append(again, r)
		}
	}
	return again, nil
}

// attempt runs a batch on one connection, and reports whether the commit was sent:
// then nobody knows whether it is kept if there is an error.
func (w *pgWriter) attempt(ctx context.Context, batch []*request) (sent bool, err error) {
	conn, err := w.p.writes.Conn(ctx)
	if err != nil {
		return false, fmt.Errorf("connecting: %w", err)
	}
	defer func() {
		if err != nil {
			discard(ctx, conn)
		}
		_ = conn.Close() // back to the pool, which looks whether it is good
	}()
	if err := control(ctx, conn, beginBatch); err != nil {
		return false, fmt.Errorf("beginning transaction: %w", err)
	}
	t := &tx{&pgQueries{on: conn, before: noError, after: sameError, timeout: writeTimeout, leaving: true}}
	for i, r := range batch {
		if err := w.one(ctx, conn, t, r, i > 0); err != nil {
			return false, err
		}
	}
	if err := control(ctx, conn, commitBatch); err != nil {
		return true, fmt.Errorf("committing transaction: %w", err)
	}
	w.commits()
	return true, nil
}

// one runs one request so that its failure undoes it alone. Its own error is for
// the whole transaction.
func (w *pgWriter) one(ctx context.Context, conn *sql.Conn, t *tx, r *request, next bool) error {
	if next {
		if err := control(ctx, conn, nextOfBatch); err != nil {
			return fmt.Errorf("setting savepoint: %w", err)
		}
	}
	if r.err = r.run(ctx, t); r.err == nil {
		return nil
	}
	if isLost(r.err) {
		return r.err
	}
	if err := control(ctx, conn, undoOne); err != nil {
		// Not %w: a refusal of this request is none of the others.
		return fmt.Errorf("transaction was aborted: %s: %w", r.err.Error(), err)
	}
	return nil
}

// control runs statements around writes. A COMMIT that the server answers by
// rolling back is an error.
func control(ctx context.Context, conn *sql.Conn, statements string) error {
	return conn.Raw(func(raw any) error {
		results, err := raw.(*stdlib.Conn).Conn().PgConn().Exec(ctx, statements).ReadAll()
		if err != nil {
			return err
		}
		if statements == commitBatch && results[len(results)-1].CommandTag.String() != commitBatch {
			return errors.New("the server rolled back")
		}
		return nil
	})
}

// discard ends a transaction that failed, by ending its connection if need be.
func discard(ctx context.Context, conn *sql.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	if err := control(ctx, conn, `ROLLBACK`); err != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // so that the pool drops it
	}
}

func noError() error { return nil }

func sameError(err error) error { return err }
