package storetest

import (
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

func onceTaken(t *testing.T, s authserver.Store) {
	at := now()
	for _, step := range []struct {
		id    string
		until time.Time
		want  bool
	}{
		{"a", at.Add(time.Hour), true},
		{"a", at.Add(time.Hour), false},
		{"b", at.Add(time.Hour), true},
		{"ended", at.Add(-time.Minute), true},
		{"ended", at.Add(time.Hour), true},
		{"ended", at.Add(time.Hour), false},
	} {
		got, err := s.TakeOnce(t.Context(), step.id, step.until)
		must(t, "TakeOnce", err)
		if got != step.want {
			t.Errorf("TakeOnce(%q) = %t, want %t", step.id, got, step.want)
		}
	}
}

func onceRace(t *testing.T, s authserver.Store) {
	ctx := t.Context()
	until := now().Add(time.Hour)
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
