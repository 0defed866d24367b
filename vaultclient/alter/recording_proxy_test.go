package alter_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

// proxySteps are those in which the vault makes the call.
func proxySteps() map[string]step {
	steps := map[string]step{
		"proxy":                             {do: proxy},
		"proxy by grant, label and account": {do: proxyWays},
		"proxy and the provider's errors":   {do: proxyErrors},
		"approval, approved":                decided(1, approve),
		"approval, denied":                  decided(1, deny),
		"approval, expired":                 decided(1, expire),
		"approval, two gates":               by(alter.Caller{Name: "my-mcp"}, decided(2, approve, approve)),
		"approval, two gates, one denies":   decided(2, approve, deny),
		"approval, while somebody waits":    {do: approvedMeanwhile, waits: true},
		"approval, whose call fails":        {do: approvedCallFails, waits: true},
		"approval, unknown":                 {do: approvalUnknown},
		"approval, time is over":            {do: approvalTimedOut, waits: true},
	}
	for name, how := range injections() {
		steps["injection, "+name] = step{do: func(w *world) (any, error) { return injected(w, how) }}
	}
	return steps
}

const awsFormat = "AWS4-HMAC-SHA256"

func injections() map[string]altertest.Grant {
	keys := map[string]string{"secret_key": "aws-secret", "region": "eu-central-1", "service": "execute-api"}
	session := map[string]string{"session_token": "session/token+="}
	for name, value := range keys {
		session[name] = value
	}
	return map[string]altertest.Grant{
		"custom header": {Injection: altertest.Injection{InjectHeader: "X-Api-Token", InjectFormat: "key={token}"}},
		"basic":         {Token: "dXNlcjpwYXNz", Injection: altertest.Injection{InjectFormat: "Basic {token}"}},
		"query": {Injection: altertest.Injection{Injections: []altertest.ExtraInjection{
			{Target: "query_param", Key: "api_key", Source: "token"},
		}}},
		"further headers": {Injection: altertest.Injection{
			Additional: map[string]string{"org": "acme", "site": "s1"},
			Injections: []altertest.ExtraInjection{
				{Target: "header", Key: "X-Org", Source: "additional_credentials.org"},
				{Target: "query_param", Key: "site", Source: "additional_credentials.site"},
			},
		}},
		"AWS":                {Token: "AKIDEXAMPLE", Injection: altertest.Injection{InjectFormat: awsFormat, Additional: keys}},
		"AWS with a session": {Token: "AKIDEXAMPLE", Injection: altertest.Injection{InjectFormat: awsFormat, Additional: session}},
	}
}

// injected calls by the client, then by the vault.
func injected(w *world, g altertest.Grant) (any, error) {
	g.Provider, g.Secret = "acme", true
	w.grant(g)
	acme := alter.Grant{Provider: "acme", UserToken: w.token("alice")}
	body := `{"a":1}`
	if g.InjectFormat == awsFormat {
		body = `{"a": 1}` // as the SDK encodes it where it signs
	}
	own, err := w.answer(ask{
		method: http.MethodPost, url: w.ok("/i?z=1+2"), body: body,
		header: map[string]string{"Content-Type": "application/json"}, use: alter.Use{Grant: acme},
	})
	if err != nil {
		return nil, err
	}
	told, err := w.proxied(alter.ProxyRequest{
		Grant: acme, Method: http.MethodPost, URL: w.ok("/i"),
		Query: url.Values{"z": {"1 2"}}, Body: json.RawMessage(`{"a":1}`),
	})
	return []any{own, told}, err
}

func proxy(w *world) (any, error) {
	w.grant(altertest.Grant{NeedsProxy: "restricted_grant_requires_proxy"})
	w.ctx = alter.WithAuditContext(w.ctx, map[string]string{"tool": "send"})
	return w.proxied(alter.ProxyRequest{
		Grant: w.google(), Method: http.MethodPost, URL: w.ok("/send/" + url.PathEscape("bob smith")),
		Query: url.Values{"q": {"1"}}, Header: http.Header{"X-Trace": {"t1"}},
		Body: json.RawMessage(`{"text":"☃"}`), Reason: "asked for",
	})
}

func proxyWays(w *world) (any, error) {
	g := w.grant(altertest.Grant{Label: "work", Account: "w@example.com"})
	w.grant(altertest.Grant{Label: "home", Account: "h@example.com"})
	byLabel, byAccount := w.google(), w.google()
	byLabel.Label, byAccount.Account = "home", "w@example.com"
	var told []any
	for _, grant := range []alter.Grant{{ID: g.ID, UserToken: w.token("alice")}, byLabel, byAccount} {
		a, err := w.proxied(alter.ProxyRequest{Grant: grant, Method: http.MethodGet, URL: w.ok("/me")})
		if err != nil {
			return nil, err
		}
		told = append(told, a)
	}
	return told, nil
}

