package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

func newCode(name string, ends time.Time) *authserver.Code {
	return &authserver.Code{
		Hash:          hash(name),
		FamilyID:      "family of " + name,
		ClientID:      "client",
		UserID:        "user",
		RedirectURI:   "http://localhost:1234/callback",
		CodeChallenge: "challenge",
		Resource:      "https://mcp.example.com/mcp",
		Scopes:        []string{"notes:read"},
		ExpiresAt:     ends,
	}
}

func newFamily(id string, created time.Time) *authserver.Family {
	return &authserver.Family{
		ID:         id,
		UserID:     "user",
		ClientID:   "client",
		Resource:   "https://mcp.example.com/mcp",
		Scopes:     []string{"notes:read", "notes:write"},
		CreatedAt:  created,
		ExpiresAt:  created.Add(90 * 24 * time.Hour),
		Generation: 1,
		Current:    hash("refresh 1"),
	}
}

// redeemed stores f, which the store takes with a code alone.
func redeemed(t *testing.T, s authserver.Store, f *authserver.Family) {
	t.Helper()
	c := newCode("code for "+f.ID, f.CreatedAt.Add(time.Minute))
	must(t, "AddCode", s.AddCode(t.Context(), c))
	must(t, "RedeemCode", s.RedeemCode(t.Context(), c.Hash, f))
}

// sameFamily fails the test if the stored family is not want.
func sameFamily(t *testing.T, s authserver.Store, want *authserver.Family) {
	t.Helper()
	got, err := s.Family(t.Context(), want.ID)
	must(t, "Family", err)
	equal(t, "family", got, want)
}

func codeLife(t *testing.T, s authserver.Store) {
	ctx := t.Context()
	at := now()
	want := newCode("code", at.Add(time.Minute))
	must(t, "AddCode", s.AddCode(ctx, want))
	got, err := s.Code(ctx, want.Hash, at.Add(time.Minute-time.Millisecond))
	must(t, "Code just before its end", err)
	equal(t, "code", got, want)
	if c, err := s.Code(ctx, want.Hash, want.ExpiresAt); !errors.Is(err, authserver.ErrNotFound) {
		t.Errorf("Code at its end = %v, %v; want ErrNotFound", c, err)
	}
	if c, err := s.Code(ctx, hash("another"), at); !errors.Is(err, authserver.ErrNotFound) {
		t.Errorf("Code that is unknown = %v, %v; want ErrNotFound", c, err)
	}
}

func codeRedeem(t *testing.T, s authserver.Store) {
	ctx := t.Context()
	at := now()
	must(t, "AddClient", s.AddClient(ctx, newClient("client", at), plenty))
	c := newCode("code", at.Add(time.Minute))
	must(t, "AddCode", s.AddCode(ctx, c))
	f := newFamily(c.FamilyID, at)
	must(t, "RedeemCode", s.RedeemCode(ctx, c.Hash, f))
	sameFamily(t, s, f)

	client, err := s.Client(ctx, "client")
	must(t, "Client", err)
	equal(t, "UsedAt of the client", client.UsedAt, at)
	_, err = s.Code(ctx, c.Hash, at)
	must(t, "Code after it was used", err)

	again := newFamily("another family", at)
	if err := s.RedeemCode(ctx, c.Hash, again); !errors.Is(err, authserver.ErrTaken) {
		t.Errorf("RedeemCode again = %v, want ErrTaken", err)
	}
	late := newFamily("late family", c.ExpiresAt.Add(time.Minute))
	if err := s.RedeemCode(ctx, c.Hash, late); !errors.Is(err, authserver.ErrTaken) {
		t.Errorf("RedeemCode again, after the code's end = %v, want ErrTaken", err)
	}
	if err := s.RedeemCode(ctx, hash("another"), again); !errors.Is(err, authserver.ErrNotFound) {
		t.Errorf("RedeemCode of an unknown code = %v, want ErrNotFound", err)
	}
	for _, id := range []string{again.ID, late.ID} {
		if _, err := s.Family(ctx, id); !errors.Is(err, authserver.ErrNotFound) {
			t.Errorf("Family of a refused code: %v, want ErrNotFound", err)
		}
	}
}

func codeEnded(t *testing.T, s authserver.Store) {
	ctx := t.Context()
	at := now()
	c := newCode("code", at.Add(time.Minute))
	must(t, "AddCode", s.AddCode(ctx, c))
	err := s.RedeemCode(ctx, c.Hash, newFamily(c.FamilyID, c.ExpiresAt))
	if !errors.Is(err, authserver.ErrNotFound) {
		t.Errorf("RedeemCode at the code's end = %v, want ErrNotFound", err)
	}
}

