package authserver_test

import (
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// events collects what a server tells.
type events struct {
	mu   sync.Mutex
	list []authserver.Event
}

func (c *events) record(e authserver.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, e)
}

// take returns what came since the last time.
func (c *events) take() []authserver.Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := slices.Clone(c.list)
	c.list = nil
	return list
}

// Security LOG-05: what is told of a request has none of its words.
func TestEvents(t *testing.T) {
	var told events
	e := newEnv(t, func(c *authserver.Config) { c.Record = told.record })
	want := func(step string, events ...authserver.Event) {
		t.Helper()
		if diff := cmp.Diff(events, told.take()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step, diff)
		}
	}
	id := e.publicClient()
	want("registering", authserver.Event{Kind: authserver.EventRegistration, Outcome: "ok"})
	e.register(`{"redirect_uris":["javascript:x"]}`)
	want("registering badly", authserver.Event{Kind: authserver.EventRegistration, Outcome: "invalid_redirect_uri"})

	b := e.newBrowser()
	form := b.get(b.submit(b.get(e.authorizeURL(id)), "decision", "allow").location)
	b.submit(form, "username", "alice", "password", "guess")
	want("a wrong password", authserver.Event{Kind: authserver.EventLogin, Outcome: authserver.OutcomeWrongPassword})
	b.submit(form, "decision", "deny")
	want("no login", authserver.Event{Kind: authserver.EventLogin, Outcome: "access_denied"})

	_, first := e.login(id, "alice")
	want("logging in", authserver.Event{Kind: authserver.EventLogin, Outcome: "ok"},
		authserver.Event{Kind: authserver.EventTokens, GrantType: "authorization_code", Outcome: "ok"})
	e.mustRefresh(id, first)
	want("refreshing", authserver.Event{Kind: authserver.EventTokens, GrantType: "refresh_token", Outcome: "ok"})
	e.clock.advance(time.Minute)
	e.refused("reuse", id, first)
	want("reuse", authserver.Event{Kind: authserver.EventRefreshReuse, Outcome: "ok"},
		authserver.Event{Kind: authserver.EventTokens, GrantType: "refresh_token", Outcome: "invalid_grant"})
	e.token(url.Values{"grant_type": {"made up"}, "client_id": {id}})
	want("a made-up grant type", authserver.Event{Kind: authserver.EventTokens, GrantType: "other", Outcome: "unsupported_grant_type"})
}
