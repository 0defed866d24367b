package alter

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

const listPath = "/sdk/grants/list"

func grantsVault(t *testing.T) (*altertest.Vault, *Client) {
	t.Helper()
	return startVault(t, altertest.Config{
		Agents: []altertest.Agent{{ID: altertest.AgentID("bot"), Name: "bot"}},
		Grants: []altertest.Grant{
			{Person: "alice", Provider: "google", Label: "work", Delegated: []string{altertest.AgentID("bot")}},
			{Person: "alice", Provider: "slack"},
			{Person: "bob", Provider: "google"},
			{Person: "alice", Provider: "stripe", Secret: true},
		},
	})
}

func TestListGrants(t *testing.T) {
	v, c := grantsVault(t)
	all := v.Grants()
	alice := userToken(v, "alice")
	for name, f := range map[string]struct {
		filter GrantFilter
		want   []int // of the configured grants
		body   string
	}{
		"all":      {GrantFilter{}, []int{0, 1, 2, 3}, `{"limit":100,"offset":0}`},
		"page":     {GrantFilter{Limit: 2, Offset: 1}, []int{1, 2}, `{"limit":2,"offset":1}`},
		"person":   {GrantFilter{UserToken: alice}, []int{0, 1, 3}, `{"limit":100,"offset":0,"user_token":"TOKEN"}`},
		"provider": {GrantFilter{Provider: "google"}, []int{0, 2}, `{"limit":100,"offset":0,"provider_id":"google"}`},
		"status":   {GrantFilter{Status: "revoked"}, nil, `{"limit":100,"offset":0,"status":"revoked"}`},
		"account":  {GrantFilter{Account: "bob@google"}, []int{2}, `{"limit":100,"offset":0,"account":"bob@google"}`},
		"label":    {GrantFilter{Label: "work"}, []int{0}, `{"limit":100,"offset":0,"label":"work"}`},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := c.ListGrants(t.Context(), f.filter)
			if err != nil {
				t.Fatal(err)
			}
			var want, got []string
			for _, i := range f.want {
				want = append(want, all[i].ID)
			}
			for _, g := range p.Grants {
				got = append(got, g.ID)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("grants (-want +got):\n%s", diff)
			}
			body := strings.ReplaceAll(f.body, "TOKEN", alice.Reveal())
			if diff := cmp.Diff(body, lastBody(t, v, listPath)); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
	p, err := c.ListGrants(t.Context(), GrantFilter{})
	if err != nil {
		t.Fatal(err)
	}
	oauth, secret := p.Grants[0], p.Grants[3]
	if oauth.Kind != GrantOAuth || oauth.Provider != "google" || oauth.Secret != nil || len(oauth.DelegatedAgents) != 1 || oauth.CreatedAt.IsZero() {
		t.Errorf("grant %+v", oauth)
	}
	if secret.Kind != GrantSecret || secret.Secret == nil || secret.Secret.Slug != "stripe" || secret.Provider != "" {
		t.Errorf("secret %+v", secret)
	}
}

func TestGrantsPages(t *testing.T) {
	v, c := grantsVault(t)
	var got []string
	for g, err := range c.Grants(t.Context(), GrantFilter{Limit: 3}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, g.ID)
	}
	if len(got) != 4 || v.Count(listPath) != 2 {
		t.Errorf("%d grants by %d calls, want 4 by 2", len(got), v.Count(listPath))
	}
	for range c.Grants(t.Context(), GrantFilter{Limit: 1}) {
		break
	}
	if n := v.Count(listPath); n != 3 {
		t.Errorf("%d calls after a break, want 3", n)
	}
	v.AddFault(altertest.Fault{Path: listPath, Skip: 1, Status: 403, Body: json.RawMessage(`{"error":"insufficient_scope"}`)})
	var last error
	for _, err := range c.Grants(t.Context(), GrantFilter{Limit: 1}) {
		last = err
	}
	wantKind(t, last, ErrInsufficientScope)
}

