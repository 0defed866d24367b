package alter

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"go.uber.org/zap"
)

// spool adds a record to the spool. One of those who wait writes for all, as
// many as came until then, so that they share not only a commit but one visit to
// the spool.
func (q *AuditQueue) spool(ctx context.Context, add *auditAdd) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	q.pending = append(q.pending, add)
	q.mu.Unlock()
	for {
		select {
		case <-add.done:
			return add.err
		default:
		}
		select {
		case <-add.done:
			return add.err
		case q.lead <- struct{}{}:
			q.gather()
			_ = q.write(ctx) // told to each who added, this one too
			<-q.lead
		case <-ctx.Done():
			if q.withdraw(add) {
				return ctx.Err()
			}
			<-add.done // it is being written
			return add.err
		}
	}
}

// withdraw takes back what nobody has begun to write.
func (q *AuditQueue) withdraw(add *auditAdd) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	at := slices.Index(q.pending, add)
	if at >= 0 {
		q.pending = slices.Delete(q.pending, at, at+1)
	}
	return at >= 0
}

// gather lets those who are about to add come, which costs less than a write of
// their own.
func (q *AuditQueue) gather() {
	for seen, now := -1, 0; seen < now && now < auditGroup; {
		runtime.Gosched()
		seen = now
		q.mu.Lock()
		now = len(q.pending)
		q.mu.Unlock()
	}
}

// auditBatch is one write under way.
type auditBatch struct {
	adds  []*auditAdd
	write AuditWrite
}

// write writes what waits: records to add, and those to delete. It is called
// with lead held.
func (q *AuditQueue) write(ctx context.Context) error {
	// Those who asked may leave; what is begun is finished.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditWriteTimeout)
	defer cancel()
	err := q.refreshUsage(ctx)
	b := q.begin(err)
	if err == nil && !b.write.empty() {
		if err = q.cfg.Spool.Write(ctx, b.write); err != nil {
			err = fmt.Errorf("writing to the spool: %w", err)
		}
		q.noteSpool(err)
	}
	q.end(b, err)
	return err
}

// noteSpool says once that the spool fails, and once that it takes writes again.
func (q *AuditQueue) noteSpool(err error) {
	q.mu.Lock()
	was := q.broken
	q.broken = err != nil
	q.mu.Unlock()
	switch {
	case err != nil && !was:
		q.cfg.Logger.Error("the audit spool fails; what is sent may be sent again", zap.Error(err))
	case err == nil && was:
		q.cfg.Logger.Info("the audit spool is back")
	}
}

// refreshUsage asks the spool how much it holds, where that decides something:
// at first, and when it seems to be full.
func (q *AuditQueue) refreshUsage(ctx context.Context) error {
	q.mu.Lock()
	fresh := !q.usageAt.IsZero() && (!q.full || q.cfg.Now().Sub(q.usageAt) < auditUsageAge)
	q.mu.Unlock()
	if fresh {
		return nil
	}
	return q.readUsage(ctx)
}

// readUsage is called with lead held: no write of ours comes in between.
func (q *AuditQueue) readUsage(ctx context.Context) error {
	usage, err := q.cfg.Spool.Usage(ctx)
	if err != nil {
		if !errors.Is(err, context.Canceled) { // by the end of Run
			q.noteSpool(err)
		}
		return fmt.Errorf("reading the spool: %w", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.usage, q.usageAt = usage, q.cfg.Now()
	return nil
}

// begin collects what is to be written. After an error there is nothing to be
// written, and all who wait are told.
func (q *AuditQueue) begin(err error) *auditBatch {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.pending), auditGroup)
	b := &auditBatch{adds: slices.Clone(q.pending[:n])}
	q.pending = slices.Delete(q.pending, 0, n)
	if err != nil {
		return b
	}
	b.write, q.settled = q.settled, AuditWrite{}
	leased, bytes := 0, int64(0)
	for _, add := range b.adds {
		row := &add.item.row
		if add.err = q.admit(row.Size, len(b.write.Add), bytes); add.err != nil {
			continue
		}
		bytes += int64(row.Size)
		if q.roomy(leased, bytes) {
			row.Lease = q.wall().Add(q.cfg.Lease)
			leased++
		}
		full := *row
		full.Data = add.data
		b.write.Add = append(b.write.Add, full)
	}
	return b
}

// roomy reports whether a new row is leased and kept in memory, where others of
// that number and size were before. If not it stays free and is read when it is
// its turn, as those are that wait in the spool already.
func (q *AuditQueue) roomy(others int, bytes int64) bool {
	return q.state == auditRunning && !q.more &&
		len(q.held)+others < auditWindow && int64(q.bytes)+bytes <= auditWindowBytes
}

// end tells who waits, and keeps what is now in the spool.
func (q *AuditQueue) end(b *auditBatch, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, add := range b.adds {
		if err != nil {
			add.err = err
		}
		if row := add.item.row; add.err == nil {
			q.usage.Entries++
			q.usage.Bytes += int64(row.Size)
			if row.Lease.IsZero() {
				q.more = true
			} else {
				q.hold(add.item)
			}
		}
		close(add.done)
	}
	if err != nil {
		q.settled.Delete = append(b.write.Delete, q.settled.Delete...)
		q.settled.Release = append(b.write.Release, q.settled.Release...)
		return
	}
	for _, row := range b.write.Delete {
		q.forget(row.ID)
		q.usage.Entries--
		q.usage.Bytes -= int64(row.Size)
	}
	for _, release := range b.write.Release {
		q.forget(release.Row.ID)
	}
	if len(b.write.Add) > 0 {
		q.signal()
	}
}

// exclusively runs f while nobody writes.
func (q *AuditQueue) exclusively(f func() error) error {
	q.lead <- struct{}{}
	defer func() { <-q.lead }()
	return f()
}
