package alter_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

// TestAuditReload lets two queues share a spool, as two configurations do during
// a reload, time and again, while people add to both: nothing is lost, nothing is
// sent twice.
func TestAuditReload(t *testing.T) {
	v := startAuditVault(t)
	spool, c := newAuditSpool(t), newAuditClient(t, v.URL)
	var current atomic.Pointer[auditQueue]
	current.Store(newAuditQueue(t, alter.AuditQueueConfig{Spool: spool}).run(t, c))
	ctx, stop := context.WithCancel(t.Context())
	var adders sync.WaitGroup
	var added sync.Map
	for i := range 8 {
		adders.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				name := fmt.Sprint("record ", i, " ", n)
				q := current.Load() // which may end at this moment
				if err := q.Add(t.Context(), auditRecord(name)); err != nil {
					t.Errorf("Add = %v", err)
				}
				added.Store(name, true)
			}
		})
	}
	for range 10 {
		sent := current.Load().Stats().Sent
		auditAwait(t, "some records", func() bool { return current.Load().Stats().Sent > sent+20 })
		next := newAuditQueue(t, alter.AuditQueueConfig{Spool: spool}).run(t, c)
		old := current.Swap(next)
		auditMust(t, "Run of the old queue", old.end())
		wantNoLogs(t, old)
	}
	stop()
	adders.Wait()
	awaitEmptySpool(t, spool)
	got, n := auditArrived(t, v), 0
	for name := range added.Range {
		if n++; got[name.(string)] != 1 {
			t.Errorf("%s arrived %d times, want once", name, got[name.(string)])
		}
	}
	if len(got) != n {
		t.Errorf("%d records arrived, %d were added", len(got), n)
	}
	t.Logf("%d records", n)
	auditMust(t, "Run", current.Load().end())
	wantNoAuditGoroutines(t)
}

func wantNoLogs(t *testing.T, q *auditQueue) {
	t.Helper()
	if logs := q.messages(); len(logs) != 0 {
		t.Errorf("log %q, want none", logs)
	}
}

func awaitEmptySpool(t *testing.T, spool alter.AuditSpool) {
	t.Helper()
	auditAwait(t, "the end of all records", func() bool {
		usage, err := spool.Usage(t.Context())
		auditMust(t, "Usage", err)
		return usage.Entries == 0
	})
}

// TestAuditLeases: what one queue holds no other sends, until the lease ends, as
// that of a killed process does.
func TestAuditLeases(t *testing.T) {
	v := startAuditVault(t)
	spool := newAuditSpool(t)
	// The first queue meets a dead port, as if it hung in the middle.
	hung := newAuditQueue(t, alter.AuditQueueConfig{Spool: spool, Timeout: time.Second, Lease: time.Minute, MaxPause: time.Hour, Backoff: time.Hour})
	hung.run(t, newAuditClient(t, "http://127.0.0.1:1"))
	auditAwait(t, "the start of Run", func() bool {
		hung.add(t, fmt.Sprint("record ", hung.Stats().Waiting))
		return hung.Stats().Failed > 0
	})
	held := hung.Stats().Waiting

	var ahead atomic.Int64
	second := newAuditQueue(t, alter.AuditQueueConfig{
		Spool: spool, Timeout: time.Second, Lease: time.Minute,
		Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
	}).run(t, newAuditClient(t, v.URL))
	second.add(t, "of the second")
	auditAwait(t, "its own record", func() bool { return second.Stats().Sent >= 1 })
	free := int(second.Stats().Sent) - 1 // those that came before Run
	ahead.Store(int64(50 * time.Second))
	for range 5 { // it looks several times
		polled := second.Stats()
		second.add(t, fmt.Sprint("later ", polled.Sent))
		auditAwait(t, "its own record", func() bool { return second.Stats().Sent > polled.Sent })
	}
	arrived := auditArrived(t, v)
	for n := range held {
		if name := fmt.Sprint("record ", n); arrived[name] > 0 && n >= free+1 {
			t.Errorf("%s was sent by the second queue while the first one had leased it", name)
		}
	}
	ahead.Store(int64(2 * time.Minute))
	awaitEmptySpool(t, spool)
	for n := range held {
		if name := fmt.Sprint("record ", n); auditArrived(t, v)[name] != 1 {
			t.Errorf("%s arrived %d times, want once", name, auditArrived(t, v)[name])
		}
	}
}

