package altervault_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/altervault"
)

// How long a call waits for an approval is what its caller hears and allows, and
// no limit of the layers below.
func TestHowLongACallWaitsForAnApproval(t *testing.T) {
	tests := map[string]struct {
		told    bool
		timeout time.Duration // of the call; 0: none
		want    time.Duration
	}{
		"nobody listens":                    {false, 0, 20 * time.Second},
		"the client is told":                {true, 0, 10 * time.Minute},
		"the client is told, with a limit":  {true, 8 * time.Minute, 8*time.Minute - time.Second},
		"a limit is shorter than the usual": {false, 5 * time.Second, 4 * time.Second},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				vault, use, begin := withoutNetwork(t, forgetful{}, func(rt http.RoundTripper) http.RoundTripper { return rt })
				ctx := t.Context()
				if tt.timeout > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.timeout)
					defer cancel()
				}
				if tt.told {
					use.Progress = func(string) {}
				}
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, begin+"/messages", nil)
				if err != nil {
					t.Fatal(err)
				}
				started := time.Now()
				var pending *altervault.PendingError
				resp, err := vault.Send(req, use)
				if err == nil {
					_ = resp.Body.Close()
				}
				if waited := time.Since(started); !errors.As(err, &pending) || waited != tt.want {
					t.Errorf("Send: %v after %s, want the link to decide after %s", err, waited, tt.want)
				}
			})
		})
	}
}

// A client that leaves at the moment when the vault asks for an approval finds it
// when it comes back: another one could make the call happen twice.
func TestApprovalOfAClientThatLeavesAtOnce(t *testing.T) {
	ctx, leave := context.WithCancel(t.Context())
	kept := &oneApproval{}
	vault, use, base := withoutNetwork(t, kept, func(rt http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			resp, err := rt.RoundTrip(r)
			if r.URL.Path == "/sdk/proxy" {
				leave()
			}
			return resp, err
		})
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/messages", nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := vault.Send(req, use); err == nil {
		_ = resp.Body.Close()
		t.Error("a client that left has an answer")
	}
	if kept.approval == nil {
		t.Error("the approval is forgotten")
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// oneApproval remembers one approval, for callers that still are there.
type oneApproval struct{ approval *altervault.Approval }

func (o *oneApproval) PendingApproval(ctx context.Context, _, _ string) (*altervault.Approval, error) {
	return o.approval, ctx.Err()
}

func (o *oneApproval) SetPendingApproval(ctx context.Context, _, _ string, p *altervault.Approval, _ time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	o.approval = p
	return nil
}

// withoutNetwork returns a vault, a call of alice that must be approved, and the
// base of the provider's URLs. Nothing goes over sockets, for whose events no
// clock waits.
func withoutNetwork(
	t *testing.T, pending altervault.Pending, wrap func(http.RoundTripper) http.RoundTripper,
) (*altervault.Vault, altervault.Use, string) {
	t.Helper()
	started := time.Now()
	fake, err := altertest.New(altertest.Config{
		BaseURL: "http://127.0.0.1:1", Grants: []altertest.Grant{{Person: "alice", Provider: "google", Gates: 1}},
		// Its approvals live for ten minutes, which is also the longest wait: by a
		// clock that is slow they outlive it.
		Now: func() time.Time { return started.Add(time.Since(started) * 3 / 4) },
	})
	if err != nil {
		t.Fatal(err)
	}
	client, err := alter.New(alter.Config{
		APIKey: vaultclient.NewSecret(altertest.DefaultAPIKey), BaseURL: fake.URL, Vault: wrap(served{fake}), Providers: served{fake},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	vault, err := altervault.New(altervault.Config{
		Client: client, Tokens: &tokens{fake: fake, kept: make(map[string]string)}, Pending: pending, Once: forgetful{},
		Providers: map[string]*vaultclient.Provider{"google": {Name: "google", Title: "Google", APIHosts: []string{"127.0.0.1:1"}}},
		Endpoint:  func(*http.Request) string { return "http://localhost/mcp" }, Sealer: newSealer(t),
		Browser: cookieBrowser{}, Pages: printer{},
	})
	if err != nil {
		t.Fatal(err)
	}
	return vault, altervault.Use{UserID: "alice", Endpoint: "http://localhost/mcp", Provider: "google", Tool: "list"}, fake.ProviderURL("ok")
}

// served hands requests to a handler of this process.
type served struct{ http.Handler }

// RoundTrip implements http.RoundTripper.
func (s served) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	s.ServeHTTP(rec, in)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return rec.Result(), nil
}

// forgetful remembers nothing.
type forgetful struct{}

func (forgetful) PendingApproval(context.Context, string, string) (*altervault.Approval, error) {
	return nil, nil
}

func (forgetful) SetPendingApproval(context.Context, string, string, *altervault.Approval, time.Time) error {
	return nil
}

func (forgetful) TakeOnce(context.Context, string, time.Time) (bool, error) { return true, nil }
