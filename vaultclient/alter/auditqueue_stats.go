package alter

import "time"

// AuditStats are the figures of an [AuditQueue]. Counts are since it was made.
type AuditStats struct {
	// Waiting is how many records are not sent yet, with a spool those of all
	// queues that share it, as of at most [AuditQueueConfig.Poll] ago.
	Waiting int
	Bytes   int64
	// Oldest is how long the oldest of them waits.
	Oldest time.Duration
	// InFlight is how many are being sent.
	InFlight int
	// Sent were taken by the vault.
	Sent uint64
	// Failed tries; the records are kept.
	Failed uint64
	// Dropped were refused for good, could not be read back, or were lost at the
	// end of a queue without a spool.
	Dropped uint64
	// Refused were not added because the queue was full.
	Refused uint64
	// Away says that the vault takes no records at the moment.
	Away bool
}

// Stats returns the figures. It asks nobody.
func (q *AuditQueue) Stats() AuditStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.stats
	s.Waiting, s.Bytes, s.Away = q.count(), q.usage.Bytes, q.outage.logged
	if s.Waiting == 0 {
		return s
	}
	oldest := time.Time{}
	if q.usage.Entries > len(q.held) {
		oldest = q.usage.Oldest
	}
	if len(q.ages) > 0 && (oldest.IsZero() || q.ages[0].row.At.Before(oldest)) {
		oldest = q.ages[0].row.At
	}
	if !oldest.IsZero() {
		s.Oldest = max(0, q.wall().Sub(oldest))
	}
	return s
}

// count is how many records wait: those that were sent and are not deleted yet do
// not. It is called with mu held.
func (q *AuditQueue) count() int {
	return max(0, q.usage.Entries-len(q.settled.Delete))
}
