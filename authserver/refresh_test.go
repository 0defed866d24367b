package authserver_test

import (
	"errors"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// mustRefresh refreshes and returns the new tokens.
func (e *env) mustRefresh(clientID, token string) (access, refresh string) {
	e.Helper()
	status, answer, _ := e.token(refreshForm(clientID, token))
	if status != http.StatusOK {
		e.Fatalf("refresh = %d %v", status, answer)
	}
	return answer["access_token"].(string), answer["refresh_token"].(string)
}

// refused refreshes and fails the test unless the answer is invalid_grant.
func (e *env) refused(why, clientID, token string) {
	e.Helper()
	if status, answer, _ := e.token(refreshForm(clientID, token)); status != 400 || answer["error"] != "invalid_grant" {
		e.Errorf("%s: refresh = %d %v, want invalid_grant", why, status, answer)
	}
}

// Security REF-01, REF-13.
func TestRefreshRotates(t *testing.T) {
	e := newEnv(t)
	id := e.publicClient()
	access, refresh := e.login(id, "bob")
	access2, refresh2 := e.mustRefresh(id, refresh)
	if access == access2 || refresh == refresh2 {
		t.Error("the refresh did not give new tokens")
	}
	if user, err := e.verify(access2); err != nil || user != "bob" {
		t.Errorf("Verify = %q, %v, want bob", user, err)
	}
}

// Security REF-08, design 5.9: a lost answer is asked for again.
func TestPredecessorGivesTheSameSuccessorWithinTheGrace(t *testing.T) {
	e := newEnv(t)
	id := e.publicClient()
	_, first := e.login(id, "alice")
	_, second := e.mustRefresh(id, first)
	e.clock.advance(29 * time.Second)
	access, again := e.mustRefresh(id, first)
	if again != second {
		t.Errorf("the predecessor gave another successor")
	}
	if _, err := e.verify(access); err != nil {
		t.Errorf("its access token: %v", err)
	}
	if _, third := e.mustRefresh(id, second); third == second {
		t.Error("the successor did not rotate")
	}
}

// Security REF-02 to REF-04.
func TestReuseEndsTheFamily(t *testing.T) {
	for name, tc := range map[string]struct {
		rotations int // after the token that is reused
		wait      time.Duration
	}{
		"two rotations old, at once":         {2, 0},
		"the predecessor, after the grace":   {1, 31 * time.Second},
		"three rotations old, after a while": {3, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			id := e.publicClient()
			_, reused := e.login(id, "alice")
			access, newest := "", reused
			for range tc.rotations {
				access, newest = e.mustRefresh(id, newest)
			}
			e.clock.advance(tc.wait)
			e.refused("the old token", id, reused)
			e.refused("the newest token", id, newest)
			if _, err := e.verify(access); !errors.Is(err, authserver.ErrInvalidToken) {
				t.Errorf("access token: %v, want ErrInvalidToken", err)
			}
		})
	}
}

func TestGraceCanBeOff(t *testing.T) {
	e := newEnv(t, func(c *authserver.Config) { c.RefreshGrace = -1 })
	id := e.publicClient()
	_, first := e.login(id, "alice")
	_, second := e.mustRefresh(id, first)
	e.refused("the predecessor", id, first)
	e.refused("the newest", id, second)
}

// Security REF-05 to REF-07.
func TestRefreshIsBound(t *testing.T) {
	e := newEnv(t)
	id, other := e.publicClient(), e.publicClient()
	_, refresh := e.login(id, "alice")
	e.refused("another client", other, refresh)
	for name, tc := range map[string]struct{ param, value, want string }{
		"wider scope":      {"scope", "mcp admin", "invalid_scope"},
		"foreign resource": {"resource", "https://other.example", "invalid_target"},
	} {
		form := refreshForm(id, refresh)
		form.Set(tc.param, tc.value)
		if status, answer, _ := e.token(form); status != 400 || answer["error"] != tc.want {
			t.Errorf("%s = %d %v, want %s", name, status, answer, tc.want)
		}
	}
	form := refreshForm(id, refresh)
	form.Set("scope", "mcp")
	form["resource"] = []string{e.base + testPath, e.base + testPath + "/"}
	if status, answer, _ := e.token(form); status != http.StatusOK {
		t.Errorf("its own client after all = %d %v", status, answer)
	}
}

