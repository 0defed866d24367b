package local_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/local"
)

// shared is a store whose claims keep others away, as one that several nodes share.
// The store itself, with PostgreSQL, has tests of its own.
type shared struct {
	local.Store
	mu   *sync.Mutex
	held map[string]time.Time
	now  func() time.Time
}

func newShared(e *env) shared {
	return shared{Store: e.store, mu: new(sync.Mutex), held: make(map[string]time.Time), now: e.clock.Now}
}

func (s shared) Claim(_ context.Context, id string, until time.Time) (release func(), claimed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[id].After(s.now()) {
		return nil, false, nil
	}
	s.held[id] = until
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.held, id)
	}, true, nil
}

// newNode is one more vault on a store, of a process of its own.
func newNode(e *env, s local.Store) *local.Vault {
	e.Helper()
	cfg := e.cfg
	cfg.Store, cfg.Renewals = s, new(local.Renewals)
	v, err := local.New(cfg)
	if err != nil {
		e.Fatal(err)
	}
	return v
}

// stuck is a way to a provider that leads nowhere until leave is closed.
type stuck struct{ entered, leave chan struct{} }

func (s stuck) RoundTrip(*http.Request) (*http.Response, error) {
	close(s.entered)
	<-s.leave
	return nil, errors.New("nowhere")
}

// Security PROV-05.
func TestNodesShareARenewal(t *testing.T) {
	e := newEnv(t)
	e.connect("alice")
	e.clock.advance(2 * time.Hour)
	s := newShared(e)
	nodes := []*local.Vault{newNode(e, s), newNode(e, s), newNode(e, s)}
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			if _, err := nodes[i%len(nodes)].Credential(context.Background(), grantOf("alice")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if e.provider.refreshes != 1 {
		t.Errorf("%d renewals by three nodes, want 1", e.provider.refreshes)
	}
}

// A node that ends while it renews holds the others up for a while only, and not at
// all who has a token that is still good.
func TestRenewalOfALostNode(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	e.connect("alice")
	s := newShared(e)
	other := newNode(e, s)
	old, err := other.Credential(context.Background(), grantOf("alice"))
	if err != nil {
		t.Fatal(err)
	}
	e.clock.advance(59*time.Minute + 30*time.Second)

	entered, leave := make(chan struct{}), make(chan struct{})
	e.cfg.HTTP = stuck{entered, leave}
	lost := newNode(e, s)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = lost.Credential(context.Background(), grantOf("alice")) // nobody hears of it
	}()
	<-entered
	if got, err := other.Credential(context.Background(), grantOf("alice")); err != nil || got.Token.Reveal() != old.Token.Reveal() {
		t.Errorf("with half a minute left = %v, %v, want the old token", got, err)
	}
	e.clock.advance(40 * time.Second) // more than a claim lasts
	if got, err := other.Credential(context.Background(), grantOf("alice")); err != nil || got.Token.Reveal() == old.Token.Reveal() {
		t.Errorf("after the claim's end = %v, %v, want a new token", got, err)
	}
	close(leave)
	<-ended
}

// The provider's failure is nobody's claim: the next call tries again.
func TestClaimEndsWithAFailure(t *testing.T) {
	e := newEnv(t)
	e.connect("alice")
	e.clock.advance(2 * time.Hour)
	s := newShared(e)
	one, other := newNode(e, s), newNode(e, s)
	e.provider.set(func(p *provider) { p.answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) } })
	if _, err := one.Credential(context.Background(), grantOf("alice")); !errors.Is(err, vaultclient.ErrUnavailable) {
		t.Errorf("while the provider is away = %v, want ErrUnavailable", err)
	}
	e.provider.set(func(p *provider) { p.answer = nil })
	if _, err := other.Credential(context.Background(), grantOf("alice")); err != nil {
		t.Errorf("at the other node when it is back: %v", err)
	}
}
