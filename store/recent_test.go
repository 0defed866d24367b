package store

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestRecent(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(r *recent[string, int])
		want      bool
	}{
		"what was read is kept":             {func(*recent[string, int]) {}, true},
		"another key was written meanwhile": {func(r *recent[string, int]) { r.write("other")() }, false},
		"the key was written meanwhile":     {func(r *recent[string, int]) { r.write("key")() }, false},
		"the key is being written":          {func(r *recent[string, int]) { r.write("key") }, false},
		"all was dropped meanwhile":         {func(r *recent[string, int]) { r.drop() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var r recent[string, int]
				begun := r.begin()
				c.meanwhile(&r)
				r.keep(begun, "key", 1)
				if _, got := r.get("key"); got != c.want {
					t.Errorf("kept: %t, want %t", got, c.want)
				}
				r.write("key")
				if _, got := r.get("key"); got {
					t.Error("a key that is being written is kept")
				}
			})
		})
	}
}

func TestRecentIsDroppedByItself(t *testing.T) {
	for name, c := range map[string]struct {
		r    *recent[int, int]
		most int
		span time.Duration
	}{
		"by default":   {&recent[int, int]{}, maxRecent, recentFor},
		"as it is set": {&recent[int, int]{most: 2000, span: time.Minute}, 2000, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { droppedByItself(t, c.r, c.most, c.span) })
		})
	}
}

func droppedByItself(t *testing.T, r *recent[int, int], most int, span time.Duration) {
	for i := range most + 10 {
		r.keep(r.begin(), i, i)
	}
	if len(r.kept) != most {
		t.Errorf("%d values are kept, want %d", len(r.kept), most)
	}
	time.Sleep(span - time.Millisecond)
	r.keep(r.begin(), 0, 1) // does not prolong anything
	if v, ok := r.get(0); !ok || v != 1 {
		t.Errorf("get before the end: %d, %t; want 1", v, ok)
	}
	time.Sleep(2 * time.Millisecond)
	synctest.Wait()
	if len(r.kept) != 0 {
		t.Errorf("%d values are kept after %v", len(r.kept), span)
	}
	r.keep(r.begin(), 1, 1)
	time.Sleep(span + time.Millisecond)
	synctest.Wait()
	if len(r.kept) != 0 {
		t.Errorf("%d values are kept after the second %v", len(r.kept), span)
	}
}

func TestEndedSessionIsKnownAtOnce(t *testing.T) {
	db := newTest(t)
	r, other := db.Realm("realm"), db.Realm("another realm")
	for i, id := range []string{"one", "two"} {
		for range 2 { // from the database, and from memory
			ended, err := r.SessionEnded(t.Context(), id)
			if err != nil || ended {
				t.Fatalf("SessionEnded = %t, %v; want false", ended, err)
			}
		}
		must(t, "EndSession", r.EndSession(t.Context(), id, time.Now().Add(time.Hour)))
		for range 2 {
			ended, err := r.SessionEnded(t.Context(), id)
			if err != nil || !ended {
				t.Fatalf("SessionEnded of session %d after its end = %t, %v; want true", i, ended, err)
			}
		}
		if ended, err := other.SessionEnded(t.Context(), id); err != nil || ended {
			t.Errorf("SessionEnded in another realm = %t, %v; want false", ended, err)
		}
	}
}
