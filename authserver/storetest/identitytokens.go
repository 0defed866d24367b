package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

func newTokens(userID, name string) *authserver.KeptTokens {
	return &authserver.KeptTokens{
		UserID: userID,
		Tokens: authserver.IdentityTokens{
			Issuer: "https://acme.example/", Subject: "42", Nonce: "nonce",
			ID: authserver.NewSecret("ID token " + name), IDExpiry: now().Add(time.Hour),
			Access: authserver.NewSecret("access token " + name), AccessExpiry: now().Add(2 * time.Hour),
			Refresh: authserver.NewSecret("refresh token " + name),
		},
		Refused:   true,
		UpdatedAt: now(),
	}
}

// sameTokens reads what is kept of a person, from memory too.
func sameTokens(t *testing.T, s authserver.Store, want *authserver.KeptTokens) {
	t.Helper()
	for range 2 {
		got, err := s.IdentityTokens(t.Context(), want.UserID)
		must(t, "IdentityTokens", err)
		equal(t, "kept tokens", got, want)
		got, err = s.RecentIdentityTokens(t.Context(), want.UserID)
		must(t, "RecentIdentityTokens", err)
		equal(t, "kept tokens from memory", got, want)
	}
}

func tokensNewest(t *testing.T, s authserver.Store) {
	ctx := t.Context()
	for name, read := range map[string]func() (*authserver.KeptTokens, error){
		"IdentityTokens":       func() (*authserver.KeptTokens, error) { return s.IdentityTokens(ctx, "alice") },
		"RecentIdentityTokens": func() (*authserver.KeptTokens, error) { return s.RecentIdentityTokens(ctx, "alice") },
	} {
		if k, err := read(); !errors.Is(err, authserver.ErrNotFound) {
			t.Errorf("%s before a login = %v, %v; want ErrNotFound", name, k, err)
		}
	}
	bob := newTokens("bob", "of bob")
	must(t, "PutIdentityTokens", s.PutIdentityTokens(ctx, bob))
	var last int64
	for _, name := range []string{"first", "second"} {
		alice := newTokens("alice", name)
		must(t, "PutIdentityTokens", s.PutIdentityTokens(ctx, alice))
		if alice.Version <= last {
			t.Errorf("version of the %s login is %d, want more than %d", name, alice.Version, last)
		}
		last = alice.Version
		sameTokens(t, s, alice)
	}
	sameTokens(t, s, bob)
}

func tokensByVersion(t *testing.T, s authserver.Store) {
	ctx := t.Context()
	gone := newTokens("alice", "of nobody")
	gone.Version = 1
	if err := s.PutIdentityTokens(ctx, gone); !errors.Is(err, authserver.ErrConflict) {
		t.Errorf("PutIdentityTokens of a version without a row = %v, want ErrConflict", err)
	}
	login := newTokens("alice", "of the login")
	must(t, "PutIdentityTokens", s.PutIdentityTokens(ctx, login))
	late := newTokens("alice", "late")
	late.Version = login.Version
	dead := &authserver.KeptTokens{UserID: "alice", Version: login.Version, Dead: true, Stale: true, UpdatedAt: now()}
	must(t, "PutIdentityTokens over its version", s.PutIdentityTokens(ctx, dead))
	sameTokens(t, s, dead)
	if err := s.PutIdentityTokens(ctx, late); !errors.Is(err, authserver.ErrConflict) || late.Version != login.Version {
		t.Errorf("PutIdentityTokens over an older version = %v, version %d; want ErrConflict and %d", err, late.Version, login.Version)
	}
	sameTokens(t, s, dead)
}

func tokensRace(t *testing.T, s authserver.Store) {
	ctx := t.Context()
	login := newTokens("alice", "of the login")
	must(t, "PutIdentityTokens", s.PutIdentityTokens(ctx, login))
	wins := race(func(int) bool {
		k := newTokens("alice", "renewed")
		k.Version = login.Version
		err := s.PutIdentityTokens(ctx, k)
		if err != nil && !errors.Is(err, authserver.ErrConflict) {
			t.Errorf("PutIdentityTokens = %v, want nil or ErrConflict", err)
		}
		return err == nil
	})
	if wins != 1 {
		t.Errorf("%d renewals of one version were stored, want 1", wins)
	}
}
