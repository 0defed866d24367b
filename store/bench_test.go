package store

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/local"
)

func BenchmarkFamily(b *testing.B) {
	r := newTest(b).Realm("realm")
	for i := range 1000 {
		familyFor(b, r, strconv.Itoa(i))
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := r.Family(b.Context(), strconv.Itoa(i%1000)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRotateFamily lets 64 goroutines per core rotate a family each.
func BenchmarkRotateFamily(b *testing.B) {
	db := newTest(b)
	r := db.Realm("realm")
	var id atomic.Int64
	before := db.writer.commits.Load()
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		f := familyFor(b, r, fmt.Sprint(id.Add(1)))
		for i := 0; pb.Next(); i++ {
			next := hashOf(f.ID + fmt.Sprint(i))
			ok, err := r.RotateFamily(b.Context(), &authserver.Rotation{
				FamilyID: f.ID, Presented: f.Current, Next: next, Successor: make([]byte, 64),
				Now: f.CreatedAt, ExpiresAt: f.ExpiresAt,
			})
			if !ok || err != nil {
				b.Errorf("RotateFamily = %t, %v", ok, err)
				return
			}
			f.Current = next
		}
	})
	b.ReportMetric(float64(b.N)/float64(db.writer.commits.Load()-before), "writes/commit")
}

// BenchmarkAddClient lets 64 goroutines per core register clients.
func BenchmarkAddClient(b *testing.B) {
	db := newTest(b)
	r := db.Realm("realm")
	var id atomic.Int64
	before := db.writer.commits.Load()
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c := &authserver.Client{ID: fmt.Sprint(id.Add(1)), RedirectURIs: []string{"http://localhost/callback"}}
			if err := r.AddClient(b.Context(), c, 1<<30); err != nil {
				b.Errorf("AddClient = %v", err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/float64(db.writer.commits.Load()-before), "writes/commit")
}

// BenchmarkGrant compares a read with one that memory answers.
func BenchmarkGrant(b *testing.B) {
	r := newTest(b).Realm("realm")
	err := r.PutGrant(b.Context(), &local.Grant{
		UserID: "alice", Provider: "google", AccessToken: vaultclient.NewSecret(strings.Repeat("a", 200)),
		RefreshToken: vaultclient.NewSecret(strings.Repeat("r", 100)), Scopes: []string{"gmail.readonly"}, Client: "client",
	})
	if err != nil {
		b.Fatal(err)
	}
	for name, read := range map[string]func(context.Context, string, string, string) (*local.Grant, error){
		"from the database": r.Grant, "recent": r.RecentGrant,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := read(b.Context(), "alice", "google", ""); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
