package alter

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

// clock is a time that a test moves.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time        { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) pass(by time.Duration) { c.ahead.Add(int64(by)) }

func TestKeptTokens(t *testing.T) {
	for name, c := range map[string]struct {
		keep     time.Duration
		lifetime time.Duration
		pass     time.Duration
		calls    int
	}{
		"used again":                  {0, time.Hour, 4 * time.Minute, 1},
		"not longer than Keep":        {time.Minute, time.Hour, time.Minute + time.Second, 2},
		"by default five minutes":     {0, time.Hour, 5*time.Minute + time.Second, 2},
		"not longer than it is valid": {0, 2 * time.Minute, 91 * time.Second, 2},
		"while it is valid":           {0, 2 * time.Minute, 80 * time.Second, 1},
		"not when it ends at once":    {0, 29 * time.Second, 0, 2},
		"of unknown end":              {0, -1, 4 * time.Minute, 1},
		"none":                        {-1, time.Hour, 0, 2},
	} {
		t.Run(name, func(t *testing.T) {
			var clock clock
			f := &flow{t: t, Vault: altertest.Start(t, altertest.Config{
				Now: clock.now, Grants: []altertest.Grant{{Person: "alice", Provider: "google", Lifetime: c.lifetime}},
			})}
			client := f.newClient(Config{Keep: c.keep, Now: clock.now})
			use := f.use("alice")
			for range 2 {
				if _, _, err := f.get(client, use, "ok"); err != nil {
					t.Fatal(err)
				}
				clock.pass(c.pass)
			}
			f.wantCounts(c.calls, 2)
		})
	}
}

// Two uses that differ in anything that the vault decides by never share.
func TestKeptTokensAreSeparate(t *testing.T) {
	f := newFlow(t, Config{})
	constrained, err := f.client.WithConstraints(Constraints{Scopes: []string{"a"}})
	if err != nil {
		t.Fatal(err)
	}
	key := func(c *Client, method, u string, change func(*Use)) tokenKey {
		use := Use{Grant: Grant{Provider: "google", UserToken: vaultclient.NewSecret("alice")}}
		change(&use)
		return c.tokenKey(method, mustURL(t, u), &use)
	}
	const u = "https://api.example.com/a"
	same := func(*Use) {}
	keys := map[tokenKey]string{}
	for name, k := range map[string]tokenKey{
		"base":        key(f.client, "GET", u, same),
		"method":      key(f.client, "POST", u, same),
		"host":        key(f.client, "GET", "https://other.example.com/a", same),
		"scheme":      key(f.client, "GET", "http://api.example.com/a", same),
		"constraints": key(constrained, "GET", u, same),
		"person":      key(f.client, "GET", u, func(u *Use) { u.UserToken = vaultclient.NewSecret("bob") }),
		"nobody":      key(f.client, "GET", u, func(u *Use) { u.UserToken = vaultclient.Secret{} }),
		"provider":    key(f.client, "GET", u, func(u *Use) { u.Provider = "github" }),
		"id":          key(f.client, "GET", u, func(u *Use) { u.ID, u.Provider = "google", "" }),
		"account":     key(f.client, "GET", u, func(u *Use) { u.Account = "x" }),
		"label":       key(f.client, "GET", u, func(u *Use) { u.Label = "x" }),
		"app user":    key(f.client, "GET", u, func(u *Use) { u.AppUserID = "x" }),
		"caller":      key(f.client, "GET", u, func(u *Use) { u.Caller = &Caller{Name: "x"} }),
		"caller type": key(f.client, "GET", u, func(u *Use) { u.Caller = &Caller{Name: "x", Type: CallerAgent} }),
		"shifted":     key(f.client, "GET", u, func(u *Use) { u.Account, u.Label = "xx", "" }),
		"shifted too": key(f.client, "GET", u, func(u *Use) { u.Account, u.Label = "", "xx" }),
	} {
		if other, ok := keys[k]; ok {
			t.Errorf("%s and %s share tokens", name, other)
		}
		keys[k] = name
	}
	if key(f.client, "GET", "https://api.example.com/b?c=d", same) != key(f.client, "GET", u, func(u *Use) { u.Reason = "r" }) {
		t.Error("path, query and reason separate, so that nothing would be kept")
	}
}

func TestOneFlight(t *testing.T) {
	f := newFlow(t, Config{})
	f.AddFault(altertest.Fault{Path: tokenPath, DelayMS: 200})
	use := f.use("alice")
	leaving, leave := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { // begins the flight, and leaves it
		_, _, err := f.client.token(leaving, "GET", mustURL(t, f.ProviderURL("ok")), &use)
		first <- err
	}()
	for f.Count(tokenPath) == 0 {
		time.Sleep(time.Millisecond)
	}
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if status, _, err := f.get(f.client, use, "ok"); status != 200 || err != nil {
				t.Errorf("%d, %v", status, err)
			}
		})
	}
	leave()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("who left got %v", err)
	}
	wg.Wait()
	f.wantCounts(1, 200)
}

