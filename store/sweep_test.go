package store

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/local"
)

// rowsOf counts the rows of the tables that are swept.
func rowsOf(t *testing.T, db *DB) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, table := range []string{"codes", "sessions", "taken_ids", "ended_sessions", "families", "grants"} {
		var n int
		must(t, "counting", db.reads.row(t.Context(), `SELECT count(*) FROM `+table).Scan(&n))
		counts[table] = n
	}
	return counts
}

// TestSweep lets time pass over one row of each kind, in two realms, and tells
// just before and just after the moment at which it goes.
func TestSweep(t *testing.T) {
	ctx := t.Context()
	now := at()
	o := testOptions()
	o.Now = func() time.Time { return now }
	db, err := OpenSQLite(ctx, t.TempDir()+"/alter.db", o)
	must(t, "OpenSQLite", err)
	defer func() { must(t, "Close", db.Close()) }()

	hour := now.Add(time.Hour)
	for _, name := range []string{"a", "b"} {
		r := db.Realm(name)
		for id, ends := range map[string]time.Time{"expired": hour, "revoked": now.Add(1000 * time.Hour)} {
			c := &authserver.Code{Hash: hashOf(id), ExpiresAt: hour}
			must(t, "AddCode", r.AddCode(ctx, c))
			f := &authserver.Family{ID: id, CreatedAt: now, ExpiresAt: ends, Current: hashOf(id)}
			must(t, "RedeemCode", r.RedeemCode(ctx, c.Hash, f))
		}
		must(t, "RevokeFamily", r.RevokeFamily(ctx, "revoked", hour))
		must(t, "AddSession", r.AddSession(ctx, &authserver.Session{Hash: hashOf("s"), ExpiresAt: hour}))
		_, err := r.TakeOnce(ctx, "id", hour)
		must(t, "TakeOnce", err)
		must(t, "EndSession", r.EndSession(ctx, "id", hour))
		must(t, "PutGrant", r.PutGrant(ctx, &local.Grant{UserID: "kept"}))
		deleted := &local.Grant{UserID: "deleted"}
		must(t, "PutGrant", r.PutGrant(ctx, deleted))
		must(t, "DeleteGrant", r.DeleteGrant(ctx, deleted))
	}

	tick := time.Millisecond
	want := map[string]int{
		"codes": 4, "sessions": 2, "taken_ids": 2, "ended_sessions": 2, "families": 4, "grants": 4,
	}
	for _, step := range []struct {
		name  string
		at    time.Time
		table string
		left  int
	}{
		{"before all", hour.Add(-tick), "codes", 4},
		{"sessions at their end", hour, "sessions", 0},
		{"taken ids after their end", hour.Add(tick), "taken_ids", 0},
		{"codes before an hour is over", hour.Add(time.Hour - tick), "codes", 4},
		{"codes after an hour", hour.Add(time.Hour), "codes", 0},
		{"families before 48 hours are over", hour.Add(48*time.Hour - tick), "families", 4},
		{"families after 48 hours", hour.Add(48 * time.Hour), "families", 0},
	} {
		must(t, "Sweep", db.Sweep(ctx, step.at))
		switch step.name { // rows of other tables that end at the same moment
		case "sessions at their end":
			want["grants"] = 2
		case "taken ids after their end":
			want["ended_sessions"] = 0
		}
		want[step.table] = step.left
		if diff := cmp.Diff(want, rowsOf(t, db)); diff != "" {
			t.Errorf("%s: rows (-want +got):\n%s", step.name, diff)
		}
	}
}

// TestSweepKeepsARotatedFamily sweeps when the end that it had at first is past.
func TestSweepKeepsARotatedFamily(t *testing.T) {
	ctx := t.Context()
	db := newTest(t)
	r := db.Realm("realm")
	f := familyFor(t, r, "family")
	ok, err := r.RotateFamily(ctx, &authserver.Rotation{
		FamilyID: f.ID, Presented: f.Current, Next: hashOf("next"),
		Now: f.CreatedAt, ExpiresAt: f.ExpiresAt.Add(30 * 24 * time.Hour),
	})
	if !ok || err != nil {
		t.Fatalf("RotateFamily = %t, %v", ok, err)
	}
	must(t, "Sweep", db.Sweep(ctx, f.ExpiresAt.Add(29*24*time.Hour)))
	_, err = r.Family(ctx, f.ID)
	must(t, "Family", err)
}

