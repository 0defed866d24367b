package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

func userUpsert(t *testing.T, s authserver.Store) {
	ctx := t.Context()
	const issuer, subject = "https://acme.eu.auth0.com/", "auth0|1"
	p := authserver.Profile{
		Email: "alice@acme.example", EmailVerified: true, Name: "Alice",
		Groups: []string{"engineering"}, Claims: json.RawMessage(`{"level":"3"}`),
	}
	first, err := s.UpsertUser(ctx, "id-1", issuer, subject, p, now())
	must(t, "UpsertUser", err)
	want := &authserver.User{ID: "id-1", Issuer: issuer, Subject: subject, Profile: p}
	equal(t, "user that was made", first, want)

	want.Profile = authserver.Profile{Email: "alice@new.example"}
	second, err := s.UpsertUser(ctx, "id-2", issuer, subject, want.Profile, now())
	must(t, "UpsertUser", err)
	equal(t, "user that was updated", second, want)

	got, err := s.User(ctx, "id-1")
	must(t, "User", err)
	equal(t, "user that was read", got, want)
	got, err = s.FindUser(ctx, issuer, subject)
	must(t, "FindUser", err)
	equal(t, "user that was found", got, want)
	if u, err := s.FindUser(ctx, issuer, "auth0|2"); !errors.Is(err, authserver.ErrNotFound) {
		t.Errorf("FindUser(subject that nobody is) = %v, %v; want ErrNotFound", u, err)
	}
	if u, err := s.User(ctx, "id-2"); !errors.Is(err, authserver.ErrNotFound) {
		t.Errorf("User(id that was not taken) = %v, %v; want ErrNotFound", u, err)
	}
}

func userAlike(t *testing.T, s authserver.Store) {
	ctx := t.Context()
	pairs := [][2]string{
		{"https://a.example", "1"},
		{"https://b.example", "1"},
		{"a:b", "c"},
		{"a", "b:c"},
		{"ab", "c"},
		{"a", "bc"},
		{"n", "\u00e9"},
		{"n", "e\u0301"},
		{"n", "E"},
		{"n", "e"},
		{"n", "e "},
		{"n", "../e"},
		{"n", "e\x00"},
		{"n", strings.Repeat("e", 1024)},
	}
	for i, p := range pairs {
		id := fmt.Sprint("user", i)
		u, err := s.UpsertUser(ctx, id, p[0], p[1], authserver.Profile{}, now())
		must(t, "UpsertUser", err)
		if u.ID != id {
			t.Errorf("UpsertUser(%q, %.20q) gave user %s, want a new one", p[0], p[1], u.ID)
		}
	}
	for i, p := range pairs {
		u, err := s.User(ctx, fmt.Sprint("user", i))
		must(t, "User", err)
		equal(t, "issuer and subject", [2]string{u.Issuer, u.Subject}, p)
	}
}

func userRace(t *testing.T, s authserver.Store) {
	ctx := t.Context()
	at := now()
	var mu sync.Mutex
	ids := map[string]bool{}
	wins := race(func(i int) bool {
		id := fmt.Sprint("id-", i)
		u, err := s.UpsertUser(ctx, id, "https://a.example", "alice", authserver.Profile{}, at)
		if err != nil {
			t.Errorf("UpsertUser = %v", err)
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		ids[u.ID] = true
		return u.ID == id
	})
	if wins != 1 || len(ids) != 1 {
		t.Errorf("%d calls made a user, and %d ids were returned; want 1 and 1", wins, len(ids))
	}
}

func sessionLife(t *testing.T, s authserver.Store) {
	ctx := t.Context()
	at := now()
	h := hash("cookie")
	if err := s.ExtendSession(ctx, h, at); !errors.Is(err, authserver.ErrNotFound) {
		t.Errorf("ExtendSession before AddSession = %v, want ErrNotFound", err)
	}
	want := &authserver.Session{Hash: h, UserID: "u", Identity: "oidc", CreatedAt: at, ExpiresAt: at.Add(time.Hour)}
	must(t, "AddSession", s.AddSession(ctx, want))
	got, err := s.Session(ctx, h, at.Add(time.Hour-time.Millisecond))
	must(t, "Session just before its end", err)
	equal(t, "session", got, want)
	noSession(t, s, h, at.Add(time.Hour))
	noSession(t, s, hash("another cookie"), at)

	want.ExpiresAt = at.Add(2 * time.Hour)
	must(t, "ExtendSession", s.ExtendSession(ctx, h, want.ExpiresAt))
	got, err = s.Session(ctx, h, at.Add(time.Hour))
	must(t, "Session after it was extended", err)
	equal(t, "extended session", got, want)

	must(t, "DeleteSession", s.DeleteSession(ctx, h))
	noSession(t, s, h, at)
	must(t, "DeleteSession again", s.DeleteSession(ctx, h))
}

func noSession(t *testing.T, s authserver.Store, hash []byte, at time.Time) {
	t.Helper()
	if got, err := s.Session(t.Context(), hash, at); !errors.Is(err, authserver.ErrNotFound) {
		t.Errorf("Session = %v, %v; want ErrNotFound", got, err)
	}
}

func consentReplace(t *testing.T, s authserver.Store) {
	ctx := t.Context()
	if _, err := s.Consent(ctx, "u", "c", "r"); !errors.Is(err, authserver.ErrNotFound) {
		t.Errorf("Consent before it was given: %v, want ErrNotFound", err)
	}
	want := &authserver.Consent{
		UserID: "u", ClientID: "c", RedirectURI: "r",
		Scopes: []string{"notes:read", "notes:write"}, GivenAt: now(),
	}
	must(t, "PutConsent", s.PutConsent(ctx, want))
	want.Scopes, want.GivenAt = []string{"notes:read"}, want.GivenAt.Add(time.Hour)
	must(t, "PutConsent", s.PutConsent(ctx, want))
	got, err := s.Consent(ctx, "u", "c", "r")
	must(t, "Consent", err)
	equal(t, "consent", got, want)
}

func consentAlike(t *testing.T, s authserver.Store) {
	ctx := t.Context()
	must(t, "PutConsent", s.PutConsent(ctx, &authserver.Consent{
		UserID: "ab", ClientID: "c", RedirectURI: "d", GivenAt: now(),
	}))
	for _, key := range [][3]string{{"a", "bc", "d"}, {"ab", "cd", ""}, {"ab", "c", "D"}, {"ab", "x", "d"}} {
		if c, err := s.Consent(ctx, key[0], key[1], key[2]); !errors.Is(err, authserver.ErrNotFound) {
			t.Errorf("Consent(%q) = %v, %v; want ErrNotFound", key, c, err)
		}
	}
}
