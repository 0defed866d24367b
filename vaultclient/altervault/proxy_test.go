package altervault_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/altervault"
)

// A grant that works by the vault alone is used through it, without anybody
// asking for that; a tool that insists on the other way is told.
func TestRestrictedGrantGoesThroughTheVault(t *testing.T) {
	for _, code := range []string{"restricted_grant_requires_proxy", "delegated_grant_requires_proxy", "user_limits_require_proxy"} {
		t.Run(code, func(t *testing.T) {
			e := newEnv(t)
			e.fake.AddGrant(altertest.Grant{Person: "alice", Provider: "google", NeedsProxy: code})
			a, status, err := e.sendBody(t.Context(), http.MethodPost, "ok", `{"x":[1,2]}`, e.use())
			want := answer{Person: "alice", Account: "alice@google", Method: "POST", Query: "q=1"}
			if diff := cmp.Diff(want, a); err != nil || status != 200 || diff != "" {
				t.Errorf("Send: %d %v, answer (-want +got):\n%s", status, err, diff)
			}
			if hits := e.fake.Hits(); len(hits) != 1 || string(hits[0].Body) != `{"x":[1,2]}` || hits[0].Credentials != 1 {
				t.Errorf("the provider got %+v, want one request with its body", hits)
			}
			_, _, err = e.send(t.Context(), "ok", e.use(func(u *altervault.Use) { u.Mode = altervault.ModeRetrieve }))
			var told *altervault.ModelError
			if !errors.As(err, &told) || !strings.Contains(told.Message, "through the vault only") {
				t.Errorf("Send in retrieve mode: %v, want that it needs the vault", err)
			}
		})
	}
}

// In proxy mode nothing but JSON has a way, and no credential comes here.
func TestProxyMode(t *testing.T) {
	e := newEnv(t, func(c *altervault.Config) { c.Mode = altervault.ModeProxy })
	e.fake.AddGrant(altertest.Grant{Person: "alice", Provider: "google"})
	e.works(e.use(func(u *altervault.Use) { u.Reason = "because" }))
	if n := e.fake.Count("/sdk/token"); n != 0 {
		t.Errorf("%d tokens were fetched", n)
	}
	if body := e.calls("/sdk/proxy")[0]; body["reason"] != "because" || body["user_token"] == "" || body["provider_id"] != "google" {
		t.Errorf("the vault got %v", body)
	}
	for name, body := range map[string]struct{ kind, text, want string }{
		"a form":   {"application/x-www-form-urlencoded", "a=1", "no bodies but JSON"},
		"too much": {"application/json", `"` + strings.Repeat("x", 1<<20) + `"`, "too large for the vault"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.fake.ProviderURL("ok"), strings.NewReader(body.text))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", body.kind)
		var told *altervault.ModelError
		if _, err := e.vault.Send(req, e.use()); !errors.As(err, &told) || !strings.Contains(told.Message, body.want) {
			t.Errorf("%s: %v, want %q", name, err, body.want)
		}
	}
	e.fake.AddFault(altertest.Fault{Path: "/sdk/proxy", Set: map[string]json.RawMessage{"body_truncated": json.RawMessage("true")}})
	var told *altervault.ModelError
	if _, _, err := e.send(t.Context(), "ok", e.use()); !errors.As(err, &told) || !strings.Contains(told.Message, "larger than the vault passes on") {
		t.Errorf("half an answer: %v, want that it is one", err)
	}
}

// A call of an agent carries it as the caller, and a name never becomes one.
func TestAgent(t *testing.T) {
	e := newEnv(t)
	e.fake.AddGrant(altertest.Grant{Person: "alice", Provider: "google", Delegated: []string{altertest.AgentID(agentName)}})
	e.works(e.use(func(u *altervault.Use) { u.Agent = agentName }))
	e.works(e.use())
	var callers []string
	for _, c := range e.fake.Calls() {
		caller := ""
		for _, h := range c.Header {
			if strings.EqualFold(h.Name, "X-Alter-Caller") || strings.EqualFold(h.Name, "X-Alter-Caller-Type") {
				caller += h.Value + " "
			}
		}
		callers = append(callers, caller)
	}
	if len(callers) != 2 || !strings.Contains(callers[0], agentName) || !strings.Contains(callers[0], "agent") || strings.TrimSpace(callers[1]) != "tests service" {
		t.Errorf("callers %q, want the agent, and then the service", callers)
	}
}

// Constraints go with the call that has them, and with no other.
func TestConstraints(t *testing.T) {
	e := newEnv(t)
	e.fake.AddGrant(altertest.Grant{Person: "alice", Provider: "google"})
	narrow := func(u *altervault.Use) {
		u.Constraints, u.Mode = []string{"proxy:execute", "audit:emit"}, altervault.ModeProxy
	}
	e.works(e.use(narrow))
	e.works(e.use(narrow))
	e.works(e.use(func(u *altervault.Use) { u.Mode = altervault.ModeProxy }))
	var got []string
	for _, c := range e.fake.Calls() {
		value := ""
		for _, h := range c.Header {
			if strings.EqualFold(h.Name, "X-Alter-Scope-Constraints") {
				value = h.Value
			}
		}
		got = append(got, value)
	}
	if diff := cmp.Diff([]string{"proxy:execute,audit:emit", "proxy:execute,audit:emit", ""}, got); diff != "" {
		t.Errorf("constraints (-want +got):\n%s", diff)
	}
}