func codeRace(t *testing.T, s authserver.Store) {
	ctx := t.Context()
	at := now()
	c := newCode("code", at.Add(time.Minute))
	must(t, "AddCode", s.AddCode(ctx, c))
	wins := race(func(i int) bool {
		err := s.RedeemCode(ctx, c.Hash, newFamily(fmt.Sprint("family", i), at))
		if err != nil && !errors.Is(err, authserver.ErrTaken) {
			t.Errorf("RedeemCode = %v, want nil or ErrTaken", err)
		}
		return err == nil
	})
	families := 0
	for i := range racers {
		if _, err := s.Family(ctx, fmt.Sprint("family", i)); err == nil {
			families++
		}
	}
	if wins != 1 || families != 1 {
		t.Errorf("%d calls succeeded and %d families are stored, want 1 and 1", wins, families)
	}
}

// codeBothOrNeither redeems a code for a family whose id is taken.
func codeBothOrNeither(t *testing.T, s authserver.Store) {
	ctx := t.Context()
	at := now()
	redeemed(t, s, newFamily("taken", at))
	c := newCode("code", at.Add(time.Minute))
	must(t, "AddCode", s.AddCode(ctx, c))
	if err := s.RedeemCode(ctx, c.Hash, newFamily("taken", at)); err == nil {
		t.Fatal("RedeemCode for a family that is there already = nil, want an error")
	}
	must(t, "RedeemCode after a failed one", s.RedeemCode(ctx, c.Hash, newFamily(c.FamilyID, at)))
}

// sameAuthorization fails the test if the stored authorization is not want.
func sameAuthorization(t *testing.T, s authserver.Store, want *authserver.Authorization) {
	t.Helper()
	got, err := s.Authorization(t.Context(), want.Family.ID)
	must(t, "Authorization", err)
	equal(t, "authorization", got, want)
}

func authorizationRead(t *testing.T, s authserver.Store) {
	ctx := t.Context()
	at := now()
	user, err := s.UpsertUser(ctx, "user", "https://acme.example", "alice", authserver.Profile{Email: "alice@acme.example"}, at)
	must(t, "UpsertUser", err)
	_, err = s.UpsertUser(ctx, "another", "https://acme.example", "bob", authserver.Profile{}, at)
	must(t, "UpsertUser", err)
	for _, c := range []*authserver.Client{
		{ID: "client", Name: "Claude", AuthMethod: "client_secret_post", SecretHash: hash("secret"), CreatedAt: at},
		{ID: "another", Name: "Cursor", AuthMethod: "none", CreatedAt: at},
	} {
		must(t, "AddClient", s.AddClient(ctx, c, 2))
	}
	f := newFamily("family", at)
	redeemed(t, s, f)
	want := &authserver.Authorization{Family: f, User: user, Client: &authserver.Client{
		ID: "client", Name: "Claude", AuthMethod: "client_secret_post", SecretHash: hash("secret"), UsedAt: at,
	}}
	sameAuthorization(t, s, want)

	step := &authserver.Rotation{
		FamilyID: f.ID, ClientID: "client", ClientUsedAt: at, Presented: f.Current, Next: hash("refresh 2"),
		Successor: []byte("sealed by its predecessor"), Now: at.Add(25 * time.Hour), ExpiresAt: f.ExpiresAt,
	}
	rotate(t, s, step, true)
	f.Generation, f.Previous, f.Current, f.RotatedAt = 2, f.Current, step.Next, step.Now
	want.Client.UsedAt = step.Now
	sameAuthorization(t, s, want) // its successor is not opened

	f.RevokedAt = at.Add(26 * time.Hour)
	must(t, "RevokeFamily", s.RevokeFamily(ctx, f.ID, f.RevokedAt))
	sameAuthorization(t, s, want)
}

func authorizationLacks(t *testing.T, s authserver.Store) {
	f := newFamily("family", now())
	redeemed(t, s, f)
	sameAuthorization(t, s, &authserver.Authorization{Family: f})
	if a, err := s.Authorization(t.Context(), "nothing"); !errors.Is(err, authserver.ErrNotFound) {
		t.Errorf("Authorization of an unknown family = %v, %v; want ErrNotFound", a, err)
	}
}

func familyRotate(t *testing.T, s authserver.Store) {
	at := now()
	f := newFamily("family", at)
	redeemed(t, s, f)
	first, second := f.Current, hash("refresh 2")
	step := &authserver.Rotation{
		FamilyID: f.ID, Presented: first, Next: second, Successor: []byte("sealed by its predecessor"),
		Now: at.Add(time.Hour), ExpiresAt: at.Add(100 * 24 * time.Hour),
	}
	rotate(t, s, step, true)
	f.Generation, f.Current, f.Previous, f.Successor = 2, second, first, step.Successor
	f.RotatedAt, f.ExpiresAt = step.Now, step.ExpiresAt
	sameFamily(t, s, f)

	for name, presented := range map[string][]byte{
		"the previous token": first, "an unknown token": hash("refresh 9"), "no token": nil,
	} {
		wrong := *step
		wrong.Presented, wrong.Next = presented, hash("refresh of "+name)
		rotate(t, s, &wrong, false)
	}
	unknown := *step
	unknown.FamilyID = "another"
	rotate(t, s, &unknown, false)
	sameFamily(t, s, f)

	step.Presented, step.Next = second, hash("refresh 3")
	rotate(t, s, step, true)
	f.Generation, f.Current, f.Previous = 3, step.Next, second
	sameFamily(t, s, f)
}

