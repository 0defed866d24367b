package alter_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

// ask is a request to a provider in retrieve mode.
type ask struct {
	method, url string // GET
	use         alter.Use
	header      map[string]string
	body        string
}

// request makes one, and returns status and body.
func (w *world) request(a ask) (int, []byte, error) {
	if a.method == "" {
		a.method = http.MethodGet
	}
	var body io.Reader
	if a.body != "" {
		body = strings.NewReader(a.body)
	}
	req, err := http.NewRequestWithContext(w.ctx, a.method, a.url, body)
	if err != nil {
		return 0, nil, err
	}
	for name, value := range a.header {
		req.Header[name] = []string{value} // as it is written
	}
	resp, err := w.Do(req, a.use)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, text, err
}

// get is a step with one request to /ok/me, by a grant.
func get(grants []altertest.Grant, which func(*world, []altertest.Grant) alter.Grant) step {
	return step{do: func(w *world) (any, error) {
		var added []altertest.Grant
		for _, g := range grants {
			added = append(added, w.grant(g))
		}
		return w.answer(ask{url: w.ok("/me"), use: alter.Use{Grant: which(w, added)}})
	}}
}

func (w *world) answer(a ask) (any, error) {
	status, body, err := w.request(a)
	if err != nil {
		return nil, err
	}
	return answer(status, body)
}

func ofGoogle(w *world, _ []altertest.Grant) alter.Grant { return w.google() }

func by(c alter.Caller, s step) step {
	s.caller = c
	return s
}

func callSteps() map[string]step {
	two := []altertest.Grant{{Label: "work", Account: "w@example.com"}, {Label: "home", Account: "h@example.com"}}
	one := []altertest.Grant{{}}
	bot := alter.Caller{Name: altertest.AgentID(researchBot), Type: alter.CallerAgent}
	steps := map[string]step{
		"request by provider": get(one, ofGoogle),
		"request by label": get(two, func(w *world, _ []altertest.Grant) alter.Grant {
			g := w.google()
			g.Label = "home"
			return g
		}),
		"request by account": get(two, func(w *world, _ []altertest.Grant) alter.Grant {
			g := w.google()
			g.Account = "w@example.com"
			return g
		}),
		"request by grant": get(one, func(w *world, added []altertest.Grant) alter.Grant {
			return alter.Grant{ID: added[0].ID, UserToken: w.token("alice")}
		}),
		"request with the token of the call": get(one, ofGoogle),
		"user token that has expired": get(one, func(w *world, _ []altertest.Grant) alter.Grant {
			return alter.Grant{Provider: "google", UserToken: vaultclient.NewSecret(w.vault.UserToken("alice", -time.Second))}
		}),
		"request of the app itself":                        {do: appsOwn},
		"path and query parameters":                        {do: parameters},
		"every method":                                     {do: everyMethod},
		"reason and context":                               {do: reasonAndContext},
		"caller, and the actor id from the second call on": {do: twoCalls, caller: alter.Caller{Name: "my-mcp"}},
		"caller of the call":                               {do: callerOfTheCall, caller: alter.Caller{Name: "my-mcp"}},
		"caller of type agent":                             by(alter.Caller{Name: "bot", Type: alter.CallerAgent}, get(one, ofGoogle)),
		"caller that is an unknown agent":                  by(alter.Caller{Name: "11111111-1111-4111-8111-111111111111", Type: alter.CallerAgent}, get(one, ofGoogle)),
		"agent to which nothing was delegated":             by(bot, get(one, ofGoogle)),
		"agent to which the grant was delegated":           by(bot, get([]altertest.Grant{{Delegated: []string{bot.Name}}}, ofGoogle)),
		"no grant":                                         get(nil, ofGoogle),
		"ambiguous grant":                                  get([]altertest.Grant{{Label: "a", Account: "a@example.com"}, {Label: "b", Account: "b@example.com"}}, ofGoogle),
		"expired grant":                                    get([]altertest.Grant{{State: "expired"}}, ofGoogle),
		"revoked grant":                                    get([]altertest.Grant{{State: "revoked"}}, ofGoogle),
		"deleted grant":                                    get([]altertest.Grant{{State: "deleted"}}, ofGoogle),
		"revoked credential":                               get([]altertest.Grant{{State: "credential_revoked"}}, ofGoogle),
		"restricted grant":                                 get([]altertest.Grant{{NeedsProxy: "restricted_grant_requires_proxy"}}, ofGoogle),
		"grant that needs approval":                        get([]altertest.Grant{{Gates: 1}}, ofGoogle),
		"flag scope_mismatch and a provider's 403":         atProvider("403/me", altertest.Grant{ScopeMismatch: true}),
		"provider cuts the connection":                     atProvider("cut/me", altertest.Grant{}),
		"provider is too slow":                             {do: slowProvider},
		"constraint of scopes":                             constrained(alter.Constraints{Scopes: []string{"tokens:retrieve", "grants:read"}}),
		"rule of a request":                                constrained(alter.Constraints{Rule: denyPost()}),
		"scopes and rule, by the proxy":                    {do: constrainedProxy, caller: alter.Caller{Name: "my-mcp"}},
		"header of the caller in other letters than the injected one": {do: otherLetters},
		"last rate limit":           {do: lastRateLimit},
		"retries told by the vault": {do: retriesTold},
		"JSON body": sending(http.MethodPost, "/send", `{"text":"naïve <b> & ☃ 😀","n":[1,2.5,null,true],"o":{"deep":[]}}`,
			map[string]string{"Content-Type": "application/json", "X-Trace": "t1"}),
		"body of bytes":                     sending(http.MethodPut, "/file", "plain text", map[string]string{"Content-Type": "text/plain"}),
		"body of bytes that are no text":    statusOf(sending(http.MethodPut, "/file", strings.Repeat("\xff\x00", 8), map[string]string{"Content-Type": "application/octet-stream"})),
		"body above the limit of the audit": statusOf(sending(http.MethodPut, "/file", strings.Repeat("x", 10001), map[string]string{"Content-Type": "text/plain"})),
	}
	for _, mode := range []string{"401", "403scope", "403", "429", "404", "500", "503"} {
		steps["provider answers "+mode] = atProvider(mode+"/me", altertest.Grant{})
	}
	return steps
}

