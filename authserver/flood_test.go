package authserver_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// Security CODE-12.
func TestCodesAreLongAndDiffer(t *testing.T) {
	e := newEnv(t)
	id := e.publicClient()
	b := e.newBrowser()
	seen := make(map[string]bool)
	for range 50 {
		code := e.params(b.approve(e.authorizeURL(id), "alice")).Get("code")
		if len(code) < 22 || seen[code] { // 22 characters of base64 are 128 bits
			t.Fatalf("code %q: seen before %v, want 22 characters or more", code, seen[code])
		}
		seen[code] = true
	}
}

// readOnlyStore fails the test when somebody writes.
type readOnlyStore struct {
	authserver.Store
	t *testing.T
}

func (s readOnlyStore) wrote(what string) {
	s.t.Errorf("%s was called, want nothing written", what)
}

func (s readOnlyStore) AddSession(ctx context.Context, v *authserver.Session) error {
	s.wrote("AddSession")
	return s.Store.AddSession(ctx, v)
}

func (s readOnlyStore) AddCode(ctx context.Context, v *authserver.Code) error {
	s.wrote("AddCode")
	return s.Store.AddCode(ctx, v)
}

func (s readOnlyStore) PutConsent(ctx context.Context, v *authserver.Consent) error {
	s.wrote("PutConsent")
	return s.Store.PutConsent(ctx, v)
}

func (s readOnlyStore) UpsertUser(ctx context.Context, id, issuer, subject string, p authserver.Profile, now time.Time) (*authserver.User, error) {
	s.wrote("UpsertUser")
	return s.Store.UpsertUser(ctx, id, issuer, subject, p, now)
}

func (s readOnlyStore) TakeOnce(ctx context.Context, id string, until time.Time) (bool, error) {
	s.wrote("TakeOnce")
	return s.Store.TakeOnce(ctx, id, until)
}

// Security ABUSE-04: whoever begins logins and never ends them fills no store.
func TestPendingLoginsWriteNothing(t *testing.T) {
	e := newEnv(t, func(c *authserver.Config) { c.Store = readOnlyStore{c.Store, t} })
	id := e.publicClient()
	for range 200 {
		b := e.newBrowser()
		p := b.submit(b.get(e.authorizeURL(id)), "decision", "allow")
		if p.status != http.StatusSeeOther {
			t.Fatalf("consent = %d, want 303 to the login", p.status)
		}
		if p := b.get(p.location); p.status != http.StatusOK {
			t.Fatalf("login page = %d", p.status)
		}
	}
}
