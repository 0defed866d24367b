package alter

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

const (
	connectPath     = "/sdk/oauth/connect/session"
	connectPollPath = connectPath + "/poll"
	emptyConnect    = `"allowed_providers":null,"return_url":null,"allowed_origin":null,"metadata":null`
)

func connectConfig() altertest.Config {
	return altertest.Config{
		Agents: []altertest.Agent{{ID: altertest.AgentID("bot"), Name: "bot"}},
		Grants: []altertest.Grant{{Person: "alice", Provider: "google"}},
	}
}

func TestConnectOptions(t *testing.T) {
	yes, no := true, false
	one := func(o ConnectOptions) ConnectOptions {
		o.Providers = []string{"google"}
		return o
	}
	const google = `"allowed_providers":["google"],"return_url":null,"allowed_origin":null,"metadata":null`
	for name, c := range map[string]struct {
		options ConnectOptions
		person  string
		want    string // TOKEN is the user token, GRANT alice's grant
	}{
		"none":              {ConnectOptions{}, "", `{` + emptyConnect + `}`},
		"no providers":      {ConnectOptions{Providers: []string{}}, "", `{` + emptyConnect + `}`},
		"person":            {one(ConnectOptions{}), "alice", `{` + google + `,"user_token":"TOKEN"}`},
		"return and origin": {ConnectOptions{ReturnURL: "https://a.example/r", AllowedOrigin: "https://a.example"}, "", `{"allowed_providers":null,"return_url":"https://a.example/r","allowed_origin":"https://a.example","metadata":null}`},
		"address":           {ConnectOptions{IPAddress: "192.0.2.1"}, "", `{"allowed_providers":null,"return_url":null,"allowed_origin":null,"metadata":{"ip_address":"192.0.2.1"}}`},
		"user agent":        {ConnectOptions{UserAgent: "Fx"}, "", `{"allowed_providers":null,"return_url":null,"allowed_origin":null,"metadata":{"user_agent":"Fx"}}`},
		"direct":            {one(ConnectOptions{Direct: true}), "", `{` + google + `,"direct":true}`},
		"switch account":    {ConnectOptions{SwitchAccount: true}, "", `{` + emptyConnect + `,"switch_account":true}`},
		"no user rules":     {ConnectOptions{NoUserRules: true}, "", `{` + emptyConnect + `,"allow_user_policy_rules":false}`},
		"policy":            {ConnectOptions{Policy: GrantBounds{MaxTTL: time.Hour, DefaultTTL: time.Minute}}, "", `{` + emptyConnect + `,"grant_policy":{"max_ttl_seconds":3600,"default_ttl_seconds":60}}`},
		"scopes":            {ConnectOptions{RequiredScopes: map[string][]string{"google": {"a", "b"}}}, "", `{` + emptyConnect + `,"required_scopes":{"google":["a","b"]}}`},
		"label":             {ConnectOptions{Requested: &RequestedGrant{Label: "büro"}}, "", `{` + emptyConnect + `,"requested_grant":{"label":"b\u00fcro"}}`},
		"restrictions":      {ConnectOptions{Requested: &RequestedGrant{"l", []string{"GET"}, []string{"/a"}}}, "", `{` + emptyConnect + `,"requested_grant":{"label":"l","restrictions":{"allowed_methods":["GET"],"allowed_endpoints":["/a"]}}}`},
		"repair":            {one(ConnectOptions{RepairGrantID: "GRANT"}), "alice", `{` + google + `,"repair_grant_id":"GRANT","user_token":"TOKEN"}`},
		"agent":             {ConnectOptions{Agent: "bot", Delegable: &yes, ScopeConstraint: []string{"read"}}, "alice", `{` + emptyConnect + `,"agent":"bot","delegable":true,"scope_constraint":["read"],"user_token":"TOKEN"}`},
		"not delegable":     {ConnectOptions{Delegable: &no}, "", `{` + emptyConnect + `,"delegable":false}`},
	} {
		t.Run(name, func(t *testing.T) {
			v, client := startVault(t, connectConfig())
			grant := v.Grants()[0].ID
			if c.person != "" {
				c.options.UserToken = userToken(v, c.person)
			}
			if c.options.RepairGrantID != "" {
				c.options.RepairGrantID = grant
			}
			s, err := client.CreateConnectSession(t.Context(), c.options)
			if err != nil {
				t.Fatal(err)
			}
			if s.Token.IsZero() || s.URL == "" || s.ExpiresIn <= 0 || s.ExpiresAt.IsZero() || s.Direct != c.options.Direct {
				t.Errorf("session %+v", s)
			}
			want := strings.NewReplacer("TOKEN", c.options.UserToken.Reveal(), "GRANT", grant).Replace(c.want)
			if diff := cmp.Diff(want, lastBody(t, v, connectPath)); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConnectOptionsInvalid(t *testing.T) {
	token := vaultclient.NewSecret("t")
	for name, o := range map[string]ConnectOptions{
		"blank provider":        {Providers: []string{" "}},
		"direct without one":    {Direct: true},
		"direct with two":       {Direct: true, Providers: []string{"a", "b"}},
		"agent without person":  {Agent: "bot"},
		"constraint, no agent":  {ScopeConstraint: []string{"a"}},
		"empty constraint":      {Agent: "bot", UserToken: token, ScopeConstraint: []string{}},
		"wildcard constraint":   {Agent: "bot", UserToken: token, ScopeConstraint: []string{"*"}},
		"blank in constraint":   {Agent: "bot", UserToken: token, ScopeConstraint: []string{"a b"}},
		"long constraint":       {Agent: "bot", UserToken: token, ScopeConstraint: []string{strings.Repeat("a", maxAtom+1)}},
		"many constraints":      {Agent: "bot", UserToken: token, ScopeConstraint: slices.Repeat([]string{"a"}, maxAtoms+1)},
		"empty label":           {Requested: &RequestedGrant{}},
		"long label":            {Requested: &RequestedGrant{Label: strings.Repeat("ü", maxLabel+1)}},
		"scope with a blank":    {RequiredScopes: map[string][]string{"google": {"a b"}}},
		"scopes of nobody":      {RequiredScopes: map[string][]string{"": {"a"}}},
		"part of a second":      {Policy: GrantBounds{MaxTTL: time.Millisecond}},
		"negative life":         {Policy: GrantBounds{DefaultTTL: -time.Second}},
		"default above maximum": {Policy: GrantBounds{MaxTTL: time.Second, DefaultTTL: time.Minute}},
		"fixed end":             {Policy: GrantBounds{ExpiresAt: time.Unix(1, 0)}},
		"repair of no id":       {Providers: []string{"a"}, RepairGrantID: "x"},
		"repair of two":         {Providers: []string{"a", "b"}, RepairGrantID: someID},
		"repair and agent":      {Providers: []string{"a"}, RepairGrantID: someID, Agent: "bot", UserToken: token},
		"repair and label":      {Providers: []string{"a"}, RepairGrantID: someID, Requested: &RequestedGrant{Label: "l"}},
		"repair and switch":     {Providers: []string{"a"}, RepairGrantID: someID, SwitchAccount: true},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newTestClient(t, Config{Vault: canned{}}).CreateConnectSession(t.Context(), o)
			wantKind(t, err, ErrInvalid)
		})
	}
	o := ConnectOptions{Direct: true, Providers: []string{"GitHub", " github"}}
	if err := o.check(); err != nil {
		t.Errorf("the same provider twice: %v", err)
	}
}

func startConnect(t *testing.T, providers ...string) (*altertest.Vault, *Client, *ConnectSession) {
	t.Helper()
	v, c := startVault(t, connectConfig())
	s, err := c.CreateConnectSession(t.Context(), ConnectOptions{
		Providers: providers, UserToken: userToken(v, "alice"), Agent: "bot", RequiredScopes: map[string][]string{providers[0]: {"mail"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return v, c, s
}

func TestAwaitConnectSession(t *testing.T) {
	v, c, s := startConnect(t, "slack", "google")
	token := s.Token.Reveal()
	if r, err := c.PollConnectSession(t.Context(), s.Token); err != nil || !r.Pending {
		t.Fatalf("%+v, %v", r, err)
	}
	v.CompleteConnect(token, altertest.ConnectResult{Declined: []string{"google"}})
	var declined []string
	r, err := c.AwaitConnectSession(t.Context(), s.Token, AwaitConnectOptions{Declined: func(d DeclinedProvider) {
		declined = append(declined, d.Provider+" "+d.Code)
		v.CompleteConnect(token, altertest.ConnectResult{Account: "a@slack", Failed: map[string]string{"google": "not_selected"}})
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := &ConnectResult{
		Grants: []ConnectedGrant{{
			ID: r.Grants[0].ID, Provider: "slack", Account: "a@slack", Scopes: []string{"mail"},
			Delegation: &ConnectDelegation{AgentID: altertest.AgentID("bot")},
		}},
		Failed: []FailedGrant{{"google", "not_selected", "not connected: not_selected"}},
	}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"google access_denied"}, declined); diff != "" {
		t.Errorf("declined (-want +got):\n%s", diff)
	}
}

func TestConnectSessionEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end  altertest.ConnectResult
		kind Kind
		code string
	}{
		"denied":       {altertest.ConnectResult{Error: "connect_denied"}, ErrConnectDenied, "connect_denied"},
		"config":       {altertest.ConnectResult{Error: "invalid_client"}, ErrConnectConfig, "invalid_client"},
		"scopes":       {altertest.ConnectResult{Error: "managed_oauth_scope_approval_required"}, ErrConnectConfig, "managed_oauth_scope_approval_required"},
		"unavailable":  {altertest.ConnectResult{Error: "service_unavailable"}, ErrUnavailable, "service_unavailable"},
		"operator":     {altertest.ConnectResult{Error: "identity_provider_inactive"}, ErrOperator, "identity_provider_inactive"},
		"other":        {altertest.ConnectResult{Error: "whatever"}, ErrConnect, "whatever"},
		"not selected": {altertest.ConnectResult{Failed: map[string]string{"slack": "not_selected"}}, ErrConnect, "grant_activation_failed"},
		"not applied":  {altertest.ConnectResult{Failed: map[string]string{"slack": "limits"}}, ErrConnect, "grant_policy_application_failed"},
	} {
		t.Run(name, func(t *testing.T) {
			v, client, s := startConnect(t, "slack")
			v.CompleteConnect(s.Token.Reveal(), c.end)
			_, err := client.AwaitConnectSession(t.Context(), s.Token, AwaitConnectOptions{})
			if e := wantKind(t, err, c.kind); e.Code != c.code {
				t.Errorf("code %q, want %q", e.Code, c.code)
			}
			if n := v.Count(connectPollPath); n != 1 {
				t.Errorf("%d polls, want 1", n)
			}
		})
	}
	v, client, s := startConnect(t, "slack")
	v.ExpireConnect(s.Token.Reveal())
	_, err := client.AwaitConnectSession(t.Context(), s.Token, AwaitConnectOptions{})
	if e := wantKind(t, err, ErrConnectTimeout); e.Reason != "session_expired" {
		t.Errorf("reason %q", e.Reason)
	}
}

func TestAwaitConnectSessionSurvivesAndEnds(t *testing.T) {
	v, c, s := startConnect(t, "slack")
	v.AddFault(altertest.Fault{Path: connectPollPath, Status: 503, Body: json.RawMessage(`{}`), Times: 6})
	v.AddFault(altertest.Fault{Path: connectPollPath, Status: 429, Times: 6})
	v.AddFault(altertest.Fault{Path: connectPollPath, Cut: altertest.CutHalf, Times: 6})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		eventually(t, v, connectPollPath, 20)
		cancel()
	}()
	_, err := c.AwaitConnectSession(ctx, s.Token, AwaitConnectOptions{})
	if e := wantKind(t, err, ErrConnectTimeout); e.Reason != "poll_deadline_elapsed" || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	v.CompleteConnect(s.Token.Reveal(), altertest.ConnectResult{})
	if _, err := c.AwaitConnectSession(t.Context(), s.Token, AwaitConnectOptions{}); err != nil {
		t.Errorf("awaited again: %v", err)
	}
}

// A session is not made twice.
func TestCreateConnectSessionRefusals(t *testing.T) {
	for code, c := range map[string]struct {
		status int
		kind   Kind
	}{
		"":                                      {503, ErrUnavailable},
		"agent_not_found":                       {404, ErrAgentNotFound},
		"grant_not_found":                       {404, ErrGrantNotFound},
		"secret_not_found":                      {404, ErrConnectConfig},
		"managed_oauth_scope_approval_required": {409, ErrConnectConfig},
		"scope_not_allowed":                     {400, ErrRefused},
		"invalid_scope_constraint":              {422, ErrRefused},
		"jwt_validation_error":                  {401, ErrUserTokenRejected},
		"insufficient_scope":                    {403, ErrInsufficientScope},
	} {
		t.Run(code, func(t *testing.T) {
			v, client := startVault(t, altertest.Config{})
			v.AddFault(altertest.Fault{Path: connectPath, Times: -1, Status: c.status, Body: json.RawMessage(`{"error":"` + code + `"}`)})
			_, err := client.CreateConnectSession(t.Context(), ConnectOptions{})
			wantKind(t, err, c.kind)
			if n := v.Count(connectPath); n != 1 {
				t.Errorf("%d calls, want 1", n)
			}
		})
	}
}
