// Package spooltest is the suite that every implementation of alter.AuditSpool
// passes.
package spooltest

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
)

// racers is how many goroutines do the same at once.
const racers = 32

// Run runs the suite. newSpools returns two empty spools for one test, of
// different scopes, and cleans up after it.
func Run(t *testing.T, newSpools func(t *testing.T) (a, b alter.AuditSpool)) {
	for name, test := range map[string]func(t *testing.T, a, b alter.AuditSpool){
		"an empty spool": empty,
		"rows are taken as they were added, by age": roundTrip,
		"a leased row is nobody else's":             lease,
		"a lease ends":                              leaseEnds,
		"a deleted row is gone":                     deleted,
		"a released row is free":                    released,
		"a row that is taken again is not released": releasedLate,
		"a write is done as a whole or not at all":  whole,
		"scopes are apart":                          scopes,
		"each row is taken once in a race":          takeRace,
		"usage is right after a race":               writeRace,
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newSpools(t)
			test(t, a, b)
		})
	}
}

// start is the time of the tests; nothing depends on the real one.
func start() time.Time { return time.UnixMilli(1_800_000_000_000).UTC() }

func minutes(n int) time.Time { return start().Add(time.Duration(n) * time.Minute) }

// row is the n-th row, n minutes after the start.
func row(n int) alter.AuditRow {
	data := fmt.Appendf(nil, "record %d\n%s", n, "of two lines")
	return alter.AuditRow{ID: fmt.Sprintf("%032x", 1000-n), At: minutes(n), Size: len(data), Data: data}
}

func rows(from, to int) []alter.AuditRow {
	var out []alter.AuditRow
	for n := from; n < to; n++ {
		out = append(out, row(n))
	}
	return out
}

func leased(list []alter.AuditRow, until time.Time) []alter.AuditRow {
	out := slices.Clone(list)
	for i := range out {
		out[i].Lease = until
	}
	return out
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func write(t *testing.T, s alter.AuditSpool, w alter.AuditWrite) {
	t.Helper()
	must(t, "Write", s.Write(t.Context(), w))
}

// wantTake takes and compares.
func wantTake(t *testing.T, s alter.AuditSpool, now, until time.Time, limit int, want []alter.AuditRow) {
	t.Helper()
	got, err := s.Take(t.Context(), now, until, limit)
	must(t, "Take", err)
	if diff := gocmp.Diff(leased(want, until), got); diff != "" && len(want)+len(got) > 0 {
		t.Errorf("Take (-want +got):\n%s", diff)
	}
}

func wantUsage(t *testing.T, s alter.AuditSpool, in []alter.AuditRow) {
	t.Helper()
	want := alter.AuditUsage{Entries: len(in)}
	for _, r := range in {
		want.Bytes += int64(r.Size)
		if want.Oldest.IsZero() || r.At.Before(want.Oldest) {
			want.Oldest = r.At
		}
	}
	got, err := s.Usage(t.Context())
	must(t, "Usage", err)
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("Usage (-want +got):\n%s", diff)
	}
}

func empty(t *testing.T, a, _ alter.AuditSpool) {
	wantUsage(t, a, nil)
	wantTake(t, a, minutes(0), minutes(1), 10, nil)
	write(t, a, alter.AuditWrite{})
	write(t, a, alter.AuditWrite{Delete: rows(0, 2), Release: []alter.AuditRelease{{Row: row(3)}}})
	wantUsage(t, a, nil)
}

func roundTrip(t *testing.T, a, _ alter.AuditSpool) {
	all := rows(0, 10)
	for _, i := range []int{7, 2, 9, 0, 4, 1, 8, 3, 6, 5} {
		write(t, a, alter.AuditWrite{Add: all[i : i+1]})
	}
	wantUsage(t, a, all)
	wantTake(t, a, minutes(20), minutes(30), 4, all[:4])
	wantTake(t, a, minutes(20), minutes(30), 100, all[4:])
	wantTake(t, a, minutes(20), minutes(30), 100, nil)
	wantUsage(t, a, all)
}

func lease(t *testing.T, a, _ alter.AuditSpool) {
	write(t, a, alter.AuditWrite{Add: append(leased(rows(0, 3), minutes(60)), rows(3, 5)...)})
	wantTake(t, a, minutes(10), minutes(20), 10, rows(3, 5))
	wantTake(t, a, minutes(20).Add(-time.Millisecond), minutes(30), 10, nil)
}

func leaseEnds(t *testing.T, a, _ alter.AuditSpool) {
	write(t, a, alter.AuditWrite{Add: leased(rows(0, 3), minutes(60))})
	wantTake(t, a, minutes(60), minutes(70), 2, rows(0, 2))
	wantTake(t, a, minutes(65), minutes(90), 10, rows(2, 3))
	wantTake(t, a, minutes(70), minutes(80), 10, rows(0, 2))
}

