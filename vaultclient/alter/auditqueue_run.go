package alter

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
)

// auditRun is one call of Run.
type auditRun struct {
	*AuditQueue
	client  *Client
	senders sync.WaitGroup
	polled  time.Time
}

// Run sends what is added, and what others left in the spool, with c until ctx
// ends. Then it waits up to Grace for what is under way, and gives back to the
// spool what it still holds; records that come later stay in the spool for
// another queue. It can be called once. The error says that records are lost, or
// wait longer than they had to.
func (q *AuditQueue) Run(ctx context.Context, c *Client) error {
	q.mu.Lock()
	state := q.state
	if state == auditIdle {
		q.state = auditRunning
	}
	q.mu.Unlock()
	if state != auditIdle {
		return invalid("audit queue: Run was called before")
	}
	r := &auditRun{AuditQueue: q, client: c}
	sending, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	r.loop(ctx, sending, false)
	return r.finish(sending, cut)
}

// loop starts sends until ctx ends, or, while draining, until nothing waits.
func (r *auditRun) loop(ctx, sending context.Context, draining bool) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil && (!draining || r.busy()) {
		wait := r.cfg.Poll
		if r.cfg.Spool != nil && !draining {
			wait = r.tend(ctx)
		}
		item, pause := r.next()
		if item != nil {
			r.senders.Go(func() { r.send(sending, item) })
			continue
		}
		timer.Reset(min(wait, pause))
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-timer.C:
		}
	}
}

func (q *AuditQueue) busy() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.held) > 0
}

// tend writes deletes that are due, and reads rows where there is room for them.
// It returns when to come again.
func (r *auditRun) tend(ctx context.Context) time.Duration {
	now := r.cfg.Now()
	due := r.flushDue(now)
	var err error
	if due <= 0 {
		err = r.exclusively(func() error { return r.write(ctx) })
		due = r.cfg.Poll
	}
	poll := r.polled.Add(r.cfg.Poll).Sub(now)
	if err == nil && (poll <= 0 || r.hungry()) {
		err = r.refill(ctx)
		r.polled, poll = now, r.cfg.Poll
	}
	if err != nil {
		return r.cfg.Poll
	}
	return min(due, poll)
}

// flushDue is how long deletes may still wait for an Add that writes them, too.
func (q *AuditQueue) flushDue(now time.Time) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.settled.empty():
		return q.cfg.Poll
	case len(q.settled.Delete)+len(q.settled.Release) >= auditFlushRows:
		return 0
	}
	return q.since.Add(auditFlushAfter).Sub(now)
}

// hungry reports whether rows of the spool should be read at once: few are in
// memory, and there are others.
func (q *AuditQueue) hungry() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.more && len(q.waiting) < auditTake && q.outage.failures == 0
}

// refill leases rows that nobody holds. While the vault is away it takes one, to
// ask with.
func (r *auditRun) refill(ctx context.Context) error {
	if err := r.exclusively(func() error { return r.readUsage(ctx) }); err != nil {
		return err
	}
	limit := r.room()
	if limit == 0 {
		return nil
	}
	now := r.wall()
	until := now.Add(r.cfg.Lease)
	r.mu.Lock()
	r.more = false // what is added from now on says so
	r.mu.Unlock()
	rows, err := r.cfg.Spool.Take(ctx, now, until, limit)
	if ctx.Err() == nil {
		r.noteSpool(err)
	}
	damaged := 0
	r.mu.Lock()
	r.more = r.more || err != nil || len(rows) == limit
	for _, row := range rows {
		if !r.takeOver(row, until) {
			damaged++
		}
	}
	r.mu.Unlock()
	if err != nil {
		return fmt.Errorf("reading the spool: %w", err)
	}
	if damaged > 0 {
		r.cfg.Logger.Error("audit records in the store cannot be read and are dropped", zap.Int("records", damaged))
	}
	return nil
}