// What the vault gave out before a person ended the grant, and answers after, is
// of no use to anybody.
func TestTokenThatWasUnderWayWhenItsGrantEnded(t *testing.T) {
	f := newFlow(t, Config{})
	given, release := make(chan struct{}), make(chan struct{})
	client := f.newClient(Config{Vault: holding{tokenPath, given, release}})
	use := f.use("alice")
	first := make(chan error, 1)
	go func() {
		_, _, err := client.token(t.Context(), "GET", mustURL(t, f.ProviderURL("ok")), &use)
		first <- err
	}()
	<-given
	if _, err := client.RevokeGrant(t.Context(), f.Grants()[0].ID, RevokeOptions{UserToken: use.UserToken}); err != nil {
		t.Fatal(err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	_, _, err := f.get(client, use, "ok")
	mustBe(t, err, ErrReauthRequired)
	f.wantCounts(2, 0)
}

// holding holds the first answer of a path until it is released.
type holding struct {
	path           string
	given, release chan struct{}
}

// RoundTrip implements http.RoundTripper.
func (h holding) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if r.URL.Path == h.path {
		select {
		case h.given <- struct{}{}:
		case <-h.release:
		}
		<-h.release
	}
	return resp, err
}

func TestCloseEndsFlights(t *testing.T) {
	f := newFlow(t, Config{})
	f.AddFault(altertest.Fault{Path: tokenPath, Times: -1, DelayMS: 60_000})
	failed := make(chan error, 1)
	go func() {
		_, _, err := f.get(f.client, f.use("alice"), "ok")
		failed <- err
	}()
	for f.Count(tokenPath) == 0 {
		time.Sleep(time.Millisecond)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(f.client.Close)
	}
	wg.Wait()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("the flight ended with %v", err)
	}
}

func TestUnauthorized(t *testing.T) {
	grant := altertest.Grant{Person: "alice", Provider: "google", Token: "tok-old"}
	t.Run("a kept token that was replaced", func(t *testing.T) {
		f := newFlow(t, Config{}, grant)
		use := f.use("alice")
		f.mustGet(use, "ok")
		f.ChangeGrant(f.Grants()[0].ID, func(g *altertest.Grant) { g.Token = "tok-new" })
		f.mustGet(use, "ok")
		f.wantCounts(2, 3) // the fake answers 401 to the old one
		f.mustGet(use, "ok")
		f.wantCounts(2, 4)
	})
	t.Run("a kept token that the vault still has", func(t *testing.T) {
		f := newFlow(t, Config{}, grant)
		use := f.use("alice")
		f.mustGet(use, "ok")
		for i := range 2 { // and it is not kept any more
			_, _, err := f.get(f.client, use, "401")
			e := mustBe(t, err, ErrProviderUnauthorized)
			if e.GrantID != f.Grants()[0].ID || e.Provider != "google" || e.Status != 401 {
				t.Errorf("%+v", e)
			}
			f.wantCounts(2+i, 2+i)
		}
	})
	t.Run("a new token", func(t *testing.T) {
		f := newFlow(t, Config{}, grant)
		_, _, err := f.get(f.client, f.use("alice"), "401")
		mustBe(t, err, ErrProviderUnauthorized)
		f.wantCounts(1, 1)
	})
	t.Run("a grant that has ended", func(t *testing.T) {
		f := newFlow(t, Config{}, grant)
		use := f.use("alice")
		f.mustGet(use, "ok")
		f.ChangeGrant(f.Grants()[0].ID, func(g *altertest.Grant) { g.State = altertest.Revoked })
		_, _, err := f.get(f.client, use, "401")
		mustBe(t, err, ErrGrantRevoked)
	})
	t.Run("a vault that is away", func(t *testing.T) {
		f := newFlow(t, Config{}, grant)
		use := f.use("alice")
		f.mustGet(use, "ok")
		f.AddFault(altertest.Fault{Path: tokenPath, Times: -1, Status: 500, Body: []byte(`{}`)})
		_, _, err := f.get(f.client, use, "401")
		mustBe(t, err, ErrUnavailable) // nobody knows what is wrong with the grant
	})
	t.Run("a grant that was revoked by us", func(t *testing.T) {
		f := newFlow(t, Config{}, grant)
		use := f.use("alice")
		f.mustGet(use, "ok")
		if _, err := f.client.RevokeGrant(t.Context(), f.Grants()[0].ID, RevokeOptions{}); err != nil {
			t.Fatal(err)
		}
		_, _, err := f.get(f.client, use, "ok")
		mustBe(t, err, ErrGrantRevoked)
		f.wantCounts(2, 1)
	})
}

// mustGet is a call that succeeds.
func (f *flow) mustGet(use Use, mode string) {
	f.t.Helper()
	if status, _, err := f.get(f.client, use, mode); status != http.StatusOK || err != nil {
		f.t.Fatalf("%d, %v", status, err)
	}
}

func TestLeastRecentlyUsedGoes(t *testing.T) {
	f := newFlow(t, Config{MaxKept: 2})
	u := mustURL(t, "https://api.example.com/")
	for i := range 3 {
		use := Use{Grant: Grant{Provider: fmt.Sprint(i)}}
		f.client.keep(f.client.tokenKey("GET", u, &use), &Token{})
	}
	if n := f.client.tokens.kept.Len(); n != 2 {
		t.Errorf("%d are kept", n)
	}
}

// BenchmarkKeptToken is what a kept token costs.
func BenchmarkKeptToken(b *testing.B) {
	f := newFlow(b, Config{})
	use, u := f.use("alice"), mustURL(b, f.ProviderURL("ok")+"/me")
	if _, _, err := f.client.token(b.Context(), "GET", u, &use); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, fresh, err := f.client.token(b.Context(), "GET", u, &use); err != nil || fresh {
			b.Fatal(fresh, err)
		}
	}
}

// BenchmarkDo is a whole call with a kept token, the provider on loopback.
func BenchmarkDo(b *testing.B) {
	provider := newEchoServer(b)
	f := newFlow(b, Config{})
	use := f.use("alice")
	b.ReportAllocs()
	for b.Loop() {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, provider+"/me", nil)
		if err != nil {
			b.Fatal(err)
		}
		if status, _, err := answerOf(f.client.Do(req, use)); status != http.StatusOK || err != nil {
			b.Fatal(status, err)
		}
	}
}
