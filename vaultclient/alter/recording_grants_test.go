package alter_test

import (
	"fmt"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

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
