package vaultclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func asTokenError(err error, target **TokenError) bool { return errors.As(err, target) }

// countingVault gives a credential per user and version, and counts renewals.
type countingVault struct {
	mu       sync.Mutex
	version  map[string]int64
	renewals atomic.Int64
	fail     error
}

func (v *countingVault) Credential(_ context.Context, req Request) (*Credential, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.fail != nil {
		return nil, v.fail
	}
	n := v.version[req.UserID]
	return &Credential{Token: NewSecret(fmt.Sprintf("%s-%d", req.UserID, n)), Version: n}, nil
}

func (v *countingVault) Renew(ctx context.Context, req Request, c *Credential) (*Credential, error) {
	v.mu.Lock()
	if v.version[req.UserID] == c.Version {
		v.version[req.UserID]++
		v.renewals.Add(1)
	}
	v.mu.Unlock()
	return v.Credential(ctx, req)
}

type seen struct {
	auth []string
	body string
}

// newTransport returns a transport to an API that accepts version and later, and
// what that API saw.
func newTransport(t *testing.T, accepts func(auth string) int) (*Transport, *countingVault, string, func() []seen) {
	t.Helper()
	var mu sync.Mutex
	var all []seen
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var auth []string
		for name, values := range r.Header {
			if strings.EqualFold(name, "Authorization") {
				auth = append(auth, values...)
			}
		}
		mu.Lock()
		all = append(all, seen{auth, string(body)})
		mu.Unlock()
		status := accepts(r.Header.Get("Authorization"))
		if status == http.StatusFound {
			w.Header().Set("Location", "http://"+r.Host+"/elsewhere")
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(api.Close)
	vault := &countingVault{version: make(map[string]int64)}
	tr := &Transport{
		Provider: &Provider{Name: "p", APIHosts: []string{strings.TrimPrefix(api.URL, "http://")}},
		Vault:    vault, Base: NewBase(),
	}
	return tr, vault, api.URL, func() []seen { mu.Lock(); defer mu.Unlock(); return all }
}

func requestOf(t *testing.T, user, method, target, body string) *http.Request {
	t.Helper()
	ctx := context.Background()
	if user != "" {
		ctx = WithRequest(ctx, Request{UserID: user, Provider: "p"})
	}
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// Security PROV-01: the person's own credential, and no other header of that
// name, in whatever letter case.
func TestTransportAddsTheCredential(t *testing.T) {
	tr, _, api, sent := newTransport(t, func(string) int { return 200 })
	req := requestOf(t, "alice", "POST", api+"/x", "body")
	req.Header["authorization"] = []string{"Bearer stolen"}
	req.Header["AUTHORIZATION"] = []string{"Bearer stolen"}
	req.Header.Set("Authorization", "Bearer stolen")
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := sent(); len(got) != 1 || len(got[0].auth) != 1 || got[0].auth[0] != "Bearer alice-0" || got[0].body != "body" {
		t.Errorf("the API saw %v", got)
	}
	if req.Header.Get("Authorization") != "Bearer stolen" || len(req.Header) != 3 {
		t.Error("the caller's request was changed")
	}
}

// Security PROV-02.
func TestTransportSendsNothing(t *testing.T) {
	tr, vault, api, sent := newTransport(t, func(string) int { return 200 })
	other := requestOf(t, "alice", "GET", api, "")
	other = other.WithContext(WithRequest(other.Context(), Request{UserID: "alice", Provider: "q"}))
	for name, tc := range map[string]struct {
		req  *http.Request
		fail error
		want error
	}{
		"without a person":        {requestOf(t, "", "GET", api, ""), nil, ErrNoPerson},
		"for another provider":    {other, nil, ErrNoPerson},
		"to a foreign host":       {requestOf(t, "alice", "GET", "https://evil.example/", ""), nil, ErrForeignHost},
		"to another port":         {requestOf(t, "alice", "GET", "http://127.0.0.1:1/", ""), nil, ErrForeignHost},
		"without a grant":         {requestOf(t, "alice", "GET", api, ""), &ConnectError{Provider: "p"}, &ConnectError{}},
		"while the vault is away": {requestOf(t, "alice", "GET", api, ""), ErrUnavailable, ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			vault.fail = tc.fail
			_, err := tr.RoundTrip(tc.req)
			var connect *ConnectError
			if _, isConnect := tc.want.(*ConnectError); isConnect && !errors.As(err, &connect) || !isConnect && !errors.Is(err, tc.want) {
				t.Errorf("RoundTrip = %v, want %v", err, tc.want)
			}
		})
	}
	if got := sent(); len(got) != 0 {
		t.Errorf("the API saw %v", got)
	}
}

// Security PROV-05.
func TestTransportRenewsOnceAfter401(t *testing.T) {
	tr, vault, api, sent := newTransport(t, func(auth string) int {
		if strings.HasSuffix(auth, "-0") {
			return 401
		}
		return 200
	})
	resp, err := tr.RoundTrip(requestOf(t, "alice", "POST", api, "again"))
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("RoundTrip = %v, %v", resp, err)
	}
	resp.Body.Close()
	if got := sent(); len(got) != 2 || got[1].body != "again" || vault.renewals.Load() != 1 {
		t.Errorf("the API saw %v after %d renewals", got, vault.renewals.Load())
	}

	streamed := requestOf(t, "bob", "POST", api, "once")
	streamed.GetBody = nil
	if _, err := tr.RoundTrip(streamed); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a body that cannot be sent twice: %v, want ErrUnavailable", err)
	}
}