func TestSweepOfMoreThanABatch(t *testing.T) {
	db := newTest(t)
	now := at()
	const rows = 2*sweepBatch + 1
	must(t, "filling", db.write(t.Context(), func(ctx context.Context, t *tx) error {
		for i := range rows {
			if _, err := t.exec(ctx, takeOnce, "realm", hashOf(fmt.Sprint(i)), millis(now), millis(now)); err != nil {
				return err
			}
		}
		return nil
	}))
	if got := rowsOf(t, db)["taken_ids"]; got != rows {
		t.Fatalf("%d rows before the sweep, want %d", got, rows)
	}
	must(t, "Sweep", db.Sweep(t.Context(), now.Add(time.Second)))
	if got := rowsOf(t, db)["taken_ids"]; got != 0 {
		t.Errorf("%d rows after the sweep, want 0", got)
	}
}

// TestRotationMarksTheClient: to the day, so that most rotations write one row.
func TestRotationMarksTheClient(t *testing.T) {
	ctx := t.Context()
	r := newTest(t).Realm("realm")
	must(t, "AddClient", r.AddClient(ctx, &authserver.Client{ID: "client"}, 1))
	f := familyFor(t, r, "family")
	presented, noted := f.Current, f.CreatedAt
	var known time.Time // as whoever rotates read it, which may be a while ago
	for _, after := range []time.Duration{23 * time.Hour, 25 * time.Hour, 48 * time.Hour, 49 * time.Hour} {
		now := f.CreatedAt.Add(after)
		next := hashOf(after.String())
		ok, err := r.RotateFamily(ctx, &authserver.Rotation{
			FamilyID: f.ID, ClientID: f.ClientID, ClientUsedAt: known,
			Presented: presented, Next: next, Now: now, ExpiresAt: f.ExpiresAt,
		})
		if !ok || err != nil {
			t.Fatalf("RotateFamily = %t, %v", ok, err)
		}
		presented, known = next, noted
		if now.Sub(noted) >= 24*time.Hour {
			noted = now
		}
		c, err := r.readClient(ctx, "client")
		must(t, "reading the client", err)
		if !c.UsedAt.Equal(noted) {
			t.Errorf("UsedAt after %v = %v, want %v", after, c.UsedAt, noted)
		}
	}
}

// TestSweepOfAuditRecords: after 7 days without being sent they go, leased or
// not, are counted, and no longer count.
func TestSweepOfAuditRecords(t *testing.T) {
	ctx, now := t.Context(), at()
	const week = 7 * 24 * time.Hour
	logged, logs := observer.New(zap.ErrorLevel)
	o := testOptions()
	o.Logger = zap.New(logged)
	db, err := OpenSQLite(ctx, t.TempDir()+"/alter.db", o)
	must(t, "OpenSQLite", err)
	defer func() { must(t, "Close", db.Close()) }()

	spools := []*AuditSpool{
		db.Realm("a").AuditSpool("key"), db.Realm("a").AuditSpool("other key"), db.Realm("b").AuditSpool("key"),
	}
	old := make([]alter.AuditRow, sweepBatch+1)
	for i := range old {
		old[i] = alter.AuditRow{ID: fmt.Sprint(i), At: now, Size: 2, Data: []byte("{}")}
	}
	old[0].Lease = now.Add(2 * week)
	young := alter.AuditRow{ID: "young", At: now.Add(time.Millisecond), Size: 2, Data: []byte("{}")}
	for _, s := range spools {
		must(t, "Write", s.Write(ctx, alter.AuditWrite{Add: append(old[:len(old):len(old)], young)}))
	}

	must(t, "Sweep", db.Sweep(ctx, now.Add(week)))
	if n := db.AuditSwept(); n != 0 || logs.Len() != 0 {
		t.Errorf("%d records are swept on the last day, %d logs; want none", n, logs.Len())
	}
	must(t, "Sweep", db.Sweep(ctx, now.Add(week+time.Millisecond)))
	must(t, "Sweep", db.Sweep(ctx, now.Add(week+time.Millisecond)))
	if n := db.AuditSwept(); n != int64(3*len(old)) || logs.Len() != 1 {
		t.Errorf("%d records are swept with %d logs, want %d and one", n, logs.Len(), 3*len(old))
	}
	for _, s := range spools {
		got, err := s.Usage(ctx)
		must(t, "Usage", err)
		if diff := cmp.Diff(alter.AuditUsage{Entries: 1, Bytes: 2, Oldest: young.At}, got); diff != "" {
			t.Errorf("usage after the sweep (-want +got):\n%s", diff)
		}
	}
}

