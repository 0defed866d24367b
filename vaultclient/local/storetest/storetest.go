// Package storetest is the suite that every implementation of local.Store
// passes.
package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/local"
)

// racers is how many goroutines try what only one may do.
const racers = 64

// Run runs the suite. newStore returns an empty store for one test, and cleans
// up after it. The store's own clock must be near the real time.
func Run(t *testing.T, newStore func(t *testing.T) local.Store) {
	for name, test := range map[string]func(t *testing.T, s local.Store){
		"a grant is read as it was put":                 roundTrip,
		"a grant of another key is not found":           otherKey,
		"all grants of a person are in order":           list,
		"a write of an older version is a conflict":     conflict,
		"one of many writes of a version succeeds":      writeRace,
		"one of many first writes succeeds":             firstRace,
		"a deleted grant is gone":                       deleted,
		"a late write does not reach a grant made anew": madeAnew,
		"a recent read misses no write":                 recentGrant,
		"a recent read misses no write in a race":       recentRace,
		"an id is taken once":                           takeOnce,
		"an id is taken once in a race":                 takeRace,
	} {
		t.Run(name, func(t *testing.T) { test(t, newStore(t)) })
	}
}

func newGrant(user, provider, label string) *local.Grant {
	at := time.Now().UTC().Truncate(time.Millisecond)
	return &local.Grant{
		UserID: user, Provider: provider, Label: label,
		AccessToken:  vaultclient.NewSecret("access of " + user),
		RefreshToken: vaultclient.NewSecret("refresh of " + user),
		Expiry:       at.Add(time.Hour),
		Scopes:       []string{"gmail.readonly", "openid"},
		Account:      user + "@gmail.example",
		CreatedAt:    at,
		UpdatedAt:    at.Add(time.Minute),
	}
}

// equal fails the test if got is not want, secrets included.
func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	reveal := cmp.Comparer(func(a, b vaultclient.Secret) bool { return a.Reveal() == b.Reveal() })
	if diff := cmp.Diff(want, got, reveal); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// race calls f in many goroutines at once, and returns for how many of them it
