package altertest

import (
	"net/http"
	"slices"
	"time"
)

func (v *Vault) listGrants(r *request) (reply, *refusal) {
	person, bad := v.subject(r.body.str("user_token"))
	if bad != nil {
		return reply{}, bad
	}
	matches := func(key, value string) bool { return r.body.str(key) == "" || r.body.str(key) == value }
	rows := []map[string]any{}
	for _, g := range v.grants {
		if (person == "" || g.Person == person) && g.State != Deleted && matches("provider_id", g.Provider) &&
			matches("status", g.State) && matches("account", g.Account) && matches("label", g.Label) {
			rows = append(rows, g.row())
		}
	}
	limit, offset := r.body.num("limit", 100), min(r.body.num("offset", 0), len(rows))
	end := min(offset+limit, len(rows))
	return reply{body: map[string]any{
		"grants": rows[offset:end], "total": len(rows), "limit": limit, "offset": r.body.num("offset", 0), "has_more": end < len(rows),
	}}, nil
}

// row is a grant as lists show it.
func (g *Grant) row() map[string]any {
	principal := "user"
	if g.Person == "" {
		principal = "system"
	}
	row := map[string]any{
		"grant_id": g.ID, "status": g.State, "account_identifier": g.Account, "label": nullable(g.Label),
		"created_at": rfc3339(g.created), "last_used_at": nil, "grant_policy": nil, "expires_at": nil,
		"grant_expires_at": nil, "principal_type": principal, "access_via": "ownership", "delegated_at": nil,
		"parent_grant_id": nil, "depth": 0, "delegable": false, "scope_constraint": nil,
		"credential_id": uuidOf("credential " + g.ID),
	}
	if !g.used.IsZero() {
		row["last_used_at"] = rfc3339(g.used)
	}
	if g.Secret {
		row["grant_kind"], row["managed_secret_id"] = "managed_secret", uuidOf("secret "+g.Provider)
		row["managed_secret_slug"], row["managed_secret_name"] = g.Provider, g.Provider
		row["agent_id"], row["credential_kind"], row["credential_label"] = nil, "end_user", nil
		return row
	}
	row["grant_kind"], row["provider_id"], row["scopes"] = "oauth", g.Provider, g.Scopes
	row["account_display_name"], row["api_base_url"] = nil, nil
	row["scope_mismatch"], row["needs_reconnect"] = g.ScopeMismatch, g.State == CredentialRevoked
	row["delegated_agent_ids"] = append([]string{}, g.Delegated...)
	return row
}

// owned finds the grant of the path, which must be the person's if a user token
// came along.
func (v *Vault) owned(r *request) (*Grant, *refusal) {
	person, bad := v.subject(r.body.str("user_token"))
	if bad != nil {
		return nil, bad
	}
	g := v.grant(r.PathValue("id"))
	if g == nil || person != "" && g.Person != person {
		return nil, refuse(404, "grant_not_found", "no such grant").with("grant_id", r.PathValue("id"))
	}
	return g, nil
}

func (v *Vault) revokeGrant(r *request) (reply, *refusal) {
	g, bad := v.owned(r)
	if bad != nil {
		return reply{}, bad
	}
	g.State = Revoked
	return reply{body: map[string]any{
		"success": true, "message": "Grant revoked", "grant_id": g.ID, "revoked_at": rfc3339(v.now()),
	}}, nil
}

func (v *Vault) mintGrant(r *request) (reply, *refusal) {
	g, bad := v.owned(r)
	if bad != nil {
		return reply{}, bad
	}
	label := r.body.str("label")
	if slices.ContainsFunc(v.grants, func(o *Grant) bool {
		return o.Person == g.Person && o.Provider == g.Provider && o.Account == g.Account && o.Label == label
	}) {
		return reply{}, refuse(409, "sibling_label_conflict", "a sibling has that label")
	}
	sibling := *g
	sibling.ID, sibling.Label, sibling.Generation = "", label, ""
	row := v.addGrant(sibling).row()
	delete(row, "grant_kind")
	return reply{status: http.StatusCreated, body: row}, nil
}

func (v *Vault) delegateGrant(r *request) (reply, *refusal) {
	g, bad := v.owned(r)
	if bad != nil {
		return reply{}, bad
	}
	agent := v.agent(r.body.str("to_agent_id"))
	if agent == nil {
		return reply{}, refuse(404, "agent_not_found", "no such agent")
	}
	g.Delegated = append(g.Delegated, agent.ID)
	kind := "oauth"
	if g.Secret {
		kind = "managed_secret"
	}
	body := map[string]any{
		"grant_id": v.newID("delegation"), "grant_kind": kind, "parent_grant_id": g.ID, "depth": 1,
		"delegable": r.body.flag("delegable"), "status": Active, "expires_at": nil,
	}
	if ttl := r.body.num("ttl_seconds", 0); ttl > 0 {
		body["expires_at"] = rfc3339(v.now().Add(time.Duration(ttl) * time.Second))
	}
	return reply{status: http.StatusCreated, body: body}, nil
}

func (v *Vault) endDelegation(r *request) (reply, *refusal) {
	g, bad := v.owned(r)
	if bad != nil {
		return reply{}, bad
	}
	agent := r.PathValue("agent")
	g.Delegated = slices.DeleteFunc(g.Delegated, func(id string) bool { return id == agent })
	return reply{status: http.StatusNoContent}, nil
}

func (v *Vault) grantSecret(r *request) (reply, *refusal) {
	var of *Grant
	for _, g := range v.grants {
		if g.Secret && uuidOf("secret "+g.Provider) == r.PathValue("id") {
			of = g
		}
	}
	if of == nil {
		return reply{}, refuse(404, "secret_not_found", "no such managed secret")
	}
	principal := r.body.obj("principal")
	person, bad := v.subject(principal.str("user_token"))
	if bad != nil {
		return reply{}, bad
	}
	g := *of
	g.ID, g.Person, g.Label, g.State = "", person, principal.str("label"), Active
	added := v.addGrant(g)
	return reply{status: http.StatusCreated, body: map[string]any{
		"grant_id": added.ID, "principal_type": principal.str("type"), "label": nullable(g.Label),
		"created_at": rfc3339(v.now()), "credential_id": nullable(r.body.str("credential_id")),
	}}, nil
}

// SecretID returns the id of the managed secret with a slug.
func SecretID(slug string) string { return uuidOf("secret " + slug) }
