package altertest

import (
	"encoding/json"
	"time"
)

// AppID is the app that the API key belongs to.
func (v *Vault) AppID() string { return uuidOf("app") }

func (v *Vault) resolveIdentity(r *request) (reply, *refusal) {
	identity, bad := v.identity(r)
	return reply{body: identity}, bad
}

// identity is who a call is made by and for.
func (v *Vault) identity(r *request) (map[string]any, *refusal) {
	person, bad := v.subject(r.body.str("user_token"))
	if bad != nil {
		return nil, bad
	}
	identity := map[string]any{
		"app_id": v.AppID(), "app_user_id": nil, "external_subject_id": nil, "idp_id": nil, "user_status": nil,
		"group_ids": []string{}, "agent_id": nil, "actor_id": nullable(r.Header.Get("X-Alter-Actor-Id")), "trace": nil,
		"email": nil, "display_name": nil,
	}
	caller, kind := r.caller()
	if agent := v.agent(caller); agent != nil && kind == "agent" {
		identity["agent_id"] = agent.ID
	}
	var context map[string]string
	if json.Unmarshal([]byte(r.Header.Get("X-Alter-Context")), &context) == nil && context["run_id"] != "" {
		identity["trace"] = map[string]any{"run_id": context["run_id"], "thread_id": nullable(context["thread_id"])}
	}
	if person == "" {
		return identity, nil
	}
	p := v.person(person)
	identity["app_user_id"], identity["external_subject_id"] = uuidOf("user "+person), person
	identity["idp_id"], identity["user_status"] = uuidOf("idp"), Active
	identity["group_ids"] = append([]string{}, p.Groups...)
	if r.body.flag("include_profile") {
		identity["email"], identity["display_name"] = p.Email, p.Name
	}
	return identity, nil
}

func (v *Vault) assertIdentity(r *request) (reply, *refusal) {
	identity, bad := v.identity(r)
	if bad != nil {
		return reply{}, bad
	}
	now := v.now().Truncate(time.Second)
	expires := now.Add(time.Duration(r.body.num("ttl_seconds", 60)) * time.Second)
	app, subject := v.AppID(), "alter:app:"+v.AppID()
	if user, ok := identity["app_user_id"].(string); ok {
		subject = "alter:user:" + user
	}
	about := map[string]any{"app_id": app}
	for _, name := range []string{"external_subject_id", "idp_id", "group_ids"} {
		about[name] = identity[name]
	}
	claims := map[string]any{
		"iss": v.Issuer(), "aud": r.body.str("audience"), "iat": now.Unix(), "exp": expires.Unix(),
		"jti": v.newID("assertion"), "sub": subject, "azp": app, "alter": about,
	}
	if agent, ok := identity["agent_id"].(string); ok {
		claims["act"] = map[string]any{"sub": "alter:agent:" + agent}
		about["agent_auth"] = "api_key"
	}
	return reply{body: map[string]any{
		"token": v.sign("alter-identity+jwt", claims), "expires_at": rfc3339(expires), "identity": identity,
	}}, nil
}