func deleted(t *testing.T, a, _ alter.AuditSpool) {
	write(t, a, alter.AuditWrite{Add: rows(0, 5)})
	wantTake(t, a, minutes(10), minutes(20), 2, rows(0, 2))
	write(t, a, alter.AuditWrite{Delete: rows(0, 1), Add: rows(5, 6)})
	write(t, a, alter.AuditWrite{Delete: rows(3, 4)}) // free, and no matter
	write(t, a, alter.AuditWrite{Delete: append(rows(0, 1), rows(3, 4)...)})
	left := append(append(rows(1, 3), rows(4, 5)...), rows(5, 6)...)
	wantUsage(t, a, left)
	wantTake(t, a, minutes(20), minutes(30), 10, left)
	write(t, a, alter.AuditWrite{Delete: left})
	wantUsage(t, a, nil)
}

func released(t *testing.T, a, _ alter.AuditSpool) {
	write(t, a, alter.AuditWrite{Add: leased(rows(0, 3), minutes(60))})
	mine := leased(rows(0, 3), minutes(60))
	write(t, a, alter.AuditWrite{Release: []alter.AuditRelease{{Row: mine[0]}, {Row: mine[1], Until: minutes(90)}}})
	wantTake(t, a, minutes(10), minutes(20), 10, rows(0, 1))
	wantTake(t, a, minutes(80), minutes(200), 10, append(rows(0, 1), rows(2, 3)...))
	wantTake(t, a, minutes(90), minutes(200), 10, rows(1, 2))
}

// releasedLate: whoever lost its lease has no say any more.
func releasedLate(t *testing.T, a, _ alter.AuditSpool) {
	write(t, a, alter.AuditWrite{Add: rows(0, 1)})
	wantTake(t, a, minutes(10), minutes(20), 1, rows(0, 1))
	wantTake(t, a, minutes(20), minutes(30), 1, rows(0, 1))
	write(t, a, alter.AuditWrite{Release: []alter.AuditRelease{{Row: leased(rows(0, 1), minutes(20))[0]}}})
	wantTake(t, a, minutes(25), minutes(40), 1, nil)
	write(t, a, alter.AuditWrite{Release: []alter.AuditRelease{{Row: leased(rows(0, 1), minutes(30))[0]}}})
	wantTake(t, a, minutes(25), minutes(40), 1, rows(0, 1))
}

func whole(t *testing.T, a, _ alter.AuditSpool) {
	write(t, a, alter.AuditWrite{Add: rows(0, 3)})
	err := a.Write(t.Context(), alter.AuditWrite{Add: append(rows(3, 6), row(1)), Delete: rows(0, 1)})
	if err == nil {
		t.Fatal("Write of a row that is there = nil, want an error")
	}
	wantUsage(t, a, rows(0, 3))
	wantTake(t, a, minutes(10), minutes(20), 10, rows(0, 3))
}

func scopes(t *testing.T, a, b alter.AuditSpool) {
	write(t, a, alter.AuditWrite{Add: rows(0, 3)})
	wantUsage(t, b, nil)
	wantTake(t, b, minutes(10), minutes(20), 10, nil)
	write(t, b, alter.AuditWrite{Add: rows(0, 1), Delete: rows(1, 2)})
	wantTake(t, a, minutes(10), minutes(20), 10, rows(0, 3))
	write(t, b, alter.AuditWrite{Release: []alter.AuditRelease{{Row: leased(rows(1, 2), minutes(20))[0]}}})
	wantTake(t, a, minutes(10), minutes(20), 10, nil)
	wantUsage(t, a, rows(0, 3))
	wantUsage(t, b, rows(0, 1))
}

func race(f func(i int)) {
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for i := range racers {
		wg.Go(func() {
			<-begin
			f(i)
		})
	}
	close(begin)
	wg.Wait()
}

func takeRace(t *testing.T, a, _ alter.AuditSpool) {
	all := rows(0, 10*racers)
	write(t, a, alter.AuditWrite{Add: all})
	var mu sync.Mutex
	var taken []alter.AuditRow
	race(func(int) {
		for {
			got, err := a.Take(t.Context(), minutes(0), minutes(1), 3)
			if err != nil {
				t.Errorf("Take = %v", err)
			}
			if len(got) == 0 {
				return
			}
			mu.Lock()
			taken = append(taken, got...)
			mu.Unlock()
		}
	})
	slices.SortFunc(taken, func(x, y alter.AuditRow) int { return cmp.Compare(x.At.UnixMilli(), y.At.UnixMilli()) })
	if diff := gocmp.Diff(leased(all, minutes(1)), taken); diff != "" {
		t.Errorf("rows taken by all (-want +got):\n%s", diff)
	}
}

func writeRace(t *testing.T, a, _ alter.AuditSpool) {
	race(func(i int) {
		mine := rows(5*i, 5*i+5)
		for _, w := range []alter.AuditWrite{{Add: mine}, {Delete: mine[1:3]}, {Delete: mine[2:]}} {
			if err := a.Write(t.Context(), w); err != nil {
				t.Errorf("Write = %v", err)
			}
		}
	})
	var left []alter.AuditRow
	for i := range racers {
		left = append(left, row(5*i))
	}
	wantUsage(t, a, left)
}
