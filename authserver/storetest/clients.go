package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// plenty is a limit that no test reaches.
const plenty = 1000

func newClient(id string, created time.Time) *authserver.Client {
	return &authserver.Client{
		ID:           id,
		Name:         "Claude Code (ünïcode)",
		RedirectURIs: []string{"http://localhost:1234/callback", "https://claude.ai/api/mcp/auth_callback"},
		AuthMethod:   "client_secret_post",
		SecretHash:   hash("client secret"),
		Metadata:     json.RawMessage(`{"client_name":"Claude Code","x":{"kept":true}}`),
		CreatedAt:    created,
	}
}

func clientRoundTrip(t *testing.T, s authserver.Store) {
	ctx := t.Context()
	public := &authserver.Client{ID: "public", AuthMethod: "none", CreatedAt: now()}
	for _, want := range []*authserver.Client{newClient("full", now()), public} {
		must(t, "AddClient", s.AddClient(ctx, want, plenty))
		got, err := s.Client(ctx, want.ID)
		must(t, "Client", err)
		equal(t, "Client "+want.ID, got, want)
	}
}

func clientUnknown(t *testing.T, s authserver.Store) {
	if c, err := s.Client(t.Context(), "nobody"); !errors.Is(err, authserver.ErrNotFound) {
		t.Errorf("Client(nobody) = %v, %v; want ErrNotFound", c, err)
	}
}

func clientTwice(t *testing.T, s authserver.Store) {
	ctx := t.Context()
	first := newClient("one", now())
	must(t, "AddClient", s.AddClient(ctx, first, 2))
	second := newClient("one", now())
	second.Name = "another"
	if err := s.AddClient(ctx, second, 2); err == nil {
		t.Error("AddClient of a taken id = nil, want an error")
	}
	got, err := s.Client(ctx, "one")
	must(t, "Client", err)
	equal(t, "client after the second AddClient", got, first)
	must(t, "AddClient within the limit, after a refused one", s.AddClient(ctx, newClient("two", now()), 2))
}

func clientLimit(t *testing.T, s authserver.Store) {
	ctx := t.Context()
	if err := s.AddClient(ctx, newClient("none", now()), 0); !errors.Is(err, authserver.ErrFull) {
		t.Errorf("AddClient with limit 0 = %v, want ErrFull", err)
	}
	must(t, "AddClient 1 of 2", s.AddClient(ctx, newClient("a", now()), 2))
	must(t, "AddClient 2 of 2", s.AddClient(ctx, newClient("b", now()), 2))
	if err := s.AddClient(ctx, newClient("c", now()), 2); !errors.Is(err, authserver.ErrFull) {
		t.Errorf("AddClient 3 of 2 = %v, want ErrFull", err)
	}
	if _, err := s.Client(ctx, "c"); !errors.Is(err, authserver.ErrNotFound) {
		t.Errorf("Client that was refused: %v, want ErrNotFound", err)
	}
	must(t, "AddClient with a higher limit", s.AddClient(ctx, newClient("c", now()), 3))
}

func clientLimitRace(t *testing.T, s authserver.Store) {
	ctx := t.Context()
	const limit = 5
	created := now()
	wins := race(func(i int) bool {
		err := s.AddClient(ctx, newClient(fmt.Sprint("client", i), created), limit)
		if err != nil && !errors.Is(err, authserver.ErrFull) {
			t.Errorf("AddClient = %v, want nil or ErrFull", err)
		}
		return err == nil
	})
	if wins != limit {
		t.Errorf("%d clients were added, want %d", wins, limit)
	}
	stored := 0
	for i := range racers {
		if _, err := s.Client(ctx, fmt.Sprint("client", i)); err == nil {
			stored++
		}
	}
	if stored != limit {
		t.Errorf("%d clients are stored, want %d", stored, limit)
	}
}

// clientSweep sweeps at the documented ages, with each kind of client.
func clientSweep(t *testing.T, s authserver.Store) {
	ctx := t.Context()
	at := now()
	day := 24 * time.Hour
	unused, idle := at.Add(-day), at.Add(-400*day)
	long := at.Add(-500 * day)

	must(t, "AddClient", s.AddClient(ctx, newClient("fresh", at), plenty))
	must(t, "AddClient", s.AddClient(ctx, newClient("never used", at.Add(-2*day)), plenty))
	for _, c := range []struct {
		id     string
		used   time.Time
		ends   time.Time
		revoke bool
	}{
		{"used lately", at.Add(-day), at.Add(-time.Hour), false},
		{"idle", long, long.Add(day), false},
		{"idle with a living family", long, at.Add(day), false},
		{"idle with a revoked family", long, at.Add(day), true},
	} {
		must(t, "AddClient", s.AddClient(ctx, newClient(c.id, long), plenty))
		f := newFamily("family of "+c.id, c.used)
		f.ClientID, f.ExpiresAt = c.id, c.ends
		redeemed(t, s, f)
		if c.revoke {
			must(t, "RevokeFamily", s.RevokeFamily(ctx, f.ID, at))
		}
	}

	n, err := s.SweepClients(ctx, unused, idle)
	must(t, "SweepClients", err)
	equal(t, "number of swept clients", n, 3)
	for id, want := range map[string]bool{
		"fresh": true, "never used": false, "used lately": true, "idle": false,
		"idle with a living family": true, "idle with a revoked family": false,
	} {
		_, err := s.Client(ctx, id)
		if got := err == nil; got != want {
			t.Errorf("client %q is there: %t, want %t", id, got, want)
		}
	}
}

func clientSweepMakesRoom(t *testing.T, s authserver.Store) {
	ctx := t.Context()
	at := now()
	must(t, "AddClient", s.AddClient(ctx, newClient("old", at.Add(-48*time.Hour)), 1))
	n, err := s.SweepClients(ctx, at.Add(-24*time.Hour), at.Add(-24*time.Hour))
	must(t, "SweepClients", err)
	equal(t, "number of swept clients", n, 1)
	must(t, "AddClient after the sweep", s.AddClient(ctx, newClient("new", at), 1))
	if err := s.AddClient(ctx, newClient("more", at), 1); !errors.Is(err, authserver.ErrFull) {
		t.Errorf("AddClient above the limit, after the sweep = %v, want ErrFull", err)
	}
}