func TestListGrantsAgain(t *testing.T) {
	v, c := grantsVault(t)
	v.AddFault(altertest.Fault{Path: listPath, Status: 503, Body: json.RawMessage(`{}`)})
	v.AddFault(altertest.Fault{Path: listPath, Cut: altertest.CutDone})
	if _, err := c.ListGrants(t.Context(), GrantFilter{}); err != nil || v.Count(listPath) != 3 {
		t.Errorf("%v after %d calls, want success at the third", err, v.Count(listPath))
	}
}

func TestRevokeGrant(t *testing.T) {
	v, c := grantsVault(t)
	id := v.Grants()[0].ID
	_, err := c.RevokeGrant(t.Context(), id, RevokeOptions{UserToken: userToken(v, "bob")})
	wantKind(t, err, ErrGrantNotFound)
	token := userToken(v, "alice")
	at, err := c.RevokeGrant(t.Context(), id, RevokeOptions{Reason: "left", UserToken: token})
	if err != nil || at.IsZero() || v.Grants()[0].State != altertest.Revoked {
		t.Errorf("%v, %v", at, err)
	}
	path := "/sdk/oauth/grants/" + id + "/revoke"
	if want := `{"reason":"left","user_token":"` + token.Reveal() + `"}`; lastBody(t, v, path) != want {
		t.Errorf("body %s", lastBody(t, v, path))
	}
	v.AddFault(altertest.Fault{Path: path, Set: map[string]json.RawMessage{"success": json.RawMessage(`false`)}})
	_, err = c.RevokeGrant(t.Context(), id, RevokeOptions{})
	wantKind(t, err, ErrRefused)
	v.AddFault(altertest.Fault{Path: path, Set: map[string]json.RawMessage{"grant_id": json.RawMessage(`"` + someID + `"`)}})
	_, err = c.RevokeGrant(t.Context(), id, RevokeOptions{})
	wantKind(t, err, ErrMalformed)
}

func TestRevokeGrantDropsTokens(t *testing.T) {
	v, c := grantsVault(t)
	id := v.Grants()[0].ID
	c.keep(tokenKey{1}, &Token{GrantID: id})
	c.keep(tokenKey{2}, &Token{GrantID: someID})
	v.AddFault(altertest.Fault{Path: "/sdk/oauth/grants/*/revoke", Cut: altertest.CutDone})
	_, err := c.RevokeGrant(t.Context(), id, RevokeOptions{})
	wantKind(t, err, ErrUnavailable)
	if c.tokens.kept.Contains(tokenKey{1}) || !c.tokens.kept.Contains(tokenKey{2}) {
		t.Errorf("kept: %d tokens, want that of the other grant", c.tokens.kept.Len())
	}
}

func TestMintGrant(t *testing.T) {
	v, c := grantsVault(t)
	id := v.Grants()[0].ID
	end := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	g, err := c.MintGrant(t.Context(), id, MintOptions{Label: "home", Policy: GrantBounds{ExpiresAt: end}, Tags: []string{"x"}})
	if err != nil || g.Label != "home" || g.ID == id || g.Kind != GrantOAuth {
		t.Errorf("%+v, %v", g, err)
	}
	path := "/sdk/grants/" + id + "/mint"
	if want := `{"label":"home","grant_policy":{"expires_at":"2027-01-02T03:04:05Z"},"grant_tags":["x"]}`; lastBody(t, v, path) != want {
		t.Errorf("body %s", lastBody(t, v, path))
	}
	_, err = c.MintGrant(t.Context(), id, MintOptions{Label: "home"})
	wantKind(t, err, ErrLabelConflict)
}