func proxyErrors(w *world) (any, error) {
	w.grant(altertest.Grant{})
	var told []any
	for _, mode := range []string{"401", "403scope", "500"} {
		a, err := w.proxied(alter.ProxyRequest{Grant: w.google(), Method: http.MethodGet, URL: w.vault.ProviderURL(mode) + "/me"})
		if err != nil {
			return nil, err
		}
		told = append(told, a)
	}
	return told, nil
}

func approve(v *altertest.Vault, id string) bool { return v.Approve(id) }
func deny(v *altertest.Vault, id string) bool    { return v.Deny(id, "not today") }
func expire(v *altertest.Vault, id string) bool  { return v.ExpireApproval(id) }

// pending makes a call that people have to approve.
func (w *world) pending(r alter.ProxyRequest) *alter.PendingApproval {
	w.t.Helper()
	r.Grant = w.google()
	a, err := w.Proxy(w.ctx, r)
	if err != nil || a.Pending == nil {
		w.t.Fatalf("no approval is asked for: %v, %v", a, err)
	}
	return a.Pending
}

// state asks how far an approval is.
func (w *world) state(id string) alter.ApprovalState {
	w.t.Helper()
	s, err := w.ApprovalStatus(w.ctx, id, 0)
	if err != nil {
		w.t.Fatalf("ApprovalStatus: %v", err)
	}
	return s.State
}

// awaited is the end of an approval.
func (w *world) awaited(id string, timeout time.Duration) any {
	w.t.Helper()
	r, err := w.AwaitApproval(w.ctx, id, alter.AwaitApprovalOptions{AwaitOptions: alter.AwaitOptions{Timeout: timeout}})
	if err != nil {
		return failure(w.t, err)
	}
	end, err := answer(r.Status, r.Body)
	return outcomeOf(w, end, err)
}

// decided is a step in which people decide, gate by gate.
func decided(gates int, decisions ...func(*altertest.Vault, string) bool) step {
	return step{waits: true, do: func(w *world) (any, error) {
		w.grant(altertest.Grant{Gates: gates})
		p := w.pending(alter.ProxyRequest{Method: http.MethodPost, URL: w.ok("/send"), Body: json.RawMessage(`{"t":1}`)})
		seen := []alter.ApprovalState{w.state(p.ID)}
		for i, decide := range decisions {
			if !decide(w.vault, p.Gates[i].ID) {
				w.t.Error("there was nothing to decide")
			}
			seen = append(seen, w.state(p.ID))
		}
		return object{"gates": len(p.Gates), "seen": seen, "end": w.awaited(p.ID, 10*time.Second)}, nil
	}}
}

func approvedMeanwhile(w *world) (any, error) {
	w.grant(altertest.Grant{Gates: 1})
	p := w.pending(alter.ProxyRequest{Method: http.MethodGet, URL: w.ok("/me")})
	decided := make(chan struct{})
	go func() {
		defer close(decided)
		w.until(func(c altertest.Call) bool { return strings.HasSuffix(c.Path, p.ID) })
		approve(w.vault, p.ID)
	}()
	end := w.awaited(p.ID, 20*time.Second)
	<-decided
	return end, nil
}

func approvedCallFails(w *world) (any, error) {
	w.grant(altertest.Grant{Gates: 1})
	p := w.pending(alter.ProxyRequest{Method: http.MethodGet, URL: w.vault.ProviderURL("cut") + "/me"})
	approve(w.vault, p.ID)
	s, err := w.ApprovalStatus(w.ctx, p.ID, 0)
	if err != nil {
		return nil, err
	}
	return []any{s.State, s.HasResult, w.awaited(p.ID, 5*time.Second)}, nil
}

func approvalUnknown(w *world) (any, error) {
	_, err := w.ApprovalStatus(w.ctx, "22222222-2222-4222-8222-222222222222", 0)
	return nil, err
}

func approvalTimedOut(w *world) (any, error) {
	w.grant(altertest.Grant{Gates: 1})
	p := w.pending(alter.ProxyRequest{Method: http.MethodGet, URL: w.ok("/me")})
	return w.awaited(p.ID, 500*time.Millisecond), context.Cause(w.ctx)
}
