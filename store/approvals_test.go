package store

import (
	"testing"
	"time"
)

// An approval is found by its person and call alone, until it expires, is
// replaced or forgotten.
func TestPendingApproval(t *testing.T) {
	ctx, now := t.Context(), at()
	db := newTest(t)
	r := db.Realm("a")
	must(t, "SetPendingApproval", r.SetPendingApproval(ctx, "alice", "send", "1", now.Add(time.Minute)))
	must(t, "SetPendingApproval", r.SetPendingApproval(ctx, "alice", "send", "2", now.Add(time.Minute)))

	find := func(r *Realm, who, call string, when time.Time) string {
		t.Helper()
		id, err := r.PendingApproval(ctx, who, call, when)
		must(t, "PendingApproval", err)
		return id
	}
	for name, c := range map[string]struct{ got, want string }{
		"the newest one":       {find(r, "alice", "send", now), "2"},
		"of another person":    {find(r, "bob", "send", now), ""},
		"of another call":      {find(r, "alice", "delete", now), ""},
		"of another realm":     {find(db.Realm("b"), "alice", "send", now), ""},
		"when it is over":      {find(r, "alice", "send", now.Add(time.Minute)), ""},
		"a moment before that": {find(r, "alice", "send", now.Add(time.Minute-time.Millisecond)), "2"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", name, c.got, c.want)
		}
	}

	must(t, "SetPendingApproval", r.SetPendingApproval(ctx, "alice", "other", "3", now.Add(time.Hour)))
	must(t, "Sweep", db.Sweep(ctx, now.Add(time.Minute)))
	var rows int
	must(t, "counting", db.reads.row(ctx, `SELECT count(*) FROM approvals`).Scan(&rows))
	if rows != 1 {
		t.Errorf("%d rows are left after the sweep, want 1", rows)
	}
	must(t, "SetPendingApproval", r.SetPendingApproval(ctx, "alice", "other", "", time.Time{}))
	if id := find(r, "alice", "other", now); id != "" {
		t.Errorf("%q is found after it was forgotten", id)
	}
}