// TestAuditGivesBack: a queue that ends leaves nothing leased.
func TestAuditGivesBack(t *testing.T) {
	v := startAuditVault(t)
	spool := newAuditSpool(t)
	q := newAuditQueue(t, alter.AuditQueueConfig{Spool: spool}).run(t, newAuditClient(t, "http://127.0.0.1:1"))
	names := auditNames("record ", 20)
	q.add(t, names...)
	auditAwait(t, "the outage", func() bool { return q.Stats().Away })
	auditMust(t, "Run", q.end())
	q.add(t, "late") // a call that ends after its configuration

	next := newAuditQueue(t, alter.AuditQueueConfig{Spool: spool}).run(t, newAuditClient(t, v.URL))
	awaitEmptySpool(t, spool)
	if diff := cmp.Diff(auditOnce(append(names, "late")...), auditArrived(t, v)); diff != "" {
		t.Errorf("arrived (-want +got):\n%s", diff)
	}
	auditMust(t, "Run", next.end())
}

// TestAuditGrace: what is under way when Run ends is waited for, and not sent
// again; with no grace it is.
func TestAuditGrace(t *testing.T) {
	for name, c := range map[string]struct {
		grace time.Duration
		calls int
	}{"enough": {10 * time.Second, 1}, "none": {-1, 2}} {
		t.Run(name, func(t *testing.T) {
			v := startAuditVault(t)
			spool := newAuditSpool(t)
			v.AddFault(altertest.Fault{Path: auditPath, DelayMS: 300})
			q := newAuditQueue(t, alter.AuditQueueConfig{Spool: spool, Grace: c.grace}).run(t, newAuditClient(t, v.URL))
			q.add(t, "a")
			auditAwait(t, "the call", func() bool { return v.Count(auditPath) == 1 })
			auditMust(t, "Run", q.end())
			newAuditQueue(t, alter.AuditQueueConfig{Spool: spool}).run(t, newAuditClient(t, v.URL))
			awaitEmptySpool(t, spool)
			if n := v.Count(auditPath); n != c.calls || auditArrived(t, v)["a"] != 1 {
				t.Errorf("%d calls, %v arrived; want %d and one", n, auditArrived(t, v), c.calls)
			}
		})
	}
}

// TestAuditWithoutSpool: the end of Run sends what waits, and says what is lost.
func TestAuditWithoutSpool(t *testing.T) {
	v := startAuditVault(t)
	q := newAuditQueue(t, alter.AuditQueueConfig{InFlight: 2})
	names := auditNames("record ", 30)
	q.add(t, names...)
	q.run(t, newAuditClient(t, v.URL))
	auditMust(t, "Run", q.end())
	if diff := cmp.Diff(auditOnce(names...), auditArrived(t, v)); diff != "" {
		t.Errorf("arrived (-want +got):\n%s", diff)
	}
	if err := q.Add(t.Context(), auditRecord("late")); !errors.Is(err, alter.ErrAuditStopped) {
		t.Errorf("Add after Run = %v, want ErrAuditStopped", err)
	}

	q = newAuditQueue(t, alter.AuditQueueConfig{Grace: 50 * time.Millisecond}).run(t, newAuditClient(t, "http://127.0.0.1:1"))
	q.add(t, "a", "b")
	if err := q.end(); err == nil || q.Stats().Dropped != 2 || q.Stats().Waiting != 0 {
		t.Errorf("Run with a vault away = %v, %+v; want an error, and two dropped", err, q.Stats())
	}
	wantNoAuditGoroutines(t)
}