// A rule is signed with the call that it is for, and with no other; nothing is kept
// of a call under one.
func TestVaultRule(t *testing.T) {
	e := newEnv(t)
	e.fake.AddGrant(altertest.Grant{Person: "alice", Provider: "google"})
	const body = `{"when":{"method":"POST"},"effect":"deny"}`
	under := e.use(func(u *altervault.Use) { u.Rule = &alter.Rule{Type: "json_match", Body: json.RawMessage(body)} })
	for _, use := range []altervault.Use{under, under, e.use(), e.use()} {
		e.works(use)
	}
	rule := base64.RawURLEncoding.EncodeToString([]byte(`{"rule_type":"json_match","rule_body":` + body + `}`))
	var got []string
	for _, c := range e.fake.Calls() {
		if c.Path != "/sdk/token" {
			continue
		}
		value := ""
		for _, h := range c.Header {
			if strings.EqualFold(h.Name, "X-Alter-Request-Rule") {
				value = h.Value
			}
		}
		got = append(got, value)
	}
	if diff := cmp.Diff([]string{rule, rule, ""}, got); diff != "" {
		t.Errorf("rules of token calls (-want +got):\n%s", diff)
	}
}

// A refused token of a person is replaced once, or leads to a login.
func TestUserTokenRefused(t *testing.T) {
	for _, mode := range []string{altervault.ModeRetrieve, altervault.ModeProxy} {
		t.Run(mode, func(t *testing.T) {
			e := newEnv(t)
			e.fake.AddGrant(altertest.Grant{Person: "alice", Provider: "google"})
			use := e.use(func(u *altervault.Use) { u.Mode = mode })
			e.tokens.set("alice", e.fake.UserToken("alice", -1))
			e.tokens.renewed = e.fake.UserToken("alice", 1<<40)
			a, _, err := e.sendBody(t.Context(), http.MethodPost, "ok", `{"x":1}`, use)
			if err != nil || a.Person != "alice" || e.tokens.refused != 1 || e.tokens.tooOld {
				t.Errorf("Send with a token that was renewed: %+v, %v after %d refusals", a, err, e.tokens.refused)
			}
			e.tokens.set("alice", e.fake.UserToken("alice", -1))
			if _, _, err := e.send(t.Context(), "ok", e.use(func(u *altervault.Use) { u.Mode, u.Label = mode, "new" })); !errors.Is(err, altervault.ErrLoginRequired) {
				t.Errorf("Send with a token that cannot be renewed: %v, want ErrLoginRequired", err)
			}
			e.tokens.set("alice", e.fake.UserToken("alice", -1))
			e.tokens.renewed = e.fake.UserToken("alice", -2)
			if _, _, err := e.send(t.Context(), "ok", e.use(func(u *altervault.Use) { u.Mode, u.Label = mode, "newer" })); !errors.Is(err, altervault.ErrLoginRequired) {
				t.Errorf("Send with two tokens that are refused: %v, want ErrLoginRequired", err)
			}
			for _, h := range e.fake.Hits() {
				if h.Person != "alice" {
					t.Errorf("a request reached the provider as %q", h.Person)
				}
			}
		})
	}
}

// A fresh login that the vault insists on is told the client by the first answer:
// what can be had by renewing the token is tried within the call.
func TestStepUp(t *testing.T) {
	for mode, path := range map[string]string{altervault.ModeRetrieve: "/sdk/token", altervault.ModeProxy: "/sdk/proxy"} {
		for name, tc := range map[string]struct {
			renewable bool
			refusals  int // by the vault; -1: of every token
			rejected  int // tokens
			login     bool
		}{
			"a renewed token is fresh enough": {true, 1, 1, false},
			"only a login will do":            {true, -1, 2, true},
			"a token that cannot be renewed":  {false, -1, 1, true},
		} {
			t.Run(mode+": "+name, func(t *testing.T) {
				e := newEnv(t)
				e.fake.AddGrant(altertest.Grant{Person: "alice", Provider: "google"})
				f := fault(403, "step_up_required", `"max_session_age_seconds":60`)
				f.Path, f.Times = path, tc.refusals
				e.fake.AddFault(f)
				if tc.renewable {
					e.tokens.renewed = e.fake.UserToken("alice", 1<<40)
				}
				a, _, err := e.sendBody(t.Context(), http.MethodPost, "ok", `{"x":1}`, e.use(func(u *altervault.Use) { u.Mode = mode }))
				if tc.login && !errors.Is(err, altervault.ErrLoginRequired) || !tc.login && (err != nil || a.Person != "alice") {
					t.Errorf("Send: %+v, %v; want a login: %v", a, err, tc.login)
				}
				if e.tokens.refused != tc.rejected {
					t.Errorf("%d tokens were rejected, want %d", e.tokens.refused, tc.rejected)
				}
				if !e.tokens.tooOld {
					t.Error("the login is not said to be too old")
				}
				if _, err := e.tokens.UserToken(t.Context(), "alice"); errors.Is(err, altervault.ErrLoginRequired) != tc.login {
					t.Errorf("the person's token after the call: %v; want none: %v", err, tc.login)
				}
			})
		}
	}
}
