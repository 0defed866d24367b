package store

import (
	"errors"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// A client that was read a moment ago and then swept is gone at once.
func TestSweptClientIsNotKept(t *testing.T) {
	ctx := t.Context()
	r := newTest(t).Realm("realm")
	now := at()
	must(t, "AddClient", r.AddClient(ctx, &authserver.Client{ID: "client", CreatedAt: now}, 1))
	first, err := r.Client(ctx, "client")
	must(t, "Client", err)
	if again, err := r.Client(ctx, "client"); err != nil || again != first {
		t.Errorf("Client within a second = %p, %v; want the one kept, %p", again, err, first)
	}
	if c, err := newTest(t).Realm("realm").Client(ctx, "client"); !errors.Is(err, authserver.ErrNotFound) {
		t.Errorf("Client of another database = %v, %v; want ErrNotFound", c, err)
	}
	if c, err := r.db.Realm("another").Client(ctx, "client"); !errors.Is(err, authserver.ErrNotFound) {
		t.Errorf("Client of another realm = %v, %v; want ErrNotFound", c, err)
	}
	n, err := r.SweepClients(ctx, now.Add(time.Hour), now)
	if n != 1 || err != nil {
		t.Fatalf("SweepClients = %d, %v; want 1", n, err)
	}
	if c, err := r.Client(ctx, "client"); !errors.Is(err, authserver.ErrNotFound) {
		t.Errorf("Client that was swept = %v, %v; want ErrNotFound", c, err)
	}
}