// room is how many rows may be read.
func (r *auditRun) room() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.lastLease()
	r.waiting = slices.DeleteFunc(r.waiting, func(item *auditItem) bool { return r.dropLapsed(item, last) })
	switch {
	case r.outage.until.After(r.cfg.Now()):
		return 0
	case r.usage.Entries <= len(r.held), len(r.waiting) >= auditTake, len(r.held) >= auditWindow:
		return 0
	case r.outage.failures > 0:
		return max(0, 1-len(r.waiting))
	}
	return auditTake
}

// takeOver keeps a row that was leased, unless it is damaged, which is false. It
// is called with mu held.
func (r *auditRun) takeOver(row AuditRow, until time.Time) bool {
	if _, ours := r.held[row.ID]; ours {
		return true // under way, or sent: its delete did not succeed yet
	}
	entry, err := decodeEntry(row.Data)
	row.Data, row.Lease = nil, until
	item := &auditItem{row: row, entry: entry}
	if row.Damaged == nil && err == nil {
		r.hold(item)
		return true
	}
	r.held[row.ID] = item
	r.bytes += row.Size
	r.stats.Dropped++
	r.settle(item)
	return false
}

// lastLease is until when a row must be leased at least to be sent now.
func (q *AuditQueue) lastLease() time.Time {
	return q.wall().Add(q.cfg.Timeout + auditLeaseMargin)
}

// dropLapsed forgets an item that another may send before we have. It is called
// with mu held.
func (q *AuditQueue) dropLapsed(item *auditItem, last time.Time) bool {
	lapsed := q.cfg.Spool != nil && item.row.Lease.Before(last)
	if lapsed {
		q.more = true
		q.forget(item.row.ID)
	}
	return lapsed
}

// next returns the record to be sent now, or how long there is none.
func (r *auditRun) next() (*auditItem, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Now()
	if pause := r.outage.until.Sub(now); pause > 0 {
		return nil, pause
	}
	limit := r.cfg.InFlight
	if r.outage.failures > 0 {
		limit = 1 // one asks whether the vault is back
	}
	if r.stats.InFlight >= limit {
		return nil, r.cfg.Poll
	}
	wait, last := r.cfg.Poll, r.lastLease()
	for i := 0; i < len(r.waiting); {
		item := r.waiting[i]
		rest := item.notBefore.Sub(now)
		if rest > 0 {
			wait = min(wait, rest)
			i++
			continue
		}
		r.leave(i)
		if !r.dropLapsed(item, last) {
			item.round = r.outage.round
			r.stats.InFlight++
			return item, 0
		}
	}
	return nil, wait
}

// leave takes the i-th item out of those that wait. It is called with mu held.
func (q *AuditQueue) leave(i int) {
	if i > 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
		return
	}
	q.waiting[0] = nil
	q.waiting = q.waiting[1:]
}

// finish ends what is under way, and gives back what is held.
func (r *auditRun) finish(sending context.Context, cut context.CancelFunc) error {
	grace, cancel := context.WithTimeout(sending, max(r.cfg.Grace, 0))
	defer cancel()
	defer context.AfterFunc(grace, cut)()
	if r.cfg.Spool == nil {
		r.loop(grace, sending, true)
	}
	r.senders.Wait()
	if r.cfg.Spool == nil {
		return r.abandon()
	}
	return r.exclusively(func() error { return r.giveBack(sending) })
}

// abandon ends a queue without a spool.
func (q *AuditQueue) abandon() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.state = auditEnded
	lost := len(q.held)
	q.stats.Dropped += uint64(lost)
	clear(q.held)
	q.waiting, q.ages, q.bytes, q.usage = nil, nil, 0, AuditUsage{}
	if lost > 0 {
		return fmt.Errorf("sending audit records: %d are lost: the vault did not take them in time, and there is no spool", lost)
	}
	return nil
}

// giveBack writes the last deletes, and frees the rows that were not sent.
func (q *AuditQueue) giveBack(ctx context.Context) error {
	q.mu.Lock()
	q.state = auditEnded
	for _, item := range q.waiting {
		q.settled.Release = append(q.settled.Release, AuditRelease{Row: item.row})
	}
	q.waiting = nil
	q.mu.Unlock()
	if err := q.write(ctx); err != nil {
		return fmt.Errorf("giving back audit records: %w", err)
	}
	return nil
}
