package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// hold occupies the writer of db until release is called.
func hold(t *testing.T, db *DB) (release func()) {
	t.Helper()
	held, gate, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- db.write(context.Background(), func(context.Context, *tx) error {
			close(held)
			<-gate
			return nil
		})
	}()
	<-held
	return func() {
		close(gate)
		must(t, "write that held the writer", <-ended)
	}
}

// queuedUp waits until n writes are in the queue.
func queuedUp(db *DB, n int) {
	for len(db.writer.queue) < n {
		runtime.Gosched()
	}
}

func TestWaitingWritesShareACommit(t *testing.T) {
	db := newTest(t)
	r := db.Realm("realm")
	release := hold(t, db)
	before := db.writer.commits.Load()

	const n = 100
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() { errs[i] = r.AddClient(t.Context(), &authserver.Client{ID: fmt.Sprint(i)}, n/2) })
	}
	queuedUp(db, n)
	release()
	wg.Wait()

	refused := 0
	for _, err := range errs {
		if errors.Is(err, authserver.ErrFull) {
			refused++
		} else if err != nil {
			t.Errorf("AddClient = %v, want nil or ErrFull", err)
		}
	}
	if refused != n/2 {
		t.Errorf("%d writes of one commit were refused, want %d", refused, n/2)
	}
	if got := db.writer.commits.Load() - before; got != 2 { // the first is that of hold
		t.Errorf("%d writes made %d commits, want 2", n+1, got)
	}
}

func TestWriteThatHasNotBegunIsDropped(t *testing.T) {
	db := newTest(t)
	r := db.Realm("realm")
	release := hold(t, db)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.AddClient(ctx, &authserver.Client{ID: "dropped"}, 10) }()
	queuedUp(db, 1)
	cancel()
	wantErr(t, "AddClient whose context ended in the queue", <-ended, context.Canceled)
	release()
	must(t, "AddClient", r.AddClient(t.Context(), &authserver.Client{ID: "next"}, 10))
	_, err := r.Client(t.Context(), "dropped")
	wantErr(t, "Client that was dropped", err, authserver.ErrNotFound)

	wantErr(t, "AddClient with an ended context", r.AddClient(ctx, &authserver.Client{ID: "x"}, 10), context.Canceled)
	_, err = r.Client(ctx, "next")
	wantErr(t, "Client with an ended context", err, context.Canceled)
}

func TestWriteThatHasBegunIsWaitedFor(t *testing.T) {
	db := newTest(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := db.write(ctx, func(ctx context.Context, t *tx) error {
		cancel()
		_, err := t.exec(ctx, insertGrant, "realm", "user", "google", "", []byte("sealed"))
		return err
	})
	must(t, "write whose context ended while it ran", err)
	var version int
	must(t, "reading the row", db.reads.row(t.Context(), `SELECT version FROM grants`).Scan(&version))
}

func TestCloseWaitsForQueuedWrites(t *testing.T) {
	db := newTest(t)
	r := db.Realm("realm")
	release := hold(t, db)
	added, closed := make(chan error, 1), make(chan error, 1)
	go func() { added <- r.AddClient(context.Background(), &authserver.Client{ID: "a"}, 10) }()
	queuedUp(db, 1)
	go func() { closed <- db.Close() }()
	for err := error(nil); !errors.Is(err, ErrClosed); { // until Close refuses new writes
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		err = r.DeleteSession(ctx, nil)
		cancel()
	}
	release()
	must(t, "AddClient that was queued before Close", <-added)
	must(t, "Close", <-closed)
	must(t, "Close again", db.Close())
}

// TestFailureOfTheTransaction lets SQLite roll back a whole transaction in the
// middle, as it does when a disk is full.
func TestFailureOfTheTransaction(t *testing.T) {
	db := newTest(t)
	r := db.Realm("realm")
	release := hold(t, db)
	ctx := t.Context()
	ended := map[string]chan error{}
	queue := func(name string, f func(ctx context.Context, t *tx) error) {
		c := make(chan error, 1)
		ended[name] = c
		go func() { c <- db.write(context.Background(), f) }()
		queuedUp(db, len(ended))
	}
	queue("first", func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, endSession, "realm", digest("first"), 1)
		return err
	})
	queue("refused", func(context.Context, *tx) error { return authserver.ErrTaken })
	queue("failing", func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `ROLLBACK`)
		return errors.Join(authserver.ErrFull, err)
	})
	queue("last", func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, endSession, "realm", digest("last"), 1)
		return err
	})
	release()
	for name, c := range ended {
		err := <-c
		if err == nil || !strings.Contains(err.Error(), "transaction was aborted: limit reached") {
			t.Errorf("%s write = %v, want the transaction's error", name, err)
		}
		if errors.Is(err, authserver.ErrTaken) || errors.Is(err, authserver.ErrFull) {
			t.Errorf("%s write = %v, which looks like an answer", name, err)
		}
	}
	must(t, "EndSession afterwards", r.EndSession(ctx, "afterwards", at()))
	for id, want := range map[string]bool{"first": false, "last": false, "afterwards": true} {
		got, err := r.SessionEnded(ctx, id)
		if err != nil || got != want {
			t.Errorf("SessionEnded(%s) = %t, %v; want %t", id, got, err, want)
		}
	}
}

// TestPageLimit meets SQLite's own error for a full database in a statement.
func TestPageLimit(t *testing.T) {
	db := newTest(t)
	r := db.Realm("realm")
	limit := func(pages int) {
		must(t, "setting limit", db.write(t.Context(), func(ctx context.Context, t *tx) error {
			var got int
			return t.row(ctx, fmt.Sprintf(`PRAGMA max_page_count(%d)`, pages)).Scan(&got)
		}))
	}
	large := &authserver.Client{ID: "large", Name: string(make([]byte, 1<<20))}
	limit(100)
	if err := r.AddClient(t.Context(), large, 10); err == nil {
		t.Error("AddClient above the limit = nil, want an error")
	}
	_, err := r.Client(t.Context(), "large")
	wantErr(t, "Client that did not fit", err, authserver.ErrNotFound)
	limit(1 << 20)
	must(t, "AddClient when there is room again", r.AddClient(t.Context(), large, 1))
}
