package demo

import (
	"crypto/sha256"
	"time"
)

// key is the SHA-256 of a secret. Look-ups by it take a time that tells nothing
// about the secret.
type key [sha256.Size]byte

func keyOf(secret string) key { return sha256.Sum256([]byte(secret)) }

// table holds rows that end, at most limit of them. Its owner locks it.
type table[V any] struct {
	limit int
	rows  map[key]row[V]
}

type row[V any] struct {
	value V
	ends  time.Time
}

func newTable[V any](limit int) *table[V] {
	return &table[V]{limit: limit, rows: make(map[key]row[V])}
}

// put adds a row. When the table is full, the row that would end first goes.
func (t *table[V]) put(secret string, value V, ends time.Time) {
	if len(t.rows) >= t.limit {
		t.dropFirst()
	}
	t.rows[keyOf(secret)] = row[V]{value, ends}
}

func (t *table[V]) dropFirst() {
	var first key
	var ends time.Time
	for k, r := range t.rows {
		if ends.IsZero() || r.ends.Before(ends) {
			first, ends = k, r.ends
		}
	}
	delete(t.rows, first)
}

// get returns the value of a row that has not ended.
func (t *table[V]) get(secret string, now time.Time) (value V, ok bool) {
	r, ok := t.rows[keyOf(secret)]
	if !ok || !now.Before(r.ends) {
		return value, false
	}
	return r.value, true
}

func (t *table[V]) remove(secret string) { delete(t.rows, keyOf(secret)) }
