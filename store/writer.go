package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
)

// maxBatch is the most writes that share a commit. It bounds how long the first
// of them waits for the others.
const maxBatch = 256

// tx is the transaction in which a write runs.
type tx struct{ queries }

// States of a request.
const (
	queued int32 = iota
	begun
	dropped
)

// request is one write.
type request struct {
	run   func(ctx context.Context, t *tx) error
	state atomic.Int32
	err   error
	done  chan struct{}
}

// writer runs all writes on one connection, one after the other. Those that
// wait at the same time share a transaction, because the sync at its end costs
// far more than they do.
type writer struct {
	conn  *sql.Conn
	tx    *tx
	begin string // statement that begins a transaction
	queue chan *request
	ended chan struct{}
	// transact runs a batch in one transaction. Its error means that nothing of
	// the batch is kept, or that nobody knows.
	transact func(ctx context.Context, batch []*request) error
	closers  []io.Closer

	commits atomic.Int64 // transactions that were committed
}

// newWriter starts a writer on conn, which it owns from then on.
func newWriter(conn *sql.Conn, begin string, rebind func(string) string) *writer {
	prepared := &statements{on: conn, rebind: rebind}
	w := &writer{conn: conn, tx: &tx{prepared}, begin: begin, closers: []io.Closer{prepared, conn}}
	w.transact = w.transaction
	return w.start()
}

// start begins to take writes.
func (w *writer) start() *writer {
	w.queue, w.ended = make(chan *request, maxBatch), make(chan struct{})
	go w.loop()
	return w
}

// do queues a write and waits for its end. A write that has not begun when ctx
// ends is dropped. run may be called twice, when the first transaction was undone
// for another's sake: what it leaves behind is to be that of its last call.
func (w *writer) do(ctx context.Context, run func(ctx context.Context, t *tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r := &request{run: run, done: make(chan struct{})}
	select {
	case w.queue <- r:
	case <-ctx.Done():
		return ctx.Err()
	}

	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
	}
	if r.state.CompareAndSwap(queued, dropped) {
		return ctx.Err()
	}
	<-r.done
	return r.err
}

// Close ends the writer after all that is queued, and closes its connection.
// There may be no call of do under way.
func (w *writer) Close() error {
	close(w.queue)
	<-w.ended
	var errs []error
	for _, c := range w.closers {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

func (w *writer) loop() {
	defer close(w.ended)
	batch := make([]*request, 0, maxBatch)
	for first := range w.queue {
		w.gather()
		batch = w.collect(append(batch[:0], first))
		if len(batch) > 0 {
			w.run(batch)
		}
		clear(batch[:cap(batch)])
	}
}

// gather lets those who are about to write come to the queue: what they have to
// do until then costs less than a commit of their own.
func (w *writer) gather() {
	for waiting := -1; waiting < len(w.queue) && len(w.queue) < maxBatch; {
		waiting = len(w.queue)
		runtime.Gosched()
	}
}

// collect adds what waits in the queue to batch, and begins each request of it
// that was not dropped.
func (w *writer) collect(batch []*request) []*request {
	for n := len(w.queue); n > 0 && len(batch) < maxBatch; n-- {
		batch = append(batch, <-w.queue)
	}
	alive := batch[:0]
	for _, r := range batch {
		if r.state.CompareAndSwap(queued, begun) {
			alive = append(alive, r)
		}
	}
	return alive
}

// run runs a batch and tells its callers. If the transaction as a whole fails,
// all of them get that error, also those whose write had been refused: a refusal
// may rest on another write of the batch, which is undone now.
func (w *writer) run(batch []*request) {
	// Those who asked may leave; a write that is begun is finished.
	ctx := context.Background()
	if err := w.transact(ctx, batch); err != nil {
		for _, r := range batch {
			r.err = err
		}
	}
	for _, r := range batch {
		close(r.done)
	}
}

// errRefused ends a transaction in which a request was refused.
var errRefused = errors.New("a write was refused")

// transaction runs a batch in one transaction. Its error means that nothing of
// the batch is kept.
//
// Hardly a write is refused, and a savepoint costs as much as a write: so the
// batch is run without, and, when one was refused, once more with savepoints.
func (w *writer) transaction(ctx context.Context, batch []*request) error {
	err := w.try(ctx, batch, w.plain)
	if errors.Is(err, errRefused) && len(batch) > 1 {
		err = w.try(ctx, batch, w.savepoint)
	}
	if errors.Is(err, errRefused) {
		return nil // of one request, which has its error and changed nothing
	}
	return err
}

// try runs each request of a batch by one in a transaction, and commits it.
func (w *writer) try(ctx context.Context, batch []*request, one func(context.Context, *request) error) error {
	if _, err := w.tx.exec(ctx, w.begin); err != nil {
		return fmt.Errorf("beginning transaction: %w", err)
	}
	for _, r := range batch {
		if err := one(ctx, r); err != nil {
			w.rollback(ctx)
			return err
		}
	}
	if _, err := w.tx.exec(ctx, `COMMIT`); err != nil {
		w.rollback(ctx)
		return fmt.Errorf("committing transaction: %w", err)
	}
	w.commits.Add(1)
	return nil
}

// plain runs one request, whose refusal ends the transaction.
func (w *writer) plain(ctx context.Context, r *request) error {
	if r.err = r.run(ctx, w.tx); r.err != nil {
		return errRefused
	}
	return nil
}

// savepoint runs one request so that its failure undoes it alone. Its own error
// is for the whole transaction: after a full disk, for example, SQLite may have
// rolled back everything.
func (w *writer) savepoint(ctx context.Context, r *request) error {
	if _, err := w.tx.exec(ctx, `SAVEPOINT one`); err != nil {
		return fmt.Errorf("setting savepoint: %w", err)
	}
	if r.err = r.run(ctx, w.tx); r.err != nil {
		if _, err := w.tx.exec(ctx, `ROLLBACK TO SAVEPOINT one`); err != nil {
			// Not %w: a refusal of this request is none of the others.
			return fmt.Errorf("transaction was aborted: %s: %w", r.err.Error(), err)
		}
	}
	if _, err := w.tx.exec(ctx, `RELEASE SAVEPOINT one`); err != nil {
		return fmt.Errorf("releasing savepoint: %w", err)
	}
	return nil
}

// rollback ends a failed transaction. That there may be none any more is no
// fault, and any other shows at the next one's beginning.
func (w *writer) rollback(ctx context.Context) {
	_, _ = w.tx.exec(ctx, `ROLLBACK`)
}
