package altertest

import (
	"net/http"
	"slices"
)

// resolve finds the grant that a call of the token or proxy path means. The
// caller holds the lock.
func (v *Vault) resolve(r *request) (*Grant, *refusal) {
	person, bad := v.subject(r.body.str("user_token"))
	if bad != nil {
		return nil, bad
	}
	if person == "" {
		person = r.body.str("app_user_id")
	}
	if id := r.body.str("grant_id"); id != "" {
		g := v.grant(id)
		if g == nil || person != "" && g.Person != person {
			return nil, refuse(404, "grant_not_found", "no such grant").with("grant_id", id)
		}
		return g, v.checkState(r, g)
	}
	return v.resolveProvider(r, person)
}

func (v *Vault) resolveProvider(r *request, person string) (*Grant, *refusal) {
	provider, account, label := r.body.str("provider_id"), r.body.str("account"), r.body.str("label")
	var found []*Grant
	for _, g := range v.grants {
		if g.Person == person && g.Provider == provider && (account == "" || g.Account == account) && (label == "" || g.Label == label) {
			found = append(found, g)
		}
	}
	// A grant that works hides those that do not.
	if slices.ContainsFunc(found, func(g *Grant) bool { return g.State == Active }) {
		found = slices.DeleteFunc(found, func(g *Grant) bool { return g.State != Active })
	}
	switch len(found) {
	case 0:
		bad := refuse(404, "grant_not_found", "no grant for this person and provider")
		return nil, bad.with("provider_id", provider).with("app_user_id", nullable(person)).with("agent_id", nil)
	case 1:
		return found[0], v.checkState(r, found[0])
	}
	return nil, ambiguous(provider, account, found)
}

func ambiguous(provider, account string, found []*Grant) *refusal {
	var accounts, ids []string
	var candidates []map[string]any
	for _, g := range found {
		accounts, ids = append(accounts, g.Account), append(ids, g.ID)
		candidates = append(candidates, map[string]any{
			"grant_id": g.ID, "label": nullable(g.Label), "account_identifier": g.Account, "account_display_name": nil,
		})
	}
	bad := refuse(409, "ambiguous_grant", "several grants match").with("provider_id", provider)
	bad.with("account_identifiers", accounts).with("account_was_provided", account != "").with("app_user_ids", []string{})
	return bad.with("grant_ids", ids).with("candidates", candidates).with("candidates_truncated", false)
}

// checkState refuses grants that do not work, and agents without delegation.
func (v *Vault) checkState(r *request, g *Grant) *refusal {
	var bad *refusal
	switch g.State {
	case Expired:
		bad = refuse(403, "grant_expired", "the grant has expired")
	case Revoked:
		bad = refuse(403, "grant_revoked", "the grant was revoked")
	case CredentialRevoked:
		bad = refuse(403, "credential_revoked", "the provider has withdrawn the credential")
	case Deleted:
		bad = refuse(410, "grant_deleted", "the grant was deleted")
	default:
		return v.checkDelegation(r, g)
	}
	return bad.with("grant_id", g.ID).with("provider_id", g.Provider).with("app_user_id", nullable(g.Person))
}

func (v *Vault) checkDelegation(r *request, g *Grant) *refusal {
	caller, kind := r.caller()
	agent := v.agent(caller)
	if kind != "agent" || agent == nil || slices.Contains(g.Delegated, agent.ID) {
		return nil
	}
	bad := refuse(404, "no_delegated_grant", "the grant was not delegated to this agent")
	return bad.with("agent_id", agent.ID).with("provider_id", g.Provider).with("app_user_id", nullable(g.Person))
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// token is retrieve mode: the client gets the credential.
func (v *Vault) token(r *request) (reply, *refusal) {
	g, bad := v.resolve(r)
	if bad != nil {
		return reply{}, bad
	}
	if g.NeedsProxy != "" {
		return reply{}, refuse(400, g.NeedsProxy, "this grant works by the proxy alone").with("grant_id", g.ID)
	}
	if g.Gates > 0 {
		return reply{}, refuse(400, "hitl_grant_requires_proxy", "calls by this grant need approval").with("grant_id", g.ID)
	}
	g.used = v.now()
	body := map[string]any{
		"access_token": g.Token, "token_type": "Bearer", "expires_in": nil, "expires_at": nil,
		"scopes": g.Scopes, "grant_id": g.ID, "provider_id": g.Provider, "token_generation": g.Generation,
		"scope_mismatch": g.ScopeMismatch, "injection_header": g.InjectHeader, "injection_format": g.InjectFormat,
		"additional_credentials": nil, "additional_injections": nil,
	}
	if g.Lifetime > 0 {
		body["expires_in"], body["expires_at"] = int(g.Lifetime.Seconds()), rfc3339(g.used.Add(g.Lifetime))
	}
	if g.Additional != nil {
		body["additional_credentials"] = g.Additional
	}
	if g.Injections != nil {
		body["additional_injections"] = g.Injections
	}
	return reply{body: body}, nil
}

func (v *Vault) audit(r *request) (reply, *refusal) {
	if v.grant(r.body.str("grant_id")) == nil {
		return reply{}, refuse(404, "grant_not_found", "audit of an unknown grant")
	}
	return reply{status: http.StatusCreated, body: map[string]any{"success": true}}, nil
}

func (v *Vault) reportScope(r *request) (reply, *refusal) {
	g := v.grant(r.PathValue("id"))
	if g == nil {
		return reply{}, refuse(404, "grant_not_found", "no such grant")
	}
	g.ScopeMismatch = true
	return reply{status: http.StatusNoContent}, nil
}