// TestAuditBounds: at the bound Add refuses, which is counted and logged once,
// until there is room again.
func TestAuditBounds(t *testing.T) {
	probe := newAuditQueue(t, alter.AuditQueueConfig{})
	probe.add(t, "record 00")
	twenty := 20 * probe.Stats().Bytes
	for name, cfg := range map[string]alter.AuditQueueConfig{
		"entries in memory":    {MaxEntries: 20},
		"entries in the spool": {MaxEntries: 20, Spool: newAuditSpool(t)},
		"bytes in memory":      {MaxBytes: twenty},
		"bytes in the spool":   {MaxBytes: twenty, Spool: newAuditSpool(t)},
	} {
		t.Run(name, func(t *testing.T) {
			v := startAuditVault(t)
			q := newAuditQueue(t, cfg)
			for n := range 20 {
				q.add(t, fmt.Sprintf("record %02d", n))
			}
			for range 3 {
				if err := q.Add(t.Context(), auditRecord("too many")); !errors.Is(err, alter.ErrAuditFull) {
					t.Fatalf("Add = %v, want ErrAuditFull; %+v", err, q.Stats())
				}
			}
			if s := q.Stats(); s.Waiting != 20 || s.Refused != 3 {
				t.Errorf("stats %+v, want 20 waiting and 3 refused", s)
			}
			if diff := cmp.Diff([]string{fullLog}, q.messages()); diff != "" {
				t.Errorf("log when full (-want +got):\n%s", diff)
			}
			q.run(t, newAuditClient(t, v.URL))
			q.awaitEmpty(t)
			q.add(t, "after")
			q.awaitEmpty(t)
			if diff := cmp.Diff([]string{fullLog, roomLog}, q.messages()); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}
			if got := auditArrived(t, v); len(got) != 21 || got["after"] != 1 {
				t.Errorf("arrived %v, want 21", got)
			}
		})
	}
}

// TestAuditBoundIsOfTheSpool: another queue that empties it makes room for all.
func TestAuditBoundIsOfTheSpool(t *testing.T) {
	v := startAuditVault(t)
	spool := newAuditSpool(t)
	var ahead atomic.Int64
	q := newAuditQueue(t, alter.AuditQueueConfig{Spool: spool, MaxEntries: 2, Now: func() time.Time {
		return time.Now().Add(time.Duration(ahead.Load()))
	}})
	q.add(t, "a", "b")
	if err := q.Add(t.Context(), auditRecord("c")); !errors.Is(err, alter.ErrAuditFull) {
		t.Fatalf("Add = %v, want ErrAuditFull", err)
	}
	newAuditQueue(t, alter.AuditQueueConfig{Spool: spool}).run(t, newAuditClient(t, v.URL))
	awaitEmptySpool(t, spool)
	ahead.Store(int64(time.Second)) // it asks once a second at most
	q.add(t, "c")
}

// faultySpool is a spool that fails while it is told to.
type faultySpool struct {
	alter.AuditSpool
	broken atomic.Bool
	writes atomic.Int64
}

var errFaulty = errors.New("disk full")

func (s *faultySpool) Write(ctx context.Context, w alter.AuditWrite) error {
	if s.broken.Load() {
		return errFaulty
	}
	s.writes.Add(1)
	return s.AuditSpool.Write(ctx, w)
}

func (s *faultySpool) Take(ctx context.Context, now, until time.Time, limit int) ([]alter.AuditRow, error) {
	if s.broken.Load() {
		return nil, errFaulty
	}
	return s.AuditSpool.Take(ctx, now, until, limit)
}

func (s *faultySpool) Usage(ctx context.Context) (alter.AuditUsage, error) {
	if s.broken.Load() {
		return alter.AuditUsage{}, errFaulty
	}
	return s.AuditSpool.Usage(ctx)
}

// TestAuditSpoolFails: Add says so; what was sent meanwhile is deleted later and
// not sent again by this queue.
func TestAuditSpoolFails(t *testing.T) {
	v := startAuditVault(t)
	spool := &faultySpool{AuditSpool: newAuditSpool(t)}
	v.AddFault(altertest.Fault{Path: auditPath, DelayMS: 200})
	q := newAuditQueue(t, alter.AuditQueueConfig{Spool: spool}).run(t, newAuditClient(t, v.URL))
	q.add(t, "a")
	auditAwait(t, "the call", func() bool { return v.Count(auditPath) == 1 })
	spool.broken.Store(true)
	if err := q.Add(t.Context(), auditRecord("b")); !errors.Is(err, errFaulty) {
		t.Errorf("Add = %v, want the spool's error", err)
	}
	auditAwait(t, "the end of the call", func() bool { return q.Stats().Sent == 1 })
	auditAwait(t, "the log", func() bool { return len(q.messages()) == 1 })
	spool.broken.Store(false)
	q.add(t, "c")
	q.awaitEmpty(t)
	awaitEmptySpool(t, spool)
	if diff := cmp.Diff(auditOnce("a", "c"), auditArrived(t, v)); diff != "" {
		t.Errorf("arrived (-want +got):\n%s", diff)
	}
	want := []string{"the audit spool fails; what is sent may be sent again", "the audit spool is back"}
	if diff := cmp.Diff(want, q.messages()); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}

	spool.broken.Store(true)
	other := newAuditQueue(t, alter.AuditQueueConfig{Spool: spool})
	if err := other.Add(t.Context(), auditRecord("d")); !errors.Is(err, errFaulty) {
		t.Errorf("the first Add = %v, want the spool's error", err)
	}
	auditMust(t, "Run", q.end())
}

