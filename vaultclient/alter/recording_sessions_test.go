package alter_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

// signInSteps are those in which a person logs in.
func signInSteps() map[string]step {
	alice := func(w *world, session string) bool { return w.vault.CompleteSignIn(session, "alice", time.Hour) }
	steps := map[string]step{
		"auth session": {do: authSession},
		"auth session, polled until the person has logged in": logIn(alice),
		"auth session, expired":                               logIn(func(w *world, session string) bool { return w.vault.ExpireSignIn(session) }),
		"auth session, poll survives a 503":                   {do: pollSurvives, waits: true},
		"user token, verified and not":                        {do: verified},
		"identity":                                            {do: identity, caller: alter.Caller{Name: "my-mcp"}},
		"identity without a person":                           {do: identityOfNobody},
		"assertion of an identity":                            {do: assertion},
	}
	for _, code := range []string{"access_denied", "service_unavailable", "identity_provider_inactive", "identity_group_name_ambiguous"} {
		steps["auth session ends with "+code] = logIn(func(w *world, session string) bool {
			return w.vault.FailSignIn(session, code, "the sign-in failed")
		})
	}
	return steps
}

func authSession(w *world) (any, error) {
	s, err := w.CreateAuthSession(w.ctx)
	if err != nil {
		return nil, err
	}
	return []any{
		strings.HasPrefix(s.Token.Reveal(), "auth_sess_"), strings.HasPrefix(s.URL, w.vault.Issuer()), s.ExpiresIn.Seconds(),
	}, nil
}

// logIn is a step in which end comes while somebody polls.
func logIn(end func(*world, string) bool) step {
	return step{waits: true, do: func(w *world) (any, error) {
		s, err := w.CreateAuthSession(w.ctx)
		if err != nil {
			return nil, err
		}
		go func() {
			w.until(func(c altertest.Call) bool { return c.Path == "/sdk/auth/poll" && c.Status == 0 })
			if !end(w, s.Token.Reveal()) {
				w.t.Error("there was no session to end")
			}
		}()
		r, err := w.AwaitAuthSession(w.ctx, s.Token, alter.AwaitOptions{Timeout: 20 * time.Second})
		if err != nil {
			return nil, err
		}
		subject, err := w.VerifyUserToken(w.ctx, r.UserToken)
		return object{"info": r.UserInfo, "subject": subject}, err
	}}
}

func pollSurvives(w *world) (any, error) {
	s, err := w.CreateAuthSession(w.ctx)
	if err != nil {
		return nil, err
	}
	w.vault.CompleteSignIn(s.Token.Reveal(), "alice", time.Hour)
	w.vault.AddFault(altertest.Fault{Path: "/sdk/auth/poll", Status: 503, Body: []byte(`{"error":"unavailable","message":"m"}`)})
	r, err := w.AwaitAuthSession(w.ctx, s.Token, alter.AwaitOptions{Timeout: 20 * time.Second, Interval: 50 * time.Millisecond})
	if err != nil {
		return nil, err
	}
	return r.UserInfo, nil
}

func verified(w *world) (any, error) {
	var told []any
	for _, token := range []string{
		w.token("alice").Reveal(), w.vault.UserToken("alice", -time.Second), w.token("alice").Reveal() + "x",
	} {
		subject, err := w.VerifyUserToken(w.ctx, vaultclient.NewSecret(token))
		if errors.Is(err, alter.ErrUserTokenRejected) {
			told = append(told, nil)
			continue
		}
		told = append(told, outcomeOf(w, subject, err))
	}
	return told, nil
}

