package alter

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Kinds of errors of an [AuditQueue].
const (
	// ErrAuditFull: the queue holds as much as it may, because the vault has been
	// away for long. The record is not kept.
	ErrAuditFull Kind = "the audit queue is full"
	// ErrAuditStopped: Run has ended, and there is no spool that would keep the
	// record for the next one.
	ErrAuditStopped Kind = "the audit queue has stopped"
)

// AuditQueue sends records of calls to the vault.
//
// With a spool a record is sent at least once from the moment that Add has
// returned, whatever happens to the process, unless the vault refuses it for
// good, or it is swept for its age. It is sent twice if a process dies between
// the vault's answer and the commit that follows, or if the vault's answer is
// lost. The order is roughly that of Add.
//
// It is safe for concurrent use.
type AuditQueue struct {
	cfg AuditQueueConfig

	// lead is held by whoever writes to the spool, for all who wait.
	lead chan struct{}
	// wake tells Run that there is something to do.
	wake chan struct{}

	mu      sync.Mutex
	state   auditState
	pending []*auditAdd           // not written yet
	waiting []*auditItem          // to be sent, in order
	held    map[string]*auditItem // by id: waiting, under way, or sent and not deleted
	bytes   int                   // of held
	ages    []*auditItem          // held, in order; those that are gone later
	settled AuditWrite            // deletes and releases to be written
	since   time.Time             // of the first of them
	more    bool                  // the spool has free rows
	usage   AuditUsage            // as last read, and changed by us since
	usageAt time.Time             // zero: never read
	stats   AuditStats
	outage  auditOutage
	full    bool // the log says so
	broken  bool // the spool; the log says so
	dropLog time.Time
}

type auditState int

const (
	auditIdle auditState = iota
	auditRunning
	auditEnded
)

// auditItem is a record in memory.
type auditItem struct {
	row       AuditRow // without Data
	entry     AuditEntry
	tries     int
	notBefore time.Time
	round     int  // of the outage, when the send began
	gone      bool // no longer held
}

// auditAdd is a record that is being added.
type auditAdd struct {
	item *auditItem
	data []byte
	done chan struct{}
	err  error
}

// NewAuditQueue checks cfg and returns a queue. It reads and sends nothing.
func NewAuditQueue(cfg AuditQueueConfig) (*AuditQueue, error) {
	cfg = cfg.withDefaults()
	for name, n := range map[string]int64{
		"entries": int64(cfg.MaxEntries), "bytes": cfg.MaxBytes, "bytes of an entry": int64(cfg.MaxEntry),
		"in flight": int64(cfg.InFlight), "timeout": int64(cfg.Timeout), "poll": int64(cfg.Poll),
		"back-off": int64(cfg.Backoff), "longest pause": int64(cfg.MaxPause),
	} {
		if n < 0 {
			return nil, invalid("audit queue: %s: %d: want a positive number", name, n)
		}
	}
	if least := cfg.leastLease(); cfg.Lease < least {
		return nil, invalid("audit queue: a lease of %v: want at least %v", cfg.Lease, least)
	}
	return &AuditQueue{
		cfg:  cfg,
		lead: make(chan struct{}, 1),
		wake: make(chan struct{}, 1),
		held: map[string]*auditItem{},
	}, nil
}

// Add returns when the record is durable in the spool, or, without one, in
// memory. Errors: [ErrAuditFull]; [ErrInvalid] for a record that could not be
// sent or is too large; [ErrAuditStopped]; else the spool's, or that of ctx,
// after which the record may be kept nevertheless.
func (q *AuditQueue) Add(ctx context.Context, e AuditEntry) error {
	add, err := q.prepare(e)
	if err == nil && q.cfg.Spool == nil {
		err = q.remember(add)
	} else if err == nil {
		err = q.spool(ctx, add)
	}
	if err != nil {
		return fmt.Errorf("adding audit record: %w", err)
	}
	return nil
}

// prepare does what needs no lock.
func (q *AuditQueue) prepare(e AuditEntry) (*auditAdd, error) {
	e, err := e.normal()
	if err != nil {
		return nil, err
	}
	data, err := e.encode()
	if err != nil {
		return nil, err
	}
	if len(data) > q.cfg.MaxEntry {
		return nil, invalid("it has %d bytes, at most %d are allowed", len(data), q.cfg.MaxEntry)
	}
	var id [16]byte
	if _, err := io.ReadFull(q.cfg.Random, id[:]); err != nil {
		return nil, fmt.Errorf("reading randomness: %w", err)
	}
	row := AuditRow{ID: hex.EncodeToString(id[:]), At: q.wall().Truncate(time.Millisecond), Size: len(data)}
	return &auditAdd{item: &auditItem{row: row, entry: e}, data: data, done: make(chan struct{})}, nil
}

// wall is the time that leases are told by: processes share it.
func (q *AuditQueue) wall() time.Time { return q.cfg.Now().Round(0) }

// remember adds to memory alone.
func (q *AuditQueue) remember(add *auditAdd) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.state == auditEnded {
		return ErrAuditStopped
	}
	if err := q.admit(add.item.row.Size, 0, 0); err != nil {
		return err
	}
	q.usage.Entries++
	q.usage.Bytes += int64(add.item.row.Size)
	q.hold(add.item)
	q.signal()
	return nil
}

// admit keeps the bounds; entries and size come before. It is called with mu
// held.
func (q *AuditQueue) admit(size, entries int, bytes int64) error {
	n, b := q.usage.Entries+entries, q.usage.Bytes+bytes
	if n < q.cfg.MaxEntries && b+int64(size) <= q.cfg.MaxBytes {
		if q.full && float64(n) < auditFullOverFraction*float64(q.cfg.MaxEntries) &&
			float64(b) < auditFullOverFraction*float64(q.cfg.MaxBytes) {
			q.full = false
			q.cfg.Logger.Info("the audit queue has room again", zap.Int("entries", n), zap.Int64("bytes", b))
		}
		return nil
	}
	q.stats.Refused++
	if !q.full {
		q.full = true
		q.cfg.Logger.Error("the audit queue is full: new records are refused", zap.Int("entries", n), zap.Int64("bytes", b))
	}
	return ErrAuditFull
}

// hold keeps an item in memory to be sent. It is called with mu held.
func (q *AuditQueue) hold(item *auditItem) {
	q.held[item.row.ID] = item
	q.bytes += item.row.Size
	q.waiting = append(q.waiting, item)
	q.ages = append(q.ages, item)
}

// forget is the inverse of hold, for an item that is not in waiting.
func (q *AuditQueue) forget(id string) {
	item, ok := q.held[id]
	if !ok {
		return
	}
	delete(q.held, id)
	q.bytes -= item.row.Size
	item.gone = true
	for len(q.ages) > 0 && q.ages[0].gone {
		q.ages[0] = nil
		q.ages = q.ages[1:]
	}
	if len(q.ages) > 2*len(q.held)+auditTake { // one that stays keeps others there
		q.ages = slices.DeleteFunc(q.ages, func(item *auditItem) bool { return item.gone })
	}
}

// signal wakes Run.
func (q *AuditQueue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}