// TestSweepOfIdentityTokens: they stay for as long as their person has a living
// authorization, and go an hour after it or after the login that gave them.
func TestSweepOfIdentityTokens(t *testing.T) {
	ctx := t.Context()
	db := newTest(t)
	now := at()
	for _, name := range []string{"a", "b"} {
		r := db.Realm(name)
		families := map[string]*authserver.Family{
			"none": nil, "lives": {ExpiresAt: now.Add(1000 * time.Hour)}, "expires": {ExpiresAt: now.Add(10 * time.Hour)},
			"one of two is revoked": {ExpiresAt: now.Add(10 * time.Hour)}, "revoked": {ExpiresAt: now.Add(1000 * time.Hour)},
		}
		for who, f := range families {
			must(t, "PutIdentityTokens", r.PutIdentityTokens(ctx, &authserver.KeptTokens{UserID: who, UpdatedAt: now}))
			if f == nil {
				continue
			}
			for _, id := range []string{"1 of " + who, "2 of " + who} {
				must(t, "AddCode", r.AddCode(ctx, &authserver.Code{Hash: hashOf(id), ExpiresAt: now.Add(time.Minute)}))
				f.ID, f.UserID, f.CreatedAt, f.Current = id, who, now, hashOf(id)
				must(t, "RedeemCode", r.RedeemCode(ctx, hashOf(id), f))
			}
		}
		for _, id := range []string{"1 of one of two is revoked", "1 of revoked", "2 of revoked"} {
			must(t, "RevokeFamily", r.RevokeFamily(ctx, id, now))
		}
	}
	tick := time.Millisecond
	for _, step := range []struct {
		name string
		at   time.Time
		left int
	}{
		{"before an hour is over", now.Add(time.Hour - tick), 10},
		{"after an hour", now.Add(time.Hour), 6},
		{"before an hour after the last end is over", now.Add(11*time.Hour - tick), 6},
		{"an hour after the last end", now.Add(11 * time.Hour), 2},
		{"long after", now.Add(1001 * time.Hour), 0},
	} {
		must(t, "Sweep", db.Sweep(ctx, step.at))
		var got int
		must(t, "counting", db.reads.row(ctx, `SELECT count(*) FROM identity_tokens`).Scan(&got))
		if got != step.left {
			t.Errorf("%s: %d rows, want %d", step.name, got, step.left)
		}
	}
}

// A sweep looks at the rows that it removes, not at all that there are.
func TestSweepsUseIndexes(t *testing.T) {
	db := newTest(t)
	for name, query := range map[string]string{
		"codes": sweepCodes, "sessions": sweepSessions, "taken ids": sweepTaken, "ended sessions": sweepEnded,
		"families": sweepFamilies, "approvals": sweepApprovals, "audit records": sweepAudit,
	} {
		t.Run(name, func(t *testing.T) {
			var plan []string
			err := db.reads.each(t.Context(), func(row scanner) error {
				var id, parent, unused int
				var detail string
				err := row.Scan(&id, &parent, &unused, &detail)
				plan = append(plan, detail)
				return err
			}, "EXPLAIN QUERY PLAN "+query, 1, 1)
			must(t, "explaining", err)
			for _, step := range plan {
				if strings.HasPrefix(step, "SCAN ") && !strings.HasPrefix(step, "SCAN spools") {
					t.Errorf("%s: the plan has %q", query, step)
				}
			}
			if len(plan) == 0 {
				t.Error("there is no plan")
			}
		})
	}
}