func TestDelegations(t *testing.T) {
	v, c := grantsVault(t)
	id, bot, no := v.Grants()[1].ID, altertest.AgentID("bot"), false
	d, err := c.DelegateGrant(t.Context(), id, DelegateOptions{ToAgentID: bot, Delegable: &no, ScopeConstraint: []string{"read"}, TTL: time.Hour})
	if err != nil || d.ParentID != id || d.Depth != 1 || d.ExpiresAt.IsZero() {
		t.Errorf("%+v, %v", d, err)
	}
	path := "/sdk/grants/" + id + "/delegate"
	if want := `{"to_agent_id":"` + bot + `","delegable":false,"scope_constraint":["read"],"ttl_seconds":3600}`; lastBody(t, v, path) != want {
		t.Errorf("body %s", lastBody(t, v, path))
	}
	_, err = c.DelegateGrant(t.Context(), id, DelegateOptions{ToAgentID: someID})
	wantKind(t, err, ErrAgentNotFound)
	v.AddFault(altertest.Fault{Path: path, Status: 403, Body: json.RawMessage(`{"error":"grant_not_delegable","detail_reason":"leaf"}`)})
	_, err = c.DelegateGrant(t.Context(), id, DelegateOptions{ToAgentID: bot})
	if e := wantKind(t, err, ErrNotDelegable); e.Reason != "leaf" {
		t.Errorf("reason %q", e.Reason)
	}

	end := "/sdk/grants/" + id + "/delegations/" + bot
	v.AddFault(altertest.Fault{Path: end, Cut: altertest.CutDone})
	if err := c.EndDelegation(t.Context(), id, bot); err != nil || v.Count(end) != 2 {
		t.Errorf("%v after %d calls, want it again after a lost answer", err, v.Count(end))
	}
	if err := c.EndDelegation(t.Context(), id, "me"); err != nil {
		t.Errorf("ending an own delegation: %v", err)
	}
	if left := v.Grants()[1].Delegated; slices.Contains(left, bot) {
		t.Errorf("still delegated to %v", left)
	}
}

// What makes or ends something is not sent again when its answer was lost.
func TestGrantCallsOnce(t *testing.T) {
	for name, c := range map[string]struct {
		path string // below a grant's
		call func(*testing.T, *Client, string) error
	}{
		"revoke": {"/sdk/oauth/grants/ID/revoke", func(t *testing.T, c *Client, id string) error {
			return discardResult(c.RevokeGrant(t.Context(), id, RevokeOptions{}))
		}},
		"mint": {"/sdk/grants/ID/mint", func(t *testing.T, c *Client, id string) error {
			return discardResult(c.MintGrant(t.Context(), id, MintOptions{Label: "l"}))
		}},
		"delegate": {"/sdk/grants/ID/delegate", func(t *testing.T, c *Client, id string) error {
			return discardResult(c.DelegateGrant(t.Context(), id, DelegateOptions{ToAgentID: altertest.AgentID("bot")}))
		}},
		"report": {"/sdk/grants/ID/report-scope-mismatch", func(t *testing.T, c *Client, id string) error {
			return c.ReportScopeMismatch(t.Context(), id, ScopeReport{URL: "https://api.example", CorrelationID: "c"})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, f := range []altertest.Fault{
				{Cut: altertest.CutDone},
				{Status: 503, Body: json.RawMessage(`{}`)},
				{Status: 302},
			} {
				v, client := grantsVault(t)
				id := v.Grants()[0].ID
				f.Path, f.Times = strings.Replace(c.path, "ID", id, 1), -1
				v.AddFault(f)
				wantKind(t, c.call(t, client, id), ErrUnavailable)
				if n := v.Count(f.Path); n != 1 {
					t.Errorf("%d calls, want 1", n)
				}
			}
		})
	}
}

