package store

import (
	"context"
	"strings"
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

	const page = "https://vault.example/approve/secret"
	must(t, "SetPendingApproval", r.SetPendingApproval(ctx, "alice", "other", page, now.Add(time.Hour)))
	var stored string
	must(t, "reading", db.reads.row(ctx, `SELECT id FROM approvals WHERE realm = 'a' AND expires_at = $1`, millis(now.Add(time.Hour))).Scan(&stored))
	if stored == "" || strings.Contains(stored, "approve") {
		t.Errorf("stored is %q, want it sealed: who has the link may decide", stored)
	}
	if id := find(r, "alice", "other", now); id != page {
		t.Errorf("%q is found, want %q", id, page)
	}
	// What stands in the row of another call does not open there.
	must(t, "moving", db.write(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `UPDATE approvals SET id = $1 WHERE call = $2`, stored, digest("send"))
		return err
	}))
	if id := find(r, "alice", "send", now); id != "" {
		t.Errorf("%q is found in the row of another call", id)
	}
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
