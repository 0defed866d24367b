package storetest

import (
	"fmt"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

func keyFirst(t *testing.T, s authserver.Store) {
	ctx := t.Context()
	keys, err := s.SigningKeys(ctx)
	must(t, "SigningKeys", err)
	equal(t, "number of keys of an empty store", len(keys), 0)

	first := &authserver.SigningKey{ID: "kid-1", Private: []byte{0, 1, 2, 255}, CreatedAt: now()}
	must(t, "AddFirstKey", s.AddFirstKey(ctx, first))
	second := &authserver.SigningKey{ID: "kid-2", Private: []byte{3}, CreatedAt: now()}
	must(t, "AddFirstKey when there is one", s.AddFirstKey(ctx, second))
	keys, err = s.SigningKeys(ctx)
	must(t, "SigningKeys", err)
	equal(t, "keys", keys, []*authserver.SigningKey{first})
}

func keyRace(t *testing.T, s authserver.Store) {
	ctx := t.Context()
	at := now()
	wins := race(func(i int) bool {
		k := &authserver.SigningKey{ID: fmt.Sprint("kid-", i), Private: []byte{byte(i)}, CreatedAt: at}
		if err := s.AddFirstKey(ctx, k); err != nil {
			t.Errorf("AddFirstKey = %v", err)
			return false
		}
		keys, err := s.SigningKeys(ctx)
		if err != nil || len(keys) != 1 {
			t.Errorf("SigningKeys = %v, %v; want one key", keys, err)
			return false
		}
		return keys[0].ID == k.ID
	})
	if wins != 1 {
		t.Errorf("%d calls found their own key, want 1", wins)
	}
}
