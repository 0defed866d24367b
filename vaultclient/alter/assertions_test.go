package alter

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

const assertPath = "/sdk/identity/assert"

func assertionFor(person vaultclient.Secret) (IdentityQuery, AssertionOptions) {
	return IdentityQuery{UserToken: person}, AssertionOptions{Audience: "https://crm.example.com", TTL: MaxAssertionTTL}
}

func TestKeptAssertions(t *testing.T) {
	for name, c := range map[string]struct {
		keep  time.Duration
		ttl   time.Duration
		pass  time.Duration
		calls int
	}{
		"used again":                  {0, 300 * time.Second, 269 * time.Second, 1},
		"not longer than it is valid": {0, 300 * time.Second, 271 * time.Second, 2},
		"not longer than Keep":        {time.Minute, 300 * time.Second, 61 * time.Second, 2},
		"not when it ends at once":    {0, 10 * time.Second, 0, 2},
		"none":                        {-1, 300 * time.Second, 0, 2},
	} {
		t.Run(name, func(t *testing.T) {
			var clock clock
			f := &flow{t: t, Vault: altertest.Start(t, altertest.Config{Now: clock.now})}
			client := f.newClient(Config{Keep: c.keep, Now: clock.now})
			q, o := assertionFor(vaultclient.NewSecret(f.UserToken("alice", time.Hour)))
			o.TTL = c.ttl
			for range 2 {
				a, err := client.Assertion(t.Context(), q, o)
				if err != nil || !clock.now().Before(a.ExpiresAt) {
					t.Fatalf("%+v, %v, want one that lives", a, err)
				}
				clock.pass(c.pass)
			}
			if n := f.Count(assertPath); n != c.calls {
				t.Errorf("%d calls to the vault, want %d", n, c.calls)
			}
		})
	}
}

// Nothing that is said of one person, or for one reader, is given for another.
func TestKeptAssertionsAreSeparate(t *testing.T) {
	f := newFlow(t, Config{})
	narrow, err := f.client.WithConstraints(Constraints{Scopes: []string{"identity:assert"}})
	if err != nil {
		t.Fatal(err)
	}
	agent := Caller{Name: "bot", Type: CallerAgent}
	key := func(c *Client, change func(*IdentityQuery, *AssertionOptions)) assertionKey {
		q, o := assertionFor(vaultclient.NewSecret("alice"))
		change(&q, &o)
		return c.assertionKey(&q, &o)
	}
	keys := map[assertionKey]string{}
	for name, k := range map[string]assertionKey{
		"base":        key(f.client, func(*IdentityQuery, *AssertionOptions) {}),
		"constraints": key(narrow, func(*IdentityQuery, *AssertionOptions) {}),
		"person":      key(f.client, func(q *IdentityQuery, _ *AssertionOptions) { q.UserToken = vaultclient.NewSecret("bob") }),
		"nobody":      key(f.client, func(q *IdentityQuery, _ *AssertionOptions) { q.UserToken = vaultclient.Secret{} }),
		"app user":    key(f.client, func(q *IdentityQuery, _ *AssertionOptions) { q.AppUserID = "x" }),
		"profile":     key(f.client, func(q *IdentityQuery, _ *AssertionOptions) { q.Profile = true }),
		"caller":      key(f.client, func(q *IdentityQuery, _ *AssertionOptions) { q.Caller = &agent }),
		"audience":    key(f.client, func(_ *IdentityQuery, o *AssertionOptions) { o.Audience = "https://crm.example.co" }),
		"life":        key(f.client, func(_ *IdentityQuery, o *AssertionOptions) { o.TTL = time.Minute }),
	} {
		if other, taken := keys[k]; taken {
			t.Errorf("%s shares with %s", name, other)
		}
		keys[k] = name
	}
}

// Many calls at once of two people make one call to the vault for each of them.
func TestAssertionFlights(t *testing.T) {
	f := newFlow(t, Config{})
	f.AddFault(altertest.Fault{Path: assertPath, Times: -1, DelayMS: 50})
	tokens := []vaultclient.Secret{
		vaultclient.NewSecret(f.UserToken("alice", time.Hour)), vaultclient.NewSecret(f.UserToken("bob", time.Hour)),
	}
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			q, o := assertionFor(tokens[i%2])
			a, err := f.client.Assertion(t.Context(), q, o)
			if want := []string{"alice", "bob"}[i%2]; err != nil || a.Identity.Subject != want {
				t.Errorf("%+v, %v, want an assertion of %s", a, err, want)
			}
		})
	}
	wg.Wait()
	if n := f.Count(assertPath); n != 2 {
		t.Errorf("%d calls to the vault, want 2", n)
	}
}

// A refusal is not kept.
func TestAssertionFailures(t *testing.T) {
	f := newFlow(t, Config{})
	f.AddFault(altertest.Fault{Path: assertPath, Status: 403, Body: json.RawMessage(`{"error":"insufficient_scope"}`)})
	q, o := assertionFor(vaultclient.NewSecret(f.UserToken("alice", time.Hour)))
	_, err := f.client.Assertion(t.Context(), q, o)
	wantKind(t, err, ErrInsufficientScope)
	if _, err := f.client.Assertion(t.Context(), q, o); err != nil {
		t.Errorf("after a refusal: %v", err)
	}
}
