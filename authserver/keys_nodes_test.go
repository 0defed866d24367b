package authserver_test

import (
	"errors"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// A node that looked for keys before there were any accepts what another one signs
// with the first key a second later.
//
// Security CLUS-04.
func TestFirstKeyOfAnotherNode(t *testing.T) {
	var cfg authserver.Config
	e := newEnv(t, func(c *authserver.Config) { cfg = *c })
	other, err := authserver.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	stranger := newEnv(t)
	unknown, _ := stranger.login(stranger.publicClient(), "alice")
	if _, err := other.Verify(t.Context(), unknown, e.base+testPath); !errors.Is(err, authserver.ErrInvalidToken) {
		t.Fatalf("Verify of an unknown key = %v, want ErrInvalidToken", err)
	}
	token, _ := e.login(e.publicClient(), "alice")
	e.clock.advance(time.Second)
	if _, err := other.Verify(t.Context(), token, e.base+testPath); err != nil {
		t.Errorf("Verify at the node that looked too early = %v", err)
	}
}