func appsOwn(w *world) (any, error) {
	w.vault.AddGrant(altertest.Grant{Provider: "google"})
	return w.answer(ask{url: w.ok("/me"), use: alter.Use{Grant: alter.Grant{Provider: "google"}}})
}

func parameters(w *world) (any, error) {
	w.grant(altertest.Grant{})
	target := w.ok("/users/" + url.PathEscape("a/b?c#d %é") + "/mail?lost=1&q=x+y%26z&n=2&list=a&list=b&flag=true")
	return w.answer(ask{url: target, use: alter.Use{Grant: w.google()}})
}

func sending(method, path, body string, header map[string]string) step {
	return step{do: func(w *world) (any, error) {
		w.grant(altertest.Grant{})
		return w.answer(ask{method: method, url: w.ok(path), body: body, header: header, use: alter.Use{Grant: w.google()}})
	}}
}

// statusOf leaves out the body of the outcome.
func statusOf(s step) step {
	do := s.do
	s.do = func(w *world) (any, error) {
		outcome, err := do(w)
		if told, ok := outcome.(object); ok {
			return told["status"], err
		}
		return outcome, err
	}
	return s
}

func everyMethod(w *world) (any, error) {
	w.grant(altertest.Grant{})
	var told []string
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		_, body, err := w.request(ask{method: method, url: w.ok("/m"), use: alter.Use{Grant: w.google()}})
		if err != nil {
			return nil, err
		}
		var said struct{ Method string }
		if err := json.Unmarshal(body, &said); err != nil {
			return nil, err
		}
		told = append(told, said.Method)
	}
	return told, nil
}

func reasonAndContext(w *world) (any, error) {
	w.grant(altertest.Grant{})
	w.ctx = alter.WithAuditContext(w.ctx, map[string]string{"tool": "café", "run_id": "r-1"})
	return w.answer(ask{url: w.ok("/me"), use: alter.Use{Grant: w.google(), Reason: "why — daily"}})
}

