package authserver_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// afterRead calls after once, when an authorization was read and before whoever
// asked has it.
type afterRead struct {
	authserver.Store
	after func()
}

func (s *afterRead) Authorization(ctx context.Context, id string) (*authserver.Authorization, error) {
	a, err := s.Store.Authorization(ctx, id)
	if after := s.after; after != nil {
		s.after = nil
		after()
	}
	return a, err
}

// A revocation that comes between reading an authorization and keeping what was
// verified ends the token at once, also for the call that read it alive.
func TestRevocationRacesWithVerification(t *testing.T) {
	var store *afterRead
	e := newEnv(t, func(c *authserver.Config) {
		store = &afterRead{Store: c.Store}
		c.Store = store
	})
	id := e.publicClient()
	access, refresh := e.login(id, "alice")
	store.after = func() {
		form := url.Values{"client_id": {id}, "token": {refresh}}
		if p := e.newBrowser().post(testPath+"/revoke", form); p.status != http.StatusOK {
			t.Errorf("revoke = %d", p.status)
		}
	}
	for _, when := range []string{"during the revocation", "after it"} {
		if who, err := e.verify(access); !errors.Is(err, authserver.ErrInvalidToken) {
			t.Errorf("verifying %s = %q, %v; want ErrInvalidToken", when, who, err)
		}
	}
	if store.after != nil {
		t.Error("nothing read the authorization")
	}
}