func TestGrantCallsInvalid(t *testing.T) {
	c := newTestClient(t, Config{Vault: canned{http.StatusOK, nil}})
	ctx := t.Context()
	for name, err := range map[string]error{
		"page of none":     discardResult(c.ListGrants(ctx, GrantFilter{Limit: -1})),
		"large page":       discardResult(c.ListGrants(ctx, GrantFilter{Limit: MaxGrantPage + 1})),
		"negative offset":  discardResult(c.ListGrants(ctx, GrantFilter{Offset: -1})),
		"revoke a path":    discardResult(c.RevokeGrant(ctx, "../x", RevokeOptions{})),
		"mint no label":    discardResult(c.MintGrant(ctx, someID, MintOptions{})),
		"mint no id":       discardResult(c.MintGrant(ctx, "", MintOptions{Label: "l"})),
		"mint many tags":   discardResult(c.MintGrant(ctx, someID, MintOptions{Label: "l", Tags: make([]string, maxTags+1)})),
		"mint bounds":      discardResult(c.MintGrant(ctx, someID, MintOptions{Label: "l", Policy: GrantBounds{MaxTTL: -1}})),
		"delegate nobody":  discardResult(c.DelegateGrant(ctx, someID, DelegateOptions{ToAgentID: "bot"})),
		"delegate nothing": discardResult(c.DelegateGrant(ctx, someID, DelegateOptions{ToAgentID: otherID, ScopeConstraint: []string{}})),
		"delegate shortly": discardResult(c.DelegateGrant(ctx, someID, DelegateOptions{ToAgentID: otherID, TTL: 1})),
		"end a path":       c.EndDelegation(ctx, someID, "../me"),
		"end of no grant":  c.EndDelegation(ctx, "x", "me"),
		"report no grant":  c.ReportScopeMismatch(ctx, "x", ScopeReport{URL: "u", CorrelationID: "c"}),
		"report no URL":    c.ReportScopeMismatch(ctx, someID, ScopeReport{CorrelationID: "c"}),
		"report no id":     c.ReportScopeMismatch(ctx, someID, ScopeReport{URL: "u"}),
	} {
		t.Run(name, func(t *testing.T) { wantKind(t, err, ErrInvalid) })
	}
}

func TestReportScopeMismatch(t *testing.T) {
	v, _ := grantsVault(t)
	c := newTestClient(t, Config{BaseURL: v.URL, Caller: Caller{Name: "tools"}})
	if _, err := c.ListGrants(t.Context(), GrantFilter{}); err != nil || c.actorID.Load() == nil {
		t.Fatalf("no actor id: %v", err)
	}
	id := v.Grants()[0].ID
	path := "/sdk/grants/" + id + "/report-scope-mismatch"
	long := strings.Repeat("s", maxReportedScope+1)
	err := c.ReportScopeMismatch(t.Context(), id, ScopeReport{
		Missing: append([]string{"", long}, slices.Repeat([]string{"mail"}, 60)...), WWWAuthenticate: strings.Repeat("ü", maxReportedHeader),
		URL: "https://api.example/x", CorrelationID: "c1",
	})
	if err != nil || !v.Grants()[0].ScopeMismatch {
		t.Fatalf("%v", err)
	}
	if err := c.ReportScopeMismatch(t.Context(), id, ScopeReport{URL: "https://api.example/x", CorrelationID: "c1"}); err != nil {
		t.Fatal(err)
	}
	want := `{"provider_status_code":403,"provider_error_code":"insufficient_scope","missing_scopes":null,"raw_www_authenticate":null,` +
		`"api_endpoint":"https://api.example/x","detection_source":"www_authenticate_rfc6750","sdk_correlation_id":"c1"}`
	if diff := cmp.Diff(want, lastBody(t, v, path)); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	for _, call := range v.Calls() {
		for _, h := range call.Header {
			if call.Path == path && h.Name == headerActorID {
				t.Error("a report has an actor id")
			}
		}
	}
	wantKind(t, c.ReportScopeMismatch(t.Context(), someID, ScopeReport{URL: "u", CorrelationID: "c"}), ErrGrantNotFound)
}
