package authserver_test

import (
	"errors"
	"sync/atomic"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// A configuration that admits fewer people cuts access at once, everywhere, and
// gives it back when it is widened again.
func TestAdmit(t *testing.T) {
	var barred atomic.Bool
	e := newEnv(t, func(c *authserver.Config) {
		c.Admit = func(u *authserver.User) bool { return u.Subject != "bob" && !(barred.Load() && u.Subject == "alice") }
	})
	id := e.publicClient()
	q := e.params(e.newBrowser().approve(e.authorizeURL(id), "bob"))
	if q.Get("error") != "access_denied" || q.Get("state") == "" {
		t.Errorf("bob's login = %v, want access_denied", q)
	}

	b := e.newBrowser()
	q = e.params(b.approve(e.authorizeURL(id), "alice"))
	_, answer, _ := e.token(codeForm(id, q.Get("code")))
	access, refresh := answer["access_token"].(string), answer["refresh_token"].(string)
	barred.Store(true)
	if _, err := e.verify(access); !errors.Is(err, authserver.ErrInvalidToken) {
		t.Errorf("access token: %v, want ErrInvalidToken", err)
	}
	e.refused("refresh", id, refresh)
	if p := b.get(testPath + "/connect"); p.status == 200 {
		t.Error("own pages are still open")
	}
	barred.Store(false)
	_, refresh = e.mustRefresh(id, refresh)
	if refresh == "" {
		t.Error("the authorization did not live on")
	}
}
