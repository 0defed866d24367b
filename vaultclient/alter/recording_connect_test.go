package alter_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

// connectSteps are those in which a person agrees.
func connectSteps() map[string]step {
	steps := map[string]step{
		"connect session":                  opened(func(w *world) alter.ConnectOptions { return alter.ConnectOptions{} }, true, true, true),
		"connect session with all options": opened(allConnectOptions, true, true, false),
		"connect session for an agent": opened(func(*world) alter.ConnectOptions {
			yes := true
			return alter.ConnectOptions{
				Providers: []string{"google"}, Agent: researchBot, Delegable: &yes, ScopeConstraint: []string{"google:gmail.readonly"},
			}
		}, true, false, false),
		"connect session for an unknown agent": opened(func(*world) alter.ConnectOptions {
			return alter.ConnectOptions{Providers: []string{"google"}, Agent: "nobody"}
		}, true, false, false),
		"connect session with the token of the call": opened(func(*world) alter.ConnectOptions {
			return alter.ConnectOptions{Providers: []string{"google", "slack"}}
		}, true, false, false),
		"connect session that repairs a grant":                     {do: repairs, waits: true},
		"connect session for the error of a call":                  {do: connectForError},
		"connect session for a missing grant, then the call":       {do: connectForMissing, waits: true},
		"connect poll, both agreed":                                connect(altertest.ConnectResult{}),
		"connect poll, one failed":                                 connect(altertest.ConnectResult{Failed: map[string]string{"slack": "activation_failed"}}),
		"connect poll, all failed":                                 connect(altertest.ConnectResult{Failed: map[string]string{"slack": "not_selected", "google": "activation_failed"}}),
		"connect poll, policy not applied":                         connect(altertest.ConnectResult{Failed: map[string]string{"slack": "grant_policy_application_failed", "google": "activation_failed"}}),
		"connect poll, expired":                                    {do: connectExpires, waits: true},
		"connect poll, one declined before the other is agreed to": {do: oneDeclines, waits: true},
		"connect poll waits out a 429":                             {do: connectLimited, waits: true},
		"connect page, a person agrees":                            {do: connectPage, waits: true},
	}
	for _, code := range []string{"connect_denied", "connect_config_error", "invalid_client", "service_unavailable", "identity_provider_inactive", "anything_else"} {
		steps["connect poll ends with "+code] = connect(altertest.ConnectResult{Error: code})
	}
	return steps
}

// opened is a step that opens a session for alice and tells of it what is asked.
func opened(options func(*world) alter.ConnectOptions, single, direct, warnings bool) step {
	return step{do: func(w *world) (any, error) {
		o := options(w)
		o.UserToken = w.token("alice")
		s, err := w.CreateConnectSession(w.ctx, o)
		if err != nil {
			return nil, err
		}
		told := []any{}
		if single {
			told = append(told, s.SingleProvider)
		}
		if direct {
			told = append(told, s.Direct)
		}
		if warnings {
			told = append(told, append([]string{}, s.ScopeWarnings...))
		}
		if len(told) == 1 {
			return told[0], nil
		}
		return told, nil
	}}
}

func allConnectOptions(*world) alter.ConnectOptions {
	return alter.ConnectOptions{
		Providers: []string{"google"}, Direct: true, SwitchAccount: true, NoUserRules: true,
		ReturnURL: "https://app.example.com/back", AllowedOrigin: "https://app.example.com",
		IPAddress: "192.0.2.1", UserAgent: "Browser/1",
		Policy:         alter.GrantBounds{MaxTTL: 24 * time.Hour, DefaultTTL: time.Hour},
		RequiredScopes: map[string][]string{"google": {"gmail.send", "gmail.readonly"}},
		Requested:      &alter.RequestedGrant{Label: "work", Methods: []string{"GET"}, Endpoints: []string{"/v1/*"}},
	}
}

// session opens one for alice.
func (w *world) session(o alter.ConnectOptions) *alter.ConnectSession {
	w.t.Helper()
	o.UserToken = w.token("alice")
	s, err := w.CreateConnectSession(w.ctx, o)
	if err != nil {
		w.t.Fatalf("CreateConnectSession: %v", err)
	}
	return s
}

