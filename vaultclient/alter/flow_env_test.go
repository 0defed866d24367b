package alter

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

const tokenPath = "/sdk/token"

// flow is a fake vault with a client whose waiting is recorded, not waited.
type flow struct {
	*altertest.Vault
	t      testing.TB
	client *Client

	mu    sync.Mutex
	waits []time.Duration
}

// newFlow starts a fake that alice has a google grant at, and a client with cfg.
func newFlow(t testing.TB, cfg Config, grants ...altertest.Grant) *flow {
	t.Helper()
	if grants == nil {
		grants = []altertest.Grant{{Person: "alice", Provider: "google"}}
	}
	f := &flow{Vault: altertest.Start(t, altertest.Config{Grants: grants}), t: t}
	f.client = f.newClient(cfg)
	return f
}

func (f *flow) newClient(cfg Config) *Client {
	f.t.Helper()
	cfg.APIKey = vaultclient.NewSecret(altertest.DefaultAPIKey)
	if cfg.BaseURL == "" {
		cfg.BaseURL = f.URL
	}
	cfg.Sleep = func(ctx context.Context, d time.Duration) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.waits = append(f.waits, d)
		return ctx.Err()
	}
	c, err := New(cfg)
	if err != nil {
		f.t.Fatalf("New: %v", err)
	}
	f.t.Cleanup(c.Close)
	return c
}

func (f *flow) waited() []time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.waits
}

func (f *flow) use(person string) Use {
	return Use{Grant: Grant{Provider: "google", UserToken: vaultclient.NewSecret(f.UserToken(person, time.Hour))}}
}

// get sends a GET in a mode of the fake provider, and returns status and body.
func (f *flow) get(c *Client, use Use, mode string) (int, string, error) {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, f.ProviderURL(mode)+"/me", nil)
	if err != nil {
		f.t.Fatalf("NewRequest: %v", err)
	}
	return answerOf(c.Do(req, use))
}

func answerOf(resp *http.Response, err error) (int, string, error) {
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

func (f *flow) wantCounts(tokenCalls, hits int) {
	f.t.Helper()
	if got := f.Count(tokenPath); got != tokenCalls {
		f.t.Errorf("%d calls for tokens, want %d", got, tokenCalls)
	}
	if got := len(f.Hits()); got != hits {
		f.t.Errorf("%d hits at the provider, want %d", got, hits)
	}
}

func mustBe(t testing.TB, err error, kind Kind) *Error {
	t.Helper()
	var e *Error
	if !errors.Is(err, kind) || !errors.As(err, &e) {
		t.Fatalf("error %v, want %q", err, kind)
	}
	return e
}

func mustURL(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func ptr[T any](v T) *T { return &v }

// newEchoServer is a provider that does nothing, for benchmarks.
func newEchoServer(t testing.TB) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{}")) }))
	t.Cleanup(server.Close)
	return server.URL
}