func rotate(t *testing.T, s authserver.Store, r *authserver.Rotation, want bool) {
	t.Helper()
	got, err := s.RotateFamily(t.Context(), r)
	must(t, "RotateFamily", err)
	if got != want {
		t.Errorf("RotateFamily = %t, want %t", got, want)
	}
}

func familyDead(t *testing.T, s authserver.Store) {
	ctx := t.Context()
	at := now()
	f := newFamily("family", at)
	redeemed(t, s, f)
	step := &authserver.Rotation{
		FamilyID: f.ID, Presented: f.Current, Next: hash("refresh 2"),
		Now: f.ExpiresAt, ExpiresAt: f.ExpiresAt.Add(time.Hour),
	}
	rotate(t, s, step, false)
	sameFamily(t, s, f)
	alive(t, s, f.ID, true)
	alive(t, s, f.ID, true) // from memory, where the store has one

	must(t, "RevokeFamily", s.RevokeFamily(ctx, f.ID, at.Add(time.Minute)))
	alive(t, s, f.ID, false)
	alive(t, s, f.ID, false)
	must(t, "RevokeFamily again", s.RevokeFamily(ctx, f.ID, at.Add(time.Hour)))
	step.Now = at.Add(time.Hour)
	rotate(t, s, step, false)
	f.RevokedAt = at.Add(time.Minute)
	sameFamily(t, s, f)

	must(t, "RevokeFamily of an unknown one", s.RevokeFamily(ctx, "nothing", at))
	if _, err := s.Family(ctx, "nothing"); !errors.Is(err, authserver.ErrNotFound) {
		t.Errorf("Family that is unknown: %v, want ErrNotFound", err)
	}
	alive(t, s, "nothing", false)
}

func alive(t *testing.T, s authserver.Store, id string, want bool) {
	t.Helper()
	if got, err := s.FamilyAlive(t.Context(), id); err != nil || got != want {
		t.Errorf("FamilyAlive(%q) = %t, %v; want %t", id, got, err, want)
	}
}

func familyRace(t *testing.T, s authserver.Store) {
	ctx := t.Context()
	at := now()
	f := newFamily("family", at)
	redeemed(t, s, f)
	wins := race(func(i int) bool {
		ok, err := s.RotateFamily(ctx, &authserver.Rotation{
			FamilyID: f.ID, Presented: f.Current, Next: hash(fmt.Sprint("next", i)), Successor: []byte{1},
			Now: at.Add(time.Minute), ExpiresAt: f.ExpiresAt,
		})
		if err != nil {
			t.Errorf("RotateFamily = %v", err)
		}
		return ok
	})
	got, err := s.Family(ctx, f.ID)
	must(t, "Family", err)
	if wins != 1 || got.Generation != 2 {
		t.Errorf("%d calls rotated and the generation is %d, want 1 and 2", wins, got.Generation)
	}
}

// familyRevokeRace revokes a family while it is rotated again and again.
func familyRevokeRace(t *testing.T, s authserver.Store) {
	ctx := t.Context()
	at := now()
	f := newFamily("family", at)
	redeemed(t, s, f)
	race(func(i int) bool {
		if i == racers/2 {
			if err := s.RevokeFamily(ctx, f.ID, at.Add(time.Minute)); err != nil {
				t.Errorf("RevokeFamily = %v", err)
			}
			return false
		}
		got, err := s.Family(ctx, f.ID)
		if err != nil {
			t.Errorf("Family = %v", err)
			return false
		}
		ok, err := s.RotateFamily(ctx, &authserver.Rotation{
			FamilyID: f.ID, Presented: got.Current, Next: hash(fmt.Sprint("next", i)),
			Now: at.Add(time.Minute), ExpiresAt: f.ExpiresAt,
		})
		if err != nil {
			t.Errorf("RotateFamily = %v", err)
		}
		return ok
	})
	got, err := s.Family(ctx, f.ID)
	must(t, "Family", err)
	equal(t, "RevokedAt", got.RevokedAt, at.Add(time.Minute))
	rotate(t, s, &authserver.Rotation{
		FamilyID: f.ID, Presented: got.Current, Next: hash("after"), Now: at, ExpiresAt: f.ExpiresAt,
	}, false)
}
