package alter

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

func TestCreateSecretGrant(t *testing.T) {
	v, c := grantsVault(t)
	secret := altertest.SecretID("stripe")
	path := "/sdk/managed-secrets/" + secret + "/grants"
	alice := userToken(v, "alice")
	for name, s := range map[string]struct {
		options SecretGrantOptions
		want    string
	}{
		"app":   {SecretGrantOptions{CredentialID: someID}, `{"principal":{"type":"system"},"grant_policy":{},"credential_id":"` + someID + `"}`},
		"user":  {SecretGrantOptions{Principal: Principal{UserToken: alice, Label: "l"}}, `{"principal":{"type":"user","user_token":"` + alice.Reveal() + `","label":"l"},"grant_policy":{}}`},
		"group": {SecretGrantOptions{Principal: Principal{Group: "g", IDP: someID, Label: "l"}, Policy: GrantBounds{MaxTTL: time.Minute}}, `{"principal":{"type":"group","external_group_id":"g","idp_id":"` + someID + `","label":"l"},"grant_policy":{"max_ttl_seconds":60}}`},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := c.CreateSecretGrant(t.Context(), secret, s.options)
			if err != nil || g.ID == "" || g.CreatedAt.IsZero() {
				t.Fatalf("%+v, %v", g, err)
			}
			if diff := cmp.Diff(s.want, lastBody(t, v, path)); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
	for name, p := range map[string]Principal{
		"both":             {UserToken: alice, Group: "g", IDP: someID, Label: "l"},
		"group, no IDP":    {Group: "g", Label: "l"},
		"user, no label":   {UserToken: alice},
		"user, long label": {UserToken: alice, Label: strings.Repeat("l", maxLabel+1)},
	} {
		_, err := c.CreateSecretGrant(t.Context(), secret, SecretGrantOptions{Principal: p})
		t.Run(name, func(t *testing.T) { wantKind(t, err, ErrInvalid) })
	}
	v.AddFault(altertest.Fault{Path: path, Status: 409, Body: json.RawMessage(`{"error":"credential_id_required","details":{"credentials":[{"id":"c","label":"L"}]}}`)})
	_, err := c.CreateSecretGrant(t.Context(), secret, SecretGrantOptions{})
	if e := wantKind(t, err, ErrCredentialChoice); len(e.Credentials) != 1 {
		t.Errorf("credentials %v", e.Credentials)
	}
}

const secretPath = "/sdk/managed-secrets/connect/session"

func TestCreateSecretConnectSession(t *testing.T) {
	v, c := grantsVault(t)
	alice := userToken(v, "alice")
	s, err := c.CreateSecretConnectSession(t.Context(), SecretConnectOptions{
		Provider: "stripe", UserToken: alice, Agent: "bot", Delegable: true, ReturnURL: "https://a.example/r", AllowedOrigin: "https://a.example",
		NoUserRules: true, Label: "l", Policy: GrantBounds{MaxTTL: time.Hour}, Direct: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.Path != "fast_path" || !s.DelegableRequested || s.AgentID != altertest.AgentID("bot") || s.Slug != "stripe" || !s.Direct {
		t.Errorf("session %+v", s)
	}
	want := `{"provider":"stripe","agent":"bot","user_token":"` + alice.Reveal() + `","allowed_origin":"https://a.example","return_url":"https://a.example/r",` +
		`"allow_user_policy_rules":false,"delegable":true,"requested_grant":{"label":"l"},"grant_policy":{"max_ttl_seconds":3600},"direct":true}`
	if diff := cmp.Diff(want, lastBody(t, v, secretPath)); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	v.CompleteConnect(s.Token.Reveal(), altertest.ConnectResult{})
	if r, err := c.AwaitConnectSession(t.Context(), s.Token, AwaitConnectOptions{}); err != nil || !r.Grants[0].Delegation.Delegable {
		t.Errorf("%+v, %v", r, err)
	}
	repair := v.Grants()[3].ID
	s, err = c.CreateSecretConnectSession(t.Context(), SecretConnectOptions{Provider: "stripe", UserToken: alice, RequestedTTL: time.Minute, RepairGrantID: repair})
	if err != nil || s.Path != "repair" || s.ExistingGrantID != repair {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestSecretConnectSessionEcho(t *testing.T) {
	for name, c := range map[string]struct {
		delegable bool
		fault     altertest.Fault
		kind      Kind
	}{
		"delegable ignored":  {true, altertest.Fault{Drop: []string{"delegable_requested"}}, ErrUnsupported},
		"delegable refused":  {true, altertest.Fault{Set: map[string]json.RawMessage{"delegable_requested": json.RawMessage("false")}}, ErrUnsupported},
		"delegable invented": {false, altertest.Fault{Set: map[string]json.RawMessage{"delegable_requested": json.RawMessage("true")}}, ErrMalformed},
		"no path":            {false, altertest.Fault{Drop: []string{"path"}}, ErrUnsupported},
		"another secret":     {false, altertest.Fault{Set: map[string]json.RawMessage{"secret_slug": json.RawMessage(`"other"`)}}, ErrMalformed},
		"wants a template":   {false, altertest.Fault{Status: 422, Body: json.RawMessage(`{"detail":[{"type":"missing","loc":["body","template_slug"],"msg":"m"}]}`)}, ErrUnsupported},
		"unknown member":     {false, altertest.Fault{Status: 422, Body: json.RawMessage(`{"detail":[{"type":"extra_forbidden","loc":["body","provider"],"msg":"m"}]}`)}, ErrUnsupported},
		"wants an agent":     {false, altertest.Fault{Status: 422, Body: json.RawMessage(`{"error":"delegated_agent_id_required"}`)}, ErrUnsupported},
		"wrong template":     {false, altertest.Fault{Status: 422, Body: json.RawMessage(`{"error":"secret_template_mismatch"}`)}, ErrConnectConfig},
		"another 422":        {false, altertest.Fault{Status: 422, Body: json.RawMessage(`{"detail":[{"type":"string_type","loc":["body","provider"]}]}`)}, ErrRefused},
		"garbage 422":        {false, altertest.Fault{Status: 422, Body: json.RawMessage(`"<html>"`)}, ErrRefused},
		"lost":               {false, altertest.Fault{Cut: altertest.CutDone}, ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			v, client := grantsVault(t)
			c.fault.Path, c.fault.Times = secretPath, -1
			v.AddFault(c.fault)
			o := SecretConnectOptions{Provider: "stripe", UserToken: userToken(v, "alice"), Delegable: c.delegable}
			_, err := client.CreateSecretConnectSession(t.Context(), o)
			wantKind(t, err, c.kind)
			if n := v.Count(secretPath); n != 1 {
				t.Errorf("%d calls, want 1", n)
			}
		})
	}
}

func TestSecretConnectOptionsInvalid(t *testing.T) {
	token := vaultclient.NewSecret("t")
	for name, o := range map[string]SecretConnectOptions{
		"no provider":      {UserToken: token},
		"no person":        {Provider: "stripe"},
		"repair of no id":  {Provider: "stripe", UserToken: token, RepairGrantID: "x"},
		"repair and agent": {Provider: "stripe", UserToken: token, RepairGrantID: someID, Agent: "bot"},
		"repair and label": {Provider: "stripe", UserToken: token, RepairGrantID: someID, Label: "l"},
		"short life":       {Provider: "stripe", UserToken: token, RequestedTTL: 1},
		"life and policy":  {Provider: "stripe", UserToken: token, RequestedTTL: time.Hour, Policy: GrantBounds{MaxTTL: time.Hour}},
		"fixed end":        {Provider: "stripe", UserToken: token, Policy: GrantBounds{ExpiresAt: time.Unix(1, 0)}},
		"long label":       {Provider: "stripe", UserToken: token, Label: strings.Repeat("l", maxLabel+1)},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newTestClient(t, Config{Vault: canned{}}).CreateSecretConnectSession(t.Context(), o)
			wantKind(t, err, ErrInvalid)
		})
	}
}
