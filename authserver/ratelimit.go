package authserver

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxLimited bounds how many addresses a limiter remembers.
const maxLimited = 1 << 16

// limiter counts events per key: at most count at once, refilled over window.
type limiter struct {
	limit rate.Limit
	burst int

	mu   sync.Mutex
	keys map[string]*rate.Limiter
}

func newLimiter(count int, window time.Duration) *limiter {
	return &limiter{
		limit: rate.Limit(float64(count) / window.Seconds()), burst: count,
		keys: make(map[string]*rate.Limiter),
	}
}

// allow reports whether one more event of key may happen at now, and after how
// long a refused one may be tried again.
func (l *limiter) allow(key string, now time.Time) (time.Duration, bool) {
	wait, _ := l.count(key, now)
	return wait, wait == 0
}

// count is allow for an event that may turn out not to count: undo takes it
// back.
func (l *limiter) count(key string, now time.Time) (wait time.Duration, undo func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lim := l.keys[key]
	if lim == nil {
		l.makeRoom(now)
		lim = rate.NewLimiter(l.limit, l.burst)
		l.keys[key] = lim
	}
	res := lim.ReserveN(now, 1)
	if wait := res.DelayFrom(now); wait > 0 {
		res.CancelAt(now)
		return wait, func() {}
	}
	return 0, func() { res.CancelAt(now) }
}

// makeRoom forgets the keys whose bucket is full again: forgetting them changes
// nothing. When that does not help, all are forgotten rather than memory grow.
func (l *limiter) makeRoom(now time.Time) {
	if len(l.keys) < maxLimited {
		return
	}
	for key, lim := range l.keys {
		if lim.TokensAt(now) >= float64(l.burst) {
			delete(l.keys, key)
		}
	}
	if len(l.keys) >= maxLimited {
		clear(l.keys)
	}
}

// addrKey groups an address with those that the same party likely has: an IPv6
// address counts as its /64.
func addrKey(addr string) string {
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return addr
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.Prefix(64)
	if err != nil {
		return addr
	}
	return prefix.String()
}