func twoCalls(w *world) (any, error) {
	w.grant(altertest.Grant{})
	for range 2 {
		if _, _, err := w.request(ask{url: w.ok("/me"), use: alter.Use{Grant: w.google()}}); err != nil {
			return nil, err
		}
	}
	calls := w.vault.Calls()
	return slices.ContainsFunc(calls[len(calls)-1].Header, func(h altertest.Header) bool {
		return strings.EqualFold(h.Name, "X-Alter-Actor-Id") && h.Value != ""
	}), nil
}

func callerOfTheCall(w *world) (any, error) {
	w.grant(altertest.Grant{})
	return w.answer(ask{url: w.ok("/me"), use: alter.Use{Grant: w.google(), Caller: &alter.Caller{Name: "one-shot"}}})
}

func atProvider(path string, g altertest.Grant) step {
	return step{do: func(w *world) (any, error) {
		w.grant(g)
		mode, rest, _ := strings.Cut(path, "/")
		return w.answer(ask{url: w.vault.ProviderURL(mode) + "/" + rest, use: alter.Use{Grant: w.google()}})
	}}
}

func slowProvider(w *world) (any, error) {
	w.grant(altertest.Grant{})
	var cancel context.CancelFunc
	w.ctx, cancel = context.WithTimeout(w.ctx, time.Second)
	defer cancel()
	return w.answer(ask{url: w.vault.ProviderURL("slow") + "/me?ms=5000", use: alter.Use{Grant: w.google()}})
}

func denyPost() *alter.Rule {
	return &alter.Rule{Type: "json_match", Body: json.RawMessage(`{"when":{"method":"POST"},"effect":"deny"}`)}
}

func constrained(con alter.Constraints) step {
	return step{do: func(w *world) (any, error) {
		w.grant(altertest.Grant{})
		var err error
		if w.Client, err = w.WithConstraints(con); err != nil {
			return nil, err
		}
		return w.answer(ask{url: w.ok("/me"), use: alter.Use{Grant: w.google()}})
	}}
}

func constrainedProxy(w *world) (any, error) {
	w.grant(altertest.Grant{})
	var err error
	w.Client, err = w.WithConstraints(alter.Constraints{Scopes: []string{"proxy:execute"}, Rule: denyPost()})
	if err != nil {
		return nil, err
	}
	return w.proxied(alter.ProxyRequest{Grant: w.google(), Method: http.MethodGet, URL: w.ok("/me")})
}

// proxied is the provider's answer to a call by the vault.
func (w *world) proxied(r alter.ProxyRequest) (any, error) {
	a, err := w.Proxy(w.ctx, r)
	if err != nil {
		return nil, err
	}
	if a.Result == nil {
		return nil, fmt.Errorf("the call waits for the approval %s", a.Pending.ID)
	}
	return answer(a.Result.Status, a.Result.Body)
}

func otherLetters(w *world) (any, error) {
	w.grant(altertest.Grant{Injection: altertest.Injection{InjectHeader: "X-Token", InjectFormat: "{token}"}})
	return w.answer(ask{url: w.ok("/me"), header: map[string]string{"x-token": "mine"}, use: alter.Use{Grant: w.google()}})
}

func lastRateLimit(w *world) (any, error) {
	w.grant(altertest.Grant{})
	_, _, err := w.request(ask{url: w.ok("/me"), use: alter.Use{Grant: w.google()}})
	limit, _ := w.RateLimit()
	return []int{limit.Limit, limit.Remaining}, err
}

func retriesTold(w *world) (any, error) {
	w.grant(altertest.Grant{})
	tries := `{"total_attempts":2,"successful_attempt":2,"errors":[{"attempt":1,"error":"x","error_type":"T","delay_s":0.5,"permanent":false}]}`
	w.vault.AddFault(altertest.Fault{Path: "/sdk/token", Set: map[string]json.RawMessage{"retry_info": json.RawMessage(tries)}})
	_, _, err := w.request(ask{url: w.ok("/me"), use: alter.Use{Grant: w.google()}})
	return nil, err
}