// TestAuditAddsShareWrites: many adders need few writes.
func TestAuditAddsShareWrites(t *testing.T) {
	spool := &faultySpool{AuditSpool: newAuditSpool(t)}
	q := newAuditQueue(t, alter.AuditQueueConfig{Spool: spool})
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() { q.add(t, auditNames(fmt.Sprint(i, " "), 20)...) })
	}
	wg.Wait()
	if n := spool.writes.Load(); n > 320 {
		t.Errorf("%d writes for 640 records, want at most half", n)
	}
}

// heldSpool holds writes up until it is let go.
type heldSpool struct {
	alter.AuditSpool
	begun chan struct{}
	hold  chan struct{}
}

func (s *heldSpool) Write(ctx context.Context, w alter.AuditWrite) error {
	s.begun <- struct{}{}
	<-s.hold
	return s.AuditSpool.Write(ctx, w)
}

// TestAuditAddIsCancelled: who leaves before the write adds nothing; who leaves
// during it is told how it ended.
func TestAuditAddIsCancelled(t *testing.T) {
	spool := &heldSpool{AuditSpool: newAuditSpool(t), begun: make(chan struct{}, 9), hold: make(chan struct{})}
	q := newAuditQueue(t, alter.AuditQueueConfig{Spool: spool})
	during, leave := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { first <- q.Add(during, auditRecord("during")) }()
	<-spool.begun
	before, leaveBefore := context.WithCancel(t.Context())
	second := make(chan error, 1)
	go func() { second <- q.Add(before, auditRecord("before")) }()
	leaveBefore()
	if err := <-second; !errors.Is(err, context.Canceled) {
		t.Errorf("Add that was left before the write = %v, want context.Canceled", err)
	}
	leave()
	close(spool.hold)
	auditMust(t, "Add that was left during the write", <-first)
	usage, err := spool.Usage(t.Context())
	auditMust(t, "Usage", err)
	if usage.Entries != 1 {
		t.Errorf("%d rows, want one", usage.Entries)
	}
}

// TestAuditDamagedRows: what cannot be read goes, and holds up nothing.
func TestAuditDamagedRows(t *testing.T) {
	v := startAuditVault(t)
	spool := newAuditSpool(t)
	bad := alter.AuditRow{ID: "bad", At: time.UnixMilli(1), Size: 3, Data: []byte("{}x")}
	auditMust(t, "Write", spool.Write(t.Context(), alter.AuditWrite{Add: []alter.AuditRow{bad}}))
	q := newAuditQueue(t, alter.AuditQueueConfig{Spool: spool})
	q.add(t, "good")
	q.run(t, newAuditClient(t, v.URL))
	q.awaitEmpty(t)
	awaitEmptySpool(t, spool)
	if s := q.Stats(); s.Sent != 1 || s.Dropped != 1 {
		t.Errorf("stats %+v, want one sent and one dropped", s)
	}
	if logs := q.messages(); len(logs) != 1 || !slices.Contains(logs, "audit records in the store cannot be read and are dropped") {
		t.Errorf("log %q, want one line on what is damaged", logs)
	}
}

func TestAuditScope(t *testing.T) {
	a, b := alter.AuditScope(vaultclient.NewSecret("a")), alter.AuditScope(vaultclient.NewSecret("b"))
	if a == b || a != alter.AuditScope(vaultclient.NewSecret("a")) || len(a) != 32 {
		t.Errorf("scopes %q and %q, want two of 32 characters that stay", a, b)
	}
}