func TestTransportGivesUpAfterASecond401(t *testing.T) {
	tr, _, api, sent := newTransport(t, func(string) int { return 401 })
	_, err := tr.RoundTrip(requestOf(t, "alice", "GET", api, ""))
	var connect *ConnectError
	if !errors.As(err, &connect) || connect.Reason != ReasonAuthorizationRequired {
		t.Errorf("RoundTrip = %v, want a ConnectError", err)
	}
	if got := sent(); len(got) != 2 {
		t.Errorf("the API saw %d requests, want 2", len(got))
	}
}

// Security PROV-02: a redirect is an answer like any other.
func TestTransportFollowsNoRedirect(t *testing.T) {
	tr, _, api, sent := newTransport(t, func(string) int { return http.StatusFound })
	resp, err := tr.RoundTrip(requestOf(t, "alice", "GET", api, ""))
	if err != nil || resp.StatusCode != http.StatusFound {
		t.Fatalf("RoundTrip = %v, %v, want the 302 itself", resp, err)
	}
	resp.Body.Close()
	if got := sent(); len(got) != 1 {
		t.Errorf("the API saw %d requests, want 1", len(got))
	}
}

// Security PROV-08, ISO-04: many people over shared connections.
func TestTransportKeepsPeopleApart(t *testing.T) {
	var wrong atomic.Int64
	api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+r.URL.Query().Get("user")+"-0" {
			wrong.Add(1)
		}
	}))
	defer api.Close()
	tr := &Transport{
		Provider: &Provider{Name: "p", APIHosts: []string{strings.TrimPrefix(api.URL, "http://")}},
		Vault:    &countingVault{version: make(map[string]int64)}, Base: NewBase(),
	}
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			user := fmt.Sprintf("user%d", i)
			for range 20 {
				resp, err := tr.RoundTrip(requestOf(t, user, "GET", api.URL+"/?user="+user, ""))
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
			}
		})
	}
	wg.Wait()
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d of 4000 requests carried another person's token", n)
	}
}

// A Host header leads a shared front end to another site than the connection.
func TestTransportKeepsTheHostOfTheURL(t *testing.T) {
	var host string
	api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { host = r.Host }))
	defer api.Close()
	own := strings.TrimPrefix(api.URL, "http://")
	tr := &Transport{
		Provider: &Provider{Name: "p", APIHosts: []string{own}},
		Vault:    &countingVault{version: make(map[string]int64)}, Base: NewBase(),
	}
	req := requestOf(t, "alice", "GET", api.URL, "")
	req.Host = "evil.example"
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if host != own || req.Host != "evil.example" {
		t.Errorf("the API saw Host %q and the caller's is %q, want %q and no change", host, req.Host, own)
	}
}

// Many calls that are refused at once, for one person: one renewal (PROV-05).
func TestTransportSharesARenewal(t *testing.T) {
	tr, vault, api, _ := newTransport(t, func(auth string) int {
		if auth == "Bearer alice-0" {
			return 401
		}
		return 200
	})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			resp, err := tr.RoundTrip(requestOf(t, "alice", "POST", api, "x"))
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("status = %d, want 200", resp.StatusCode)
			}
		})
	}
	wg.Wait()
	if n := vault.renewals.Load(); n != 1 {
		t.Errorf("%d renewals, want 1", n)
	}
}
