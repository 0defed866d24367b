package store

import (
	"cmp"
	"sync"
	"time"
)

const (
	// recentFor is how long a read may be answered from memory. It is how soon
	// a write of another process is noticed; those of this one are at once.
	recentFor = time.Second
	// maxRecent bounds how many values are kept: they are some 500 bytes each,
	// identity tokens some 4 KiB.
	maxRecent = 1 << 10

	// maxRecentStates bounds how many are kept that have no value beside being
	// there: some 150 bytes each.
	maxRecentStates = 1 << 14
	// recentAloneFor is how long these are kept where no other process writes.
	recentAloneFor = time.Minute
)

// recent keeps what was read a moment ago, for calls that come one after the
// other. A read by key costs SQLite and its driver more than all else that a
// tools/call needs of the store. What is kept is dropped all at once by a timer,
// so that an opened grant is not in memory for longer, whether or not anybody asks
// again. The zero value is ready.
type recent[K comparable, V any] struct {
	most int           // values; maxRecent if 0
	span time.Duration // recentFor if 0

	mu      sync.RWMutex
	kept    map[K]V
	changes uint64 // how often something was forgotten
	writing int    // writes under way
}

// get returns what is kept under key.
func (r *recent[K, V]) get(key K) (V, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	v, ok := r.kept[key]
	return v, ok
}

// begin returns what keep has to be told, before the value is read.
func (r *recent[K, V]) begin() uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.changes
}

// keep keeps a value that was read since begin. One that a write may have
// overtaken meanwhile is not kept.
func (r *recent[K, V]) keep(begun uint64, key K, v V) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changes != begun || r.writing > 0 {
		return
	}
	if _, known := r.kept[key]; !known && len(r.kept) >= cmp.Or(r.most, maxRecent) {
		return
	}
	if r.kept == nil {
		r.kept = make(map[K]V)
		time.AfterFunc(cmp.Or(r.span, recentFor), r.drop)
	}
	r.kept[key] = v
}

// write is called before a write of key; what it returns, before the write is
// acknowledged. In between nothing is kept: of two readers one may see the new
// value and the other the old, and whoever saw the new one must not see the old
// one after it.
func (r *recent[K, V]) write(key K) (done func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writing++
	delete(r.kept, key)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.writing--
		r.changes++
	}
}

// drop drops all that is kept.
func (r *recent[K, V]) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes++ // a read that began before is as old as what is dropped
	r.kept = nil
}