func identity(w *world) (any, error) {
	var told []any
	for _, profile := range []bool{false, true} {
		who, err := w.ResolveIdentity(w.ctx, alter.IdentityQuery{UserToken: w.token("alice"), Profile: profile})
		if err != nil {
			return nil, err
		}
		told = append(told, []any{who.Subject, who.UserStatus, append([]string{}, who.Groups...), orNull(who.Email)})
	}
	return told, nil
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func identityOfNobody(w *world) (any, error) {
	who, err := w.ResolveIdentity(w.ctx, alter.IdentityQuery{})
	if err != nil {
		return nil, err
	}
	return orNull(who.AppUserID), nil
}

func assertion(w *world) (any, error) {
	var told []any
	for _, how := range []struct {
		ttl     time.Duration
		profile bool
	}{{0, false}, {30 * time.Second, true}} {
		a, err := w.AssertIdentity(w.ctx, alter.IdentityQuery{UserToken: w.token("alice"), Profile: how.profile},
			alter.AssertionOptions{Audience: "https://memory.example.com", TTL: how.ttl})
		if err != nil {
			return nil, err
		}
		told = append(told, []any{a.Token.Reveal() != "", a.Identity.Subject, orNull(a.Identity.Email)})
	}
	return told, nil
}

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
	form := url.Values{"session": {s.Token.Reveal()}, "decision": {"agree"}, "account": {"a@example.com"}}
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

// grantSteps are those that manage grants and secrets.
func grantSteps() map[string]step {
	return map[string]step{
		"managed secret, granted to a person and to the app":        {do: secretGrants},
		"managed secret's connect session":                          {do: secretSession},
		"managed secret's connect session with all options":         {do: secretSessionOptions},
		"managed secret's connect session that repairs a grant":     {do: secretSessionRepair},
		"managed secret's connect session with a life for an agent": {do: secretSessionLife},
		"list of grants":               {do: listGrants},
		"list of grants, page by page": {do: listPages},
		"revocation":                   {do: revocation},
		"sibling of a grant":           {do: sibling},
		"end of a delegation": {do: func(w *world) (any, error) {
			bot := altertest.AgentID(researchBot)
			return nil, w.EndDelegation(w.ctx, w.grant(altertest.Grant{Delegated: []string{bot}}).ID, bot)
		}},
	}
}

func secretGrants(w *world) (any, error) {
	w.vault.AddGrant(altertest.Grant{Provider: "acme", Secret: true})
	page, err := w.ListGrants(w.ctx, alter.GrantFilter{})
	if err != nil {
		return nil, err
	}
	id := page.Grants[0].Secret.ID
	var told []any
	for _, o := range []alter.SecretGrantOptions{
		{Principal: alter.Principal{UserToken: w.token("alice"), Label: "mine"}},
		{Principal: alter.Principal{Label: "nightly"}, Policy: alter.GrantBounds{MaxTTL: time.Hour}},
	} {
		g, err := w.CreateSecretGrant(w.ctx, id, o)
		if err != nil {
			return nil, err
		}
		told = append(told, g.PrincipalType, g.Label)
	}
	return told, nil
}

func secretSession(w *world) (any, error) {
	s, err := w.CreateSecretConnectSession(w.ctx, alter.SecretConnectOptions{Provider: "acme", UserToken: w.token("alice")})
	if err != nil {
		return nil, err
	}
	return []any{s.Path, s.Direct, s.Slug}, nil
}

func secretSessionOptions(w *world) (any, error) {
	s, err := w.CreateSecretConnectSession(w.ctx, alter.SecretConnectOptions{
		Provider: "acme", UserToken: w.token("alice"), Agent: altertest.AgentID(researchBot), Delegable: true,
		Label: "work", Policy: alter.GrantBounds{MaxTTL: 24 * time.Hour, DefaultTTL: time.Hour},
		Direct: true, NoUserRules: true, AllowedOrigin: "https://app.example.com", ReturnURL: "https://app.example.com/back",
	})
	if err != nil {
		return nil, err
	}
	return []any{s.Path, s.Direct, s.DelegableRequested, s.Slug}, nil
}

func secretSessionRepair(w *world) (any, error) {
	g := w.grant(altertest.Grant{Provider: "acme", Secret: true, State: "credential_revoked"})
	s, err := w.CreateSecretConnectSession(w.ctx, alter.SecretConnectOptions{
		Provider: "acme", UserToken: w.token("alice"), RepairGrantID: g.ID, Direct: true,
	})
	if err != nil {
		return nil, err
	}
	return []any{s.Path, s.ExistingGrantID == g.ID}, nil
}

func secretSessionLife(w *world) (any, error) {
	bot := altertest.AgentID(researchBot)
	s, err := w.CreateSecretConnectSession(w.ctx, alter.SecretConnectOptions{
		Provider: "acme", UserToken: w.token("alice"), Agent: bot, RequestedTTL: time.Hour,
	})
	if err != nil {
		return nil, err
	}
	return []any{s.Path, s.AgentID == bot}, nil
}

func listGrants(w *world) (any, error) {
	w.grant(altertest.Grant{})
	w.grant(altertest.Grant{Provider: "acme", Secret: true})
	w.grant(altertest.Grant{Person: "bob"})
	w.grant(altertest.Grant{Provider: "slack", Label: "work", Account: "w", State: "revoked"})
	var told []any
	for _, f := range []alter.GrantFilter{
		{UserToken: w.token("alice")},
		{UserToken: w.token("alice"), Provider: "slack", Status: "revoked", Account: "w", Label: "work", Limit: 5},
		{UserToken: w.token("bob"), Limit: 1},
	} {
		page, err := w.ListGrants(w.ctx, f)
		if err != nil {
			return nil, err
		}
		var grants []any
		for _, g := range page.Grants {
			grants = append(grants, []any{g.Kind, g.Account, g.Status})
		}
		told = append(told, []any{page.Total, page.HasMore, grants})
	}
	return told, nil
}

func listPages(w *world) (any, error) {
	for _, person := range []string{"alice", "bob", "carol"} {
		w.grant(altertest.Grant{Person: person})
	}
	var told []any
	for _, offset := range []int{0, 2} {
		page, err := w.ListGrants(w.ctx, alter.GrantFilter{Limit: 2, Offset: offset})
		if err != nil {
			return nil, err
		}
		told = append(told, []any{page.Total, page.HasMore, len(page.Grants)})
	}
	return told, nil
}

func revocation(w *world) (any, error) {
	g, other := w.grant(altertest.Grant{}), w.grant(altertest.Grant{Person: "bob"})
	var told []any
	for _, r := range []struct{ id, reason string }{{g.ID, ""}, {g.ID, "left"}, {other.ID, ""}} {
		_, err := w.RevokeGrant(w.ctx, r.id, alter.RevokeOptions{Reason: r.reason, UserToken: w.token("alice")})
		told = append(told, outcomeOf(w, err == nil, err))
	}
	return told, nil
}

func sibling(w *world) (any, error) {
	g := w.grant(altertest.Grant{Label: "work"})
	minted, err := w.MintGrant(w.ctx, g.ID, alter.MintOptions{Label: "read-only"})
	if err != nil {
		return nil, fmt.Errorf("the first: %w", err)
	}
	tagged := alter.MintOptions{Label: "tagged", Policy: alter.GrantBounds{MaxTTL: time.Minute}, Tags: []string{"a"}}
	if _, err := w.MintGrant(w.ctx, g.ID, tagged); err != nil {
		return nil, fmt.Errorf("the tagged one: %w", err)
	}
	_, err = w.MintGrant(w.ctx, g.ID, alter.MintOptions{Label: "read-only"})
	return []any{minted.Label, minted.Status, outcomeOf(w, any(nil), err)}, nil
}