func TestRefreshTokenEndsByIdleness(t *testing.T) {
	e := newEnv(t)
	id := e.publicClient()
	_, refresh := e.login(id, "alice")
	for range 3 {
		e.clock.advance(80 * 24 * time.Hour)
		_, refresh = e.mustRefresh(id, refresh)
	}
	e.clock.advance(91 * 24 * time.Hour)
	e.refused("after 91 idle days", id, refresh)
}

// Security REF-08, REF-09.
func TestManyRefreshesAtOnceLeaveOneLineage(t *testing.T) {
	e := newEnv(t)
	id := e.publicClient()
	_, refresh := e.login(id, "alice")
	var wg sync.WaitGroup
	var mu sync.Mutex
	successors := map[string]int{}
	for range 16 {
		wg.Go(func() {
			status, answer, _ := e.token(refreshForm(id, refresh))
			mu.Lock()
			defer mu.Unlock()
			if status != http.StatusOK {
				t.Errorf("refresh = %d %v", status, answer)
				return
			}
			successors[answer["refresh_token"].(string)]++
		})
	}
	wg.Wait()
	if len(successors) != 1 {
		t.Fatalf("%d different successors, want 1", len(successors))
	}
	for token := range successors {
		e.mustRefresh(id, token)
	}
}

// Security REV-01 to REV-04, REV-07.
func TestRevoke(t *testing.T) {
	for name, pick := range map[string]func(access, refresh string) url.Values{
		"refresh token":             func(_, r string) url.Values { return url.Values{"token": {r}} },
		"access token":              func(a, _ string) url.Values { return url.Values{"token": {a}} },
		"refresh token, wrong hint": func(_, r string) url.Values { return url.Values{"token": {r}, "token_type_hint": {"access_token"}} },
		"access token, odd hint":    func(a, _ string) url.Values { return url.Values{"token": {a}, "token_type_hint": {"x"}} },
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			id := e.publicClient()
			access, refresh := e.login(id, "alice")
			if _, err := e.verify(access); err != nil { // now it is kept
				t.Fatal(err)
			}
			form := pick(access, refresh)
			form.Set("client_id", id)
			if p := e.newBrowser().post(testPath+"/revoke", form); p.status != http.StatusOK {
				t.Fatalf("revoke = %d %s", p.status, p.body)
			}
			if _, err := e.verify(access); !errors.Is(err, authserver.ErrInvalidToken) {
				t.Errorf("access token: %v, want ErrInvalidToken", err)
			}
			e.refused("refresh token", id, refresh)
		})
	}
}

// Security REV-04 to REV-06, REV-08.
func TestRevokeRefuses(t *testing.T) {
	e := newEnv(t)
	id, other := e.publicClient(), e.publicClient()
	access, refresh := e.login(id, "alice")
	for name, tc := range map[string]struct {
		form   url.Values
		status int
	}{
		"unknown token":        {url.Values{"client_id": {id}, "token": {"x"}}, 200},
		"no token":             {url.Values{"client_id": {id}}, 400},
		"no client":            {url.Values{"token": {refresh}}, 401},
		"another client":       {url.Values{"client_id": {other}, "token": {refresh}}, 400},
		"another client's JWT": {url.Values{"client_id": {other}, "token": {access}}, 400},
	} {
		if p := e.newBrowser().post(testPath+"/revoke", tc.form); p.status != tc.status {
			t.Errorf("%s = %d %s, want %d", name, p.status, p.body, tc.status)
		}
	}
	if p := e.newBrowser().get(testPath + "/revoke"); p.status != 405 {
		t.Errorf("GET = %d, want 405", p.status)
	}
	if _, err := e.verify(access); err != nil {
		t.Errorf("the token after all: %v", err)
	}
	e.mustRefresh(id, refresh)
}
