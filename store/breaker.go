package store

import (
	"sync/atomic"
	"time"
)

const (
	// restFor is how long nothing is asked of a database that did not answer.
	restFor = time.Second
	// probeFor is how long the one query has that looks whether it does again.
	probeFor = writeTimeout
)

// breaker keeps callers from waiting for a database that does not answer: while
// one of them looks whether it is back, the others are told at once. The zero
// value is ready. Its clock is the monotonic one, which does not jump.
type breaker struct {
	// until is when the next query may try, as since start; 0: it answers.
	until atomic.Int64
	start atomic.Pointer[time.Time]
}

// since returns the time on the breaker's clock, never 0.
func (b *breaker) since() int64 {
	start := b.start.Load()
	if start == nil {
		now := time.Now()
		b.start.CompareAndSwap(nil, &now)
		start = b.start.Load()
	}
	return int64(time.Since(*start)) + 1
}

// allow returns [ErrUnavailable] when the database did not answer a moment ago.
func (b *breaker) allow() error {
	until := b.until.Load()
	if until == 0 {
		return nil
	}
	now := b.since()
	if now < until || !b.until.CompareAndSwap(until, now+int64(probeFor)) {
		return ErrUnavailable
	}
	return nil
}

// succeeded says that the database answered.
func (b *breaker) succeeded() {
	if b.until.Load() != 0 {
		b.until.Store(0)
	}
}

// failed says that it did not.
func (b *breaker) failed() { b.until.Store(b.since() + int64(restFor)) }