// connected awaits a session and tells its grants.
func (w *world) connected(s *alter.ConnectSession, o alter.AwaitConnectOptions) (any, error) {
	o.Timeout, o.Interval = 10*time.Second, 50*time.Millisecond
	r, err := w.AwaitConnectSession(w.ctx, s.Token, o)
	if err != nil {
		return nil, err
	}
	failed := []object{}
	for _, f := range r.Failed {
		failed = append(failed, object{"provider_id": f.Provider, "reason": f.Reason, "message": f.Message})
	}
	told := []any{}
	for _, g := range r.Grants {
		how := "creation"
		if g.Renewed {
			how = "reauth"
		}
		told = append(told, []any{g.Provider, g.Account, g.Scopes, how, failed})
	}
	return told, nil
}

func both() alter.ConnectOptions { return alter.ConnectOptions{Providers: []string{"google", "slack"}} }

// connect is a step in which a session ends so.
func connect(result altertest.ConnectResult) step {
	return step{waits: true, do: func(w *world) (any, error) {
		s := w.session(both())
		w.vault.CompleteConnect(s.Token.Reveal(), result)
		return w.connected(s, alter.AwaitConnectOptions{})
	}}
}

func connectExpires(w *world) (any, error) {
	s := w.session(both())
	w.vault.ExpireConnect(s.Token.Reveal())
	return w.connected(s, alter.AwaitConnectOptions{})
}

func connectLimited(w *world) (any, error) {
	w.vault.AddFault(altertest.Fault{
		Path: "/sdk/oauth/connect/session/poll", Status: 429, Header: map[string]string{"Retry-After": "1"},
		Body: []byte(`{"error":"rate_limit_exceeded","message":"m"}`),
	})
	s := w.session(both())
	w.vault.CompleteConnect(s.Token.Reveal(), altertest.ConnectResult{})
	return w.connected(s, alter.AwaitConnectOptions{})
}

func oneDeclines(w *world) (any, error) {
	s := w.session(both())
	w.vault.CompleteConnect(s.Token.Reveal(), altertest.ConnectResult{Declined: []string{"slack"}})
	var events [][]string
	told, err := w.connected(s, alter.AwaitConnectOptions{Declined: func(d alter.DeclinedProvider) {
		events = append(events, []string{"provider_declined", d.Provider, d.Code})
		w.vault.CompleteConnect(s.Token.Reveal(), altertest.ConnectResult{})
	}})
	if err != nil {
		return nil, err
	}
	return []any{events, len(told.([]any))}, nil
}

func connectPage(w *world) (any, error) {
	s := w.session(alter.ConnectOptions{Providers: []string{"google"}, Requested: &alter.RequestedGrant{Label: "work"}})
	form := url.Values{"session": {s.Token.Reveal()}, "decision": {"allow"}, "account": {"a@example.com"}}
	req, err := http.NewRequestWithContext(w.ctx, http.MethodPost, s.URL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	told, err := w.connected(s, alter.AwaitConnectOptions{})
	return []any{resp.StatusCode, told}, err
}

func repairs(w *world) (any, error) {
	g := w.grant(altertest.Grant{State: "credential_revoked"})
	s := w.session(alter.ConnectOptions{Providers: []string{"google"}, RepairGrantID: g.ID})
	w.vault.CompleteConnect(s.Token.Reveal(), altertest.ConnectResult{})
	return w.connected(s, alter.AwaitConnectOptions{})
}

// refused makes a call that the vault refuses and returns its error.
func (w *world) refused() *alter.Error {
	w.t.Helper()
	_, _, err := w.request(ask{url: w.ok("/me"), use: alter.Use{Grant: w.google()}})
	var e *alter.Error
	if !errors.As(err, &e) {
		w.t.Fatalf("the call is not refused: %v", err)
	}
	return e
}

func connectForError(w *world) (any, error) {
	w.grant(altertest.Grant{State: "credential_revoked"})
	e := w.refused()
	return w.session(alter.ConnectOptions{Providers: []string{e.Provider}, RepairGrantID: e.GrantID}).SingleProvider, nil
}

func connectForMissing(w *world) (any, error) {
	e := w.refused()
	s := w.session(alter.ConnectOptions{
		Providers: []string{e.Provider}, RequiredScopes: map[string][]string{"google": {"gmail.readonly"}},
	})
	w.vault.CompleteConnect(s.Token.Reveal(), altertest.ConnectResult{})
	told, err := w.connected(s, alter.AwaitConnectOptions{})
	if err != nil {
		return nil, err
	}
	status, _, err := w.request(ask{url: w.ok("/me"), use: alter.Use{Grant: w.google()}})
	return []any{told, status}, err
}
