package alter

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

func googleVault(t *testing.T, gates int) (*altertest.Vault, *Client, ProxyRequest) {
	t.Helper()
	v, c := startVault(t, altertest.Config{Grants: []altertest.Grant{{Person: "alice", Provider: "google", Gates: gates}}})
	return v, c, ProxyRequest{
		Grant: Grant{Provider: "google", UserToken: userToken(v, "alice")}, Method: "post", URL: v.ProviderURL("echo") + "/items",
	}
}

func TestProxy(t *testing.T) {
	v, c, r := googleVault(t, 0)
	r.Query = url.Values{"q": {"a b"}, "many": {"1", "2"}}
	r.Header = http.Header{"x-trace": {"one", "two"}}
	r.Body, r.Reason = json.RawMessage(`{"n":12345678901234567890}`), "because"
	got, err := c.Proxy(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if got.Pending != nil || got.Result.Status != http.StatusOK || len(got.Result.Body) == 0 || got.Result.Header.Get("Content-Type") == "" {
		t.Errorf("answer %+v", got)
	}
	want := `{"method":"POST","url":"` + r.URL + `","provider_id":"google","user_token":"` + r.UserToken.Reveal() +
		`","body":{"n":12345678901234567890},"headers":{"X-Trace":"one, two"},"query_params":{"many":["1","2"],"q":"a b"},"reason":"because"}`
	if diff := cmp.Diff(want, lastBody(t, v, "/sdk/proxy")); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
}

func TestProxyProviderError(t *testing.T) {
	_, c, r := googleVault(t, 0)
	c.cfg.Vault = canned{http.StatusOK, []byte(`{"status_code":401,"body_b64":"bm8="}`)}
	got, err := c.Proxy(t.Context(), r)
	if err != nil || got.Result.Status != http.StatusUnauthorized || string(got.Result.Body) != "no" {
		t.Errorf("%+v, %v: want the provider's 401 as a result", got, err)
	}
}

func TestProxyInvalid(t *testing.T) {
	for name, change := range map[string]func(*ProxyRequest){
		"no grant":             func(r *ProxyRequest) { r.Provider = "" },
		"id and provider":      func(r *ProxyRequest) { r.ID = someID },
		"no method":            func(r *ProxyRequest) { r.Method = "" },
		"method with a blank":  func(r *ProxyRequest) { r.Method = "GET /" },
		"relative URL":         func(r *ProxyRequest) { r.URL = "/items" },
		"http beyond loopback": func(r *ProxyRequest) { r.URL = "http://api.example/" },
		"user in the URL":      func(r *ProxyRequest) { r.URL = "https://a:b@api.example/" },
		"fragment":             func(r *ProxyRequest) { r.URL = "https://api.example/#x" },
		"another scheme":       func(r *ProxyRequest) { r.URL = "file:///etc/passwd" },
		"long URL":             func(r *ProxyRequest) { r.Query = url.Values{"q": {strings.Repeat("x", maxProxyURL)}} },
		"header with a blank":  func(r *ProxyRequest) { r.Header = http.Header{"A B": {"x"}} },
		"header line break":    func(r *ProxyRequest) { r.Header = http.Header{"A": {"x\r\nB: y"}} },
		"header twice":         func(r *ProxyRequest) { r.Header = http.Header{"x-a": {"1"}, "X-A": {"2"}} },
		"broken body":          func(r *ProxyRequest) { r.Body = json.RawMessage(`{"n":NaN}`) },
		"caller type":          func(r *ProxyRequest) { r.Caller = &Caller{Name: "x", Type: "robot"} },
	} {
		t.Run(name, func(t *testing.T) {
			v, c, r := googleVault(t, 0)
			change(&r)
			_, err := c.Proxy(t.Context(), r)
			wantKind(t, err, ErrInvalid)
			if n := v.Count("/sdk/proxy"); n != 0 {
				t.Errorf("%d calls, want none", n)
			}
		})
	}
	for _, name := range []string{
		"Host", "Authorization", "Proxy-Authorization", "Authentication", "Cookie", "Set-Cookie", "X-Api-Key", "x-auth-token",
		"X-Amz-Security-Token", "X-Amz-Date", "X-Amz-Content-Sha256", "X-Goog-Authorization", "X-Goog-Iam-Authorization-Token",
		"X-Stripe-Account", "X-Shopify-Access-Token", "X-HTTP-Method", "X-HTTP-METHOD-OVERRIDE", "X-Method-Override",
	} {
		if _, err := proxyHeader(http.Header{name: {"x"}}); err == nil {
			t.Errorf("header %s passed", name)
		}
	}
}

// A call that may have happened is not made again.
func TestProxyOnce(t *testing.T) {
	for name, c := range map[string]struct {
		fault altertest.Fault
		kind  Kind
	}{
		"cut before it was done": {altertest.Fault{Cut: altertest.CutUndone}, ErrUnavailable},
		"cut when it was done":   {altertest.Fault{Cut: altertest.CutDone}, ErrUnavailable},
		"cut in the answer":      {altertest.Fault{Cut: altertest.CutHalf}, ErrUnavailable},
		"bad gateway":            {altertest.Fault{Status: 502, Body: json.RawMessage(`"<html>"`)}, ErrUnavailable},
		"unavailable":            {altertest.Fault{Status: 503, Body: json.RawMessage(`{}`)}, ErrUnavailable},
		"gateway timeout":        {altertest.Fault{Status: 504, Body: json.RawMessage(`{}`)}, ErrUnavailable},
		"garbage":                {altertest.Fault{Status: 200, Body: json.RawMessage(`"garbage"`)}, ErrMalformed},
		"an unknown status":      {altertest.Fault{Status: 204}, ErrMalformed},
		"wrong base64":           {altertest.Fault{Set: map[string]json.RawMessage{"body_b64": json.RawMessage(`"a_-="`)}}, ErrMalformed},
		"base64 with breaks":     {altertest.Fault{Set: map[string]json.RawMessage{"body_b64": json.RawMessage(`"aGk\n="`)}}, ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			v, client, r := googleVault(t, 0)
			c.fault.Path, c.fault.Times = "/sdk/proxy", -1
			v.AddFault(c.fault)
			_, err := client.Proxy(t.Context(), r)
			wantKind(t, err, c.kind)
			if n := v.Count("/sdk/proxy"); n != 1 {
				t.Errorf("%d calls, want 1", n)
			}
		})
	}
}