// returned true.
func race(f func(i int) bool) int {
	var ready, done sync.WaitGroup
	var wins atomic.Int64
	start := make(chan struct{})
	for i := range racers {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			if f(i) {
				wins.Add(1)
			}
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	return int(wins.Load())
}

func roundTrip(t *testing.T, s local.Store) {
	ctx := t.Context()
	full := newGrant("alice", "google", "work")
	dead := &local.Grant{UserID: "alice", Provider: "github", Dead: true}
	for _, g := range []*local.Grant{full, dead} {
		must(t, "PutGrant", s.PutGrant(ctx, g))
		equal(t, "version after the first PutGrant", g.Version, int64(1))
		got, err := s.Grant(ctx, g.UserID, g.Provider, g.Label)
		must(t, "Grant", err)
		equal(t, "grant", got, g)
	}

	full.AccessToken, full.RefreshToken = vaultclient.NewSecret("renewed"), vaultclient.Secret{}
	full.Expiry, full.Scopes = time.Time{}, nil
	must(t, "PutGrant", s.PutGrant(ctx, full))
	equal(t, "version after the second PutGrant", full.Version, int64(2))
	got, err := s.Grant(ctx, "alice", "google", "work")
	must(t, "Grant", err)
	equal(t, "grant after the second PutGrant", got, full)
}

func otherKey(t *testing.T, s local.Store) {
	ctx := t.Context()
	must(t, "PutGrant", s.PutGrant(ctx, newGrant("alice", "google", "work")))
	for _, key := range [][3]string{
		{"bob", "google", "work"}, {"alice", "github", "work"}, {"alice", "google", ""}, {"alice", "Google", "work"},
	} {
		if g, err := s.Grant(ctx, key[0], key[1], key[2]); !errors.Is(err, local.ErrNotFound) {
			t.Errorf("Grant(%q) = %v, %v; want ErrNotFound", key, g, err)
		}
	}
}

func list(t *testing.T, s local.Store) {
	ctx := t.Context()
	none, err := s.Grants(ctx, "alice")
	must(t, "Grants", err)
	equal(t, "number of grants of a person without", len(none), 0)

	ordered := []*local.Grant{
		newGrant("alice", "Zulip", ""),
		newGrant("alice", "github", ""),
		newGrant("alice", "google", ""),
		newGrant("alice", "google", "home"),
		newGrant("alice", "google", "work"),
	}
	for _, i := range []int{4, 0, 3, 1, 2} {
		must(t, "PutGrant", s.PutGrant(ctx, ordered[i]))
	}
	must(t, "PutGrant", s.PutGrant(ctx, newGrant("bob", "google", "")))
	got, err := s.Grants(ctx, "alice")
	must(t, "Grants", err)
	equal(t, "grants", got, ordered)
}

func conflict(t *testing.T, s local.Store) {
	ctx := t.Context()
	g := newGrant("alice", "google", "")
	must(t, "PutGrant", s.PutGrant(ctx, g))
	stale := *g
	must(t, "PutGrant", s.PutGrant(ctx, g))

	for name, version := range map[string]int64{"older": stale.Version, "new": 0, "future": g.Version + 1} {
		late := newGrant("alice", "google", "")
		late.AccessToken, late.Version = vaultclient.NewSecret("late"), version
		if err := s.PutGrant(ctx, late); !errors.Is(err, local.ErrConflict) {
			t.Errorf("PutGrant of a version that is %s = %v, want ErrConflict", name, err)
		}
		equal(t, "version of the refused grant", late.Version, version)
	}
	missing := newGrant("nobody", "google", "")
	missing.Version = 1
	if err := s.PutGrant(ctx, missing); !errors.Is(err, local.ErrConflict) {
		t.Errorf("PutGrant of a version where there is no row = %v, want ErrConflict", err)
	}
	got, err := s.Grant(ctx, "alice", "google", "")
	must(t, "Grant", err)
	equal(t, "grant after refused writes", got, g)
}

// oneWrites lets many goroutines put a grant of the same version.
func oneWrites(t *testing.T, s local.Store, version int64) {
	ctx := t.Context()
	wins := race(func(i int) bool {
		g := newGrant("alice", "google", "")
		g.Version, g.Account = version, fmt.Sprint("account", i)
		err := s.PutGrant(ctx, g)
		if err != nil && !errors.Is(err, local.ErrConflict) {
			t.Errorf("PutGrant = %v, want nil or ErrConflict", err)
		}
		return err == nil
	})
	got, err := s.Grant(ctx, "alice", "google", "")
	must(t, "Grant", err)
	if wins != 1 || got.Version != version+1 {
		t.Errorf("%d writes succeeded and the version is %d, want 1 and %d", wins, got.Version, version+1)
	}
}

func writeRace(t *testing.T, s local.Store) {
	must(t, "PutGrant", s.PutGrant(t.Context(), newGrant("alice", "google", "")))
	oneWrites(t, s, 1)
}

func firstRace(t *testing.T, s local.Store) {
	oneWrites(t, s, 0)
}

func deleted(t *testing.T, s local.Store) {
	ctx := t.Context()
	old := newGrant("alice", "google", "")
	must(t, "PutGrant", s.PutGrant(ctx, old))
	newest := *old
	must(t, "PutGrant again", s.PutGrant(ctx, &newest))
	if err := s.DeleteGrant(ctx, old); !errors.Is(err, local.ErrConflict) {
		t.Errorf("DeleteGrant of an older version = %v, want ErrConflict", err)
	}
	must(t, "DeleteGrant", s.DeleteGrant(ctx, &newest))
	if g, err := s.Grant(ctx, "alice", "google", ""); !errors.Is(err, local.ErrNotFound) {
		t.Errorf("Grant after DeleteGrant = %v, %v; want ErrNotFound", g, err)
	}
	grants, err := s.Grants(ctx, "alice")
	must(t, "Grants", err)
	equal(t, "number of grants after DeleteGrant", len(grants), 0)
	newest.Version++ // of what is left of it
	for what, g := range map[string]*local.Grant{"one": &newest, "an unknown one": newGrant("nobody", "google", "")} {
		if err := s.DeleteGrant(ctx, g); !errors.Is(err, local.ErrConflict) {
			t.Errorf("DeleteGrant of %s that is not there = %v, want ErrConflict", what, err)
		}
	}
}

// madeAnew is a renewal that began before the person disconnected and connected
// another account, and ends after it.
func madeAnew(t *testing.T, s local.Store) {
	ctx := t.Context()
	old := newGrant("alice", "google", "")
	must(t, "PutGrant", s.PutGrant(ctx, old))
	must(t, "DeleteGrant", s.DeleteGrant(ctx, old))
	if err := s.PutGrant(ctx, old); !errors.Is(err, local.ErrConflict) {
		t.Errorf("PutGrant of a version that was deleted = %v, want ErrConflict", err)
	}
	anew := newGrant("alice", "google", "")
	anew.Account = "another account"
	must(t, "PutGrant anew", s.PutGrant(ctx, anew))
	if err := s.PutGrant(ctx, old); !errors.Is(err, local.ErrConflict) {
		t.Errorf("PutGrant of a version before the deletion = %v, want ErrConflict", err)
	}
	got, err := s.Grant(ctx, "alice", "google", "")
	must(t, "Grant", err)
	equal(t, "grant made anew", got, anew)
	must(t, "PutGrant of the new version", s.PutGrant(ctx, anew))
}

func takeOnce(t *testing.T, s local.Store) {
	at := time.Now()
	take(t, s, "a", at.Add(time.Hour), true)
	take(t, s, "a", at.Add(time.Hour), false)
	take(t, s, "b", at.Add(time.Hour), true)
	take(t, s, "ended", at.Add(-time.Minute), true)
	take(t, s, "ended", at.Add(time.Hour), true)
	take(t, s, "ended", at.Add(time.Hour), false)
}

func take(t *testing.T, s local.Store, id string, until time.Time, want bool) {
	t.Helper()
	got, err := s.TakeOnce(t.Context(), id, until)
	must(t, "TakeOnce", err)
	if got != want {
		t.Errorf("TakeOnce(%q) = %t, want %t", id, got, want)
	}
}

func takeRace(t *testing.T, s local.Store) {
	ctx := t.Context()
	until := time.Now().Add(time.Hour)
	wins := race(func(int) bool {
		first, err := s.TakeOnce(ctx, "id", until)
		if err != nil {
			t.Errorf("TakeOnce = %v", err)
		}
		return first
	})
	if wins != 1 {
		t.Errorf("%d calls were the first, want 1", wins)
	}
}

// recentGrant: a store may answer from memory, but not with what it has itself
// overwritten.
func recentGrant(t *testing.T, s local.Store) {
	ctx := t.Context()
	g := newGrant("alice", "google", "")
	for range 3 {
		must(t, "PutGrant", s.PutGrant(ctx, g))
		for range 2 {
			got, err := s.RecentGrant(ctx, "alice", "google", "")
			must(t, "RecentGrant", err)
			equal(t, "grant", got, g)
			got.AccessToken, got.Version = vaultclient.NewSecret("changed"), 99 // by its new owner
		}
		g.AccessToken = vaultclient.NewSecret(fmt.Sprint("renewed after ", g.Version))
	}
	for _, key := range [][3]string{{"bob", "google", ""}, {"alice", "github", ""}, {"alice", "google", "work"}} {
		if _, err := s.RecentGrant(ctx, key[0], key[1], key[2]); !errors.Is(err, local.ErrNotFound) {
			t.Errorf("RecentGrant(%q): %v; want ErrNotFound", key, err)
		}
	}
	must(t, "DeleteGrant", s.DeleteGrant(ctx, g))
	if _, err := s.RecentGrant(ctx, "alice", "google", ""); !errors.Is(err, local.ErrNotFound) {
		t.Errorf("RecentGrant of a deleted grant: %v; want ErrNotFound", err)
	}
}

// recentRace: whoever wrote reads what it wrote, however many read meanwhile.
func recentRace(t *testing.T, s local.Store) {
	ctx := t.Context()
	g := newGrant("alice", "google", "")
	must(t, "PutGrant", s.PutGrant(ctx, g))
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range racers {
		readers.Go(func() {
			for last := int64(0); ; {
				select {
				case <-stop:
					return
				default:
				}
				got, err := s.RecentGrant(ctx, "alice", "google", "")
				if err != nil || got.Version < last || got.AccessToken.Reveal() != tokenOf(got.Version) && got.Version > 1 {
					t.Errorf("RecentGrant after version %d: %+v, %v", last, got, err)
					return
				}
				last = got.Version
			}
		})
	}
	for range 50 {
		g.AccessToken = vaultclient.NewSecret(tokenOf(g.Version + 1))
		must(t, "PutGrant", s.PutGrant(ctx, g))
		got, err := s.RecentGrant(ctx, "alice", "google", "")
		must(t, "RecentGrant", err)
		if got.Version != g.Version {
			t.Errorf("RecentGrant gives version %d after version %d was written", got.Version, g.Version)
		}
	}
	close(stop)
	readers.Wait()
}

func tokenOf(version int64) string { return fmt.Sprint("token of version ", version) }
