package local_test

import (
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/local"
)

// told collects what a vault tells.
type told struct {
	mu     sync.Mutex
	events []local.Event
}

func (t *told) add(e local.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.events = append(t.events, e)
}

// take returns what came since the last time.
func (t *told) take() []local.Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	events := t.events
	t.events = nil
	return events
}

func (e *env) wantTold(step string, want ...local.Event) {
	e.Helper()
	if diff := cmp.Diff(want, e.told.take()); diff != "" {
		e.Errorf("%s (-want +got):\n%s", step, diff)
	}
}

// Security LOG-05.
func TestEvents(t *testing.T) {
	e := newEnv(t)
	answer := func(status int, body string) {
		e.provider.set(func(p *provider) {
			p.answer = func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				_, _ = w.Write([]byte(body))
			}
		})
	}
	event := func(kind local.EventKind, outcome string) local.Event {
		return local.Event{Kind: kind, Provider: "p", Outcome: outcome}
	}
	b := e.newBrowser("alice")
	b.get(e.callback(b.begin(e.link("alice")), url.Values{"error": {"access_denied"}}))
	e.wantTold("saying no", event(local.EventConnect, local.OutcomeRefused))
	b.get(e.callback(b.begin(e.link("alice")), url.Values{"code": {"unknown"}}))
	e.wantTold("a bad code", event(local.EventConnect, local.OutcomeFailed))
	e.connect("alice")
	e.wantTold("connecting", event(local.EventConnect, local.OutcomeOK))

	renew := func(step, outcome string) {
		t.Helper()
		e.clock.advance(2 * time.Hour)
		if _, err := e.token("alice"); (err == nil) != (outcome == local.OutcomeOK) {
			t.Errorf("%s: %v", step, err)
		}
		e.wantTold(step, event(local.EventRenewal, outcome))
	}
	renew("renewing", local.OutcomeOK)
	answer(http.StatusServiceUnavailable, "")
	renew("a provider that is away", local.OutcomeFailed)
	answer(http.StatusBadRequest, `{"error":"invalid_grant"}`)
	renew("a grant that ended", local.OutcomeRefused)
}