// A call that was refused for the moment has not happened.
func TestProxyAgain(t *testing.T) {
	for name, f := range map[string]altertest.Fault{
		"rate limit": {Status: 429, Body: json.RawMessage(`{"error":"rate_limit_exceeded","retry_after":1}`)},
		"refresh":    {Status: 409, Body: json.RawMessage(`{"error":"token_refresh_in_progress"}`)},
	} {
		t.Run(name, func(t *testing.T) {
			v, c, r := googleVault(t, 0)
			f.Path = "/sdk/proxy"
			v.AddFault(f)
			if _, err := c.Proxy(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			if n := v.Count("/sdk/proxy"); n != 2 {
				t.Errorf("%d calls, want 2", n)
			}
		})
	}
}

func TestProxyRefusals(t *testing.T) {
	for code, c := range map[string]struct {
		status int
		kind   Kind
	}{
		"grant_not_found":           {404, ErrGrantNotFound},
		"ambiguous_grant":           {409, ErrAmbiguousGrant},
		"grant_expired":             {403, ErrGrantExpired},
		"grant_revoked":             {403, ErrGrantRevoked},
		"credential_revoked":        {502, ErrCredentialRevoked},
		"grant_deleted":             {410, ErrGrantDeleted},
		"jwt_validation_error":      {401, ErrUserTokenRejected},
		"invalid_key":               {401, ErrInvalidKey},
		"insufficient_scope":        {403, ErrInsufficientScope},
		"operation_denied":          {403, ErrPolicy},
		"step_up_required":          {403, ErrStepUpRequired},
		"redact_discharge_failed":   {403, ErrRedactFailed},
		"blocked_destination":       {422, ErrBlockedDestination},
		"query_too_long":            {422, ErrRefused},
		"quota_exceeded":            {429, ErrQuotaExceeded},
		"approval_denied":           {403, ErrApprovalDenied},
		"approval_execution_failed": {502, ErrApprovalFailed},
		"no_delegated_grant":        {404, ErrNoDelegatedGrant},
	} {
		t.Run(code, func(t *testing.T) {
			v, client, r := googleVault(t, 0)
			v.AddFault(altertest.Fault{Path: "/sdk/proxy", Times: -1, Status: c.status, Body: json.RawMessage(`{"error":"` + code + `"}`)})
			_, err := client.Proxy(t.Context(), r)
			if e := wantKind(t, err, c.kind); e.Code != code {
				t.Errorf("code %q", e.Code)
			}
			if n := v.Count("/sdk/proxy"); n != 1 {
				t.Errorf("%d calls, want 1", n)
			}
		})
	}
}

func TestProxyCancelled(t *testing.T) {
	v, c, r := googleVault(t, 0)
	v.AddFault(altertest.Fault{Path: "/sdk/proxy", DelayMS: 20_000})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		eventually(t, v, "/sdk/proxy", 1)
		cancel()
	}()
	started := time.Now()
	_, err := c.Proxy(ctx, r)
	wantKind(t, err, ErrUnavailable)
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestProxyCallerOfOneCall(t *testing.T) {
	v, c, r := googleVault(t, 0)
	r.Caller = &Caller{Name: "tool list_items"}
	if _, err := c.Proxy(WithAuditContext(t.Context(), map[string]string{"tool": "x"}), r); err != nil {
		t.Fatal(err)
	}
	sent := http.Header{}
	for _, h := range v.Calls()[0].Header {
		sent.Add(h.Name, h.Value)
	}
	if sent.Get(headerCaller) != "tool list_items" || sent.Get(headerContext) != `{"tool":"x"}` {
		t.Errorf("headers %v", sent)
	}
}
