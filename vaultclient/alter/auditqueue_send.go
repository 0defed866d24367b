package alter

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"time"

	"go.uber.org/zap"
)

// auditOutage is what is known of a vault that does not take records.
type auditOutage struct {
	round    int       // counts failures and recoveries
	failures int       // rounds that failed in a row
	until    time.Time // nothing is sent before
	since    time.Time // of the first failure
	logged   bool
}

// send sends one record and settles what comes of it.
func (r *auditRun) send(ctx context.Context, item *auditItem) {
	defer r.signal()
	sending, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	err := r.client.sendAudit(sending, &item.entry)
	switch {
	case err == nil:
		r.sent(item)
	case isRefusedForGood(err):
		r.drop(item, err)
	default:
		r.failed(ctx, item, err)
	}
}

// isRefusedForGood reports whether the vault will never take this record. A
// refusal without the vault's own code may be anybody's on the way, and one that
// is about key, agent or rate is about all records.
func isRefusedForGood(err error) bool {
	var e *Error
	if errors.Is(err, ErrInvalid) {
		return true // it never left
	}
	if !errors.As(err, &e) {
		return false
	}
	switch e.Status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return true
	case http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return e.Status >= 400 && e.Status < 500 && e.Code != "" && !errors.Is(err, ErrOperator)
}

// settle ends an item. It is called with mu held.
func (q *AuditQueue) settle(item *auditItem) {
	if q.cfg.Spool == nil {
		q.forget(item.row.ID)
		q.usage.Entries--
		q.usage.Bytes -= int64(item.row.Size)
		return
	}
	q.note()
	q.settled.Delete = append(q.settled.Delete, item.row)
}

// note notes since when there is something to write that is in no hurry.
func (q *AuditQueue) note() {
	if q.settled.empty() {
		q.since = q.cfg.Now()
	}
}

func (r *auditRun) sent(item *auditItem) {
	r.mu.Lock()
	r.stats.InFlight--
	r.stats.Sent++
	r.settle(item)
	over := r.cleared()
	r.mu.Unlock()
	r.logOver(over)
}

// drop ends a record that the vault will never take. The log says so at most
// once a minute: it may be so with all.
func (r *auditRun) drop(item *auditItem, err error) {
	r.mu.Lock()
	r.stats.InFlight--
	r.stats.Dropped++
	dropped := r.stats.Dropped
	r.settle(item)
	over := auditOutage{}
	var e *Error
	if errors.As(err, &e) && e.Status != 0 { // it answers
		over = r.cleared()
	}
	now := r.cfg.Now()
	log := r.dropLog.IsZero() || now.Sub(r.dropLog) >= auditDropLogEvery
	if log {
		r.dropLog = now
	}
	r.mu.Unlock()
	r.logOver(over)
	if log {
		r.cfg.Logger.Error("the vault refuses an audit record for good, which is dropped",
			zap.Error(err), zap.Uint64("dropped", dropped))
	}
}

// failed keeps a record for later. ctx is that of all sends: when it ended, the
// vault had no fault.
func (r *auditRun) failed(ctx context.Context, item *auditItem, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.InFlight--
	if ctx.Err() != nil {
		r.waiting = append(r.waiting, item)
		return
	}
	r.stats.Failed++
	r.fail(item.round, err)
	o := &r.outage
	long := o.until.Sub(r.cfg.Now()) > r.cfg.MaxPause // as the vault has asked for
	if (o.failures >= auditOutageAfter || long) && !o.logged {
		o.logged = true
		r.cfg.Logger.Warn("the vault takes no audit records at the moment; they are kept",
			zap.Error(err), zap.Int("waiting", r.count()))
	}
	r.putOff(item)
}

// fail counts a failure of a round, and sets until when nothing is sent. Those
// that were under way together are one. It is called with mu held.
func (q *AuditQueue) fail(round int, err error) {
	o, now := &q.outage, q.cfg.Now()
	var wait time.Duration
	var e *Error
	if errors.As(err, &e) {
		wait = min(e.RetryAfter, maxRetryAfter)
	}
	if round == o.round {
		if o.failures == 0 {
			o.since = now
		}
		o.failures++
		o.round++
		wait = max(wait, q.pause(o.failures))
	}
	if until := now.Add(wait); until.After(o.until) {
		o.until = until
	}
}

// putOff lets others go before an item that failed. If they get through where it
// failed several times it leaves the memory for a while. It is called with mu
// held.
func (q *AuditQueue) putOff(item *auditItem) {
	now := q.cfg.Now()
	item.tries++
	item.notBefore = now.Add(q.pause(item.tries + 1))
	if item.tries >= auditDeferAfter && q.outage.failures < auditOutageAfter {
		item.notBefore = now.Add(auditDeferral)
		if q.cfg.Spool != nil {
			q.note()
			q.settled.Release = append(q.settled.Release, AuditRelease{Row: item.row, Until: q.wall().Add(auditDeferral)})
			return
		}
	}
	q.waiting = append(q.waiting, item)
}

// pause is none after the first failure, which may be about one record, then
// doubles; half of it is random, so that servers do not come back all at once.
func (q *AuditQueue) pause(failures int) time.Duration {
	if failures < 2 {
		return 0
	}
	d := q.cfg.MaxPause
	if n := failures - 2; n < 30 && q.cfg.Backoff<<n < d && q.cfg.Backoff<<n > 0 {
		d = q.cfg.Backoff << n
	}
	var b [4]byte
	if _, err := io.ReadFull(q.cfg.Random, b[:]); err != nil {
		return d
	}
	return d - time.Duration(float64(d/2)*float64(binary.BigEndian.Uint32(b[:]))/(1<<32))
}

// cleared ends an outage, and returns it. It is called with mu held.
func (q *AuditQueue) cleared() auditOutage {
	over := q.outage
	q.outage = auditOutage{round: over.round + 1}
	return over
}

func (r *auditRun) logOver(over auditOutage) {
	if over.logged {
		r.cfg.Logger.Info("the vault takes audit records again",
			zap.Duration("after", r.cfg.Now().Sub(over.since)), zap.Int("rounds", over.failures))
	}
}
