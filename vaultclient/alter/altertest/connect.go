package altertest

import (
	"cmp"
	"net/http"
	"slices"
	"time"
)

// ConnectResult is how a connect session ended.
type ConnectResult struct {
	Account string // of the grants that are made; default: <person>@<provider>
	// Error ends the session with this code instead, e.g. connect_denied.
	Error string
	// Declined are providers that the person turned down; the session stays
	// pending.
	Declined []string
	// Failed are providers whose grants could not be made; their reasons.
	Failed map[string]string
}

// connectSession is a session in which a person agrees to the use of providers.
type connectSession struct {
	token    string
	person   string
	body     fields
	expires  time.Time
	status   string
	secret   bool
	grants   []map[string]any
	failed   []map[string]any
	declined []map[string]any
	code     string
}

func (v *Vault) connectSession(r *request) (reply, *refusal) {
	s, bad := v.newConnect(r)
	if bad != nil {
		return reply{}, bad
	}
	n := len(r.body.list("allowed_providers"))
	if (r.body.flag("direct") || r.body.str("repair_grant_id") != "") && n != 1 {
		return reply{}, violation(422, "body_invalid", "direct and repair_grant_id need exactly one provider")
	}
	body := s.answer(v.URL)
	body["single_provider"], body["direct"], body["scope_constraint_warnings"] = n == 1, r.body.flag("direct"), []string{}
	return reply{status: http.StatusCreated, body: body}, nil
}

func (v *Vault) newConnect(r *request) (*connectSession, *refusal) {
	person, bad := v.subject(r.body.str("user_token"))
	if bad != nil {
		return nil, bad
	}
	if agent := r.body.str("agent"); agent != "" && v.agent(agent) == nil {
		return nil, refuse(404, "agent_not_found", "no active managed agent of that name")
	}
	if id := r.body.str("repair_grant_id"); id != "" {
		if g := v.grant(id); g == nil || g.Person != person || g.State == Deleted {
			return nil, refuse(404, "grant_not_found", "no grant to repair")
		}
	}
	s := &connectSession{
		token: "conn_sess_" + v.newID("connect"), person: person, body: r.body,
		expires: v.now().Add(sessionLife), status: "pending",
	}
	v.connects[s.token] = s
	return s, nil
}

func (s *connectSession) answer(base string) map[string]any {
	return map[string]any{
		"session_token": s.token, "connect_url": base + "/connect?session=" + s.token,
		"expires_in": int(sessionLife.Seconds()), "expires_at": rfc3339(s.expires),
	}
}

func (v *Vault) secretConnectSession(r *request) (reply, *refusal) {
	s, bad := v.newConnect(r)
	if bad != nil {
		return reply{}, bad
	}
	s.secret = true
	slug := cmp.Or(r.body.str("provider"), r.body.str("template_slug"))
	how, existing := "key_entry", any(nil)
	for _, g := range v.grants {
		if g.Secret && g.Provider == slug && g.Person == s.person && g.State == Active {
			how, existing = "fast_path", g.ID
		}
	}
	if repair := r.body.str("repair_grant_id"); repair != "" {
		how, existing = "repair", repair
	}
	body := s.answer(v.URL)
	body["delegable_requested"], body["path"], body["existing_grant_id"] = r.body.flag("delegable"), how, existing
	body["direct"], body["secret_slug"], body["template_slug"] = r.body.flag("direct"), slug, slug
	body["agent_id"] = nil
	if agent := v.agent(cmp.Or(r.body.str("agent"), r.body.str("delegated_agent_id"))); agent != nil {
		body["agent_id"] = agent.ID
	}
	return reply{status: http.StatusCreated, body: body}, nil
}

func (v *Vault) connectPoll(r *request) (reply, *refusal) {
	s := v.connects[r.body.str("session_token")]
	if s == nil || s.status == "expired" || !v.now().Before(s.expires) {
		return reply{body: map[string]any{"status": "expired"}}, nil
	}
	body := map[string]any{"status": s.status}
	switch s.status {
	case "pending":
		if s.declined != nil {
			body["declined_providers"] = s.declined
		}
	case "completed":
		body["grants"], body["failed_grants"] = s.grants, s.failed
	case "error":
		body["error"] = map[string]any{"error_code": s.code, "error_message": "the session ended with " + s.code}
	}
	return reply{body: body}, nil
}

// CompleteConnect is what the connect page does. It reports whether the session
// was pending.
func (v *Vault) CompleteConnect(session string, result ConnectResult) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.connects[session]
	if s == nil || s.status != "pending" || !v.now().Before(s.expires) {
		return false
	}
	defer v.wake()
	if result.Error != "" {
		s.status, s.code = "error", result.Error
		return true
	}
	if result.Declined != nil {
		for _, p := range result.Declined {
			s.declined = append(s.declined, map[string]any{"provider_id": p, "error_code": "access_denied", "declined_at": rfc3339(v.now())})
		}
		return true
	}
	s.status = "completed"
	s.grants, s.failed = []map[string]any{}, []map[string]any{}
	for _, provider := range s.providers() {
		if reason := result.Failed[provider]; reason != "" {
			s.failed = append(s.failed, map[string]any{"provider_id": provider, "reason": reason, "message": "not connected: " + reason})
			continue
		}
		s.grants = append(s.grants, v.connected(s, provider, result.Account))
	}
	return true
}

// ExpireConnect ends a connect session by time.
func (v *Vault) ExpireConnect(session string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.connects[session]
	if s == nil || s.status != "pending" {
		return false
	}
	s.status = "expired"
	return true
}

func (s *connectSession) providers() []string {
	if s.secret {
		return []string{cmp.Or(s.body.str("provider"), s.body.str("template_slug"))}
	}
	if list := s.body.list("allowed_providers"); list != nil {
		return list
	}
	return []string{"google"}
}

// connected makes or repairs the grant of one provider; the caller holds the
// lock.
func (v *Vault) connected(s *connectSession, provider, account string) map[string]any {
	scopes := s.body.obj("required_scopes").list(provider)
	label := s.body.obj("requested_grant").str("label")
	g, operation := v.grant(s.body.str("repair_grant_id")), "reauth"
	if g == nil {
		g = v.same(s.person, provider, account, label)
	}
	if g != nil {
		g.State, g.ScopeMismatch, g.Generation = Active, false, v.newID("generation")
		for _, scope := range scopes {
			if !slices.Contains(g.Scopes, scope) {
				g.Scopes = append(g.Scopes, scope)
			}
		}
	} else {
		operation = "creation"
		g = v.addGrant(Grant{
			Person: s.person, Provider: provider, Account: account, Scopes: scopes, Secret: s.secret,
			Label: label,
		})
	}
	row := map[string]any{
		"grant_id": g.ID, "provider_id": provider, "account_identifier": g.Account, "scopes": g.Scopes, "operation": operation,
	}
	if agent := v.agent(cmp.Or(s.body.str("agent"), s.body.str("delegated_agent_id"))); agent != nil {
		g.Delegated = append(g.Delegated, agent.ID)
		row["delegation"] = map[string]any{"agent_id": agent.ID, "delegable": s.body.flag("delegable"), "policy_refused": false}
	}
	return row
}

// same finds the grant that connecting the same account again widens; the caller
// holds the lock.
func (v *Vault) same(person, provider, account, label string) *Grant {
	account = cmp.Or(account, cmp.Or(person, "app")+"@"+provider)
	i := slices.IndexFunc(v.grants, func(g *Grant) bool {
		return g.Person == person && g.Provider == provider && g.Account == account && g.Label == label && g.State == Active
	})
	if i < 0 {
		return nil
	}
	return v.grants[i]
}

// connectPage is where a person agrees: decision is allow, deny, or the code of
// an error. It goes on to the session's return_url, if there is one.
func (v *Vault) connectPage(w http.ResponseWriter, r *http.Request) {
	session := r.FormValue("session")
	v.mu.Lock()
	s := v.connects[session]
	open := s != nil && s.status == "pending" && v.now().Before(s.expires)
	back := ""
	if open {
		back = s.body.str("return_url")
	}
	v.mu.Unlock()
	if !open {
		page(w, http.StatusBadRequest, "Unknown connect session", nil)
		return
	}
	title := "Connected"
	switch decision := r.FormValue("decision"); decision {
	case "":
		page(w, http.StatusOK, "Connect", &form{
			Fields: [][2]string{{"session", session}, {"account", r.FormValue("account")}}, Allow: "Agree",
		})
		return
	case "allow":
		v.CompleteConnect(session, ConnectResult{Account: r.FormValue("account")})
	default:
		title = "Not connected"
		if decision == "deny" {
			decision = "connect_denied"
		}
		v.CompleteConnect(session, ConnectResult{Error: decision})
	}
	if back != "" {
		http.Redirect(w, r, back, http.StatusSeeOther)
		return
	}
	page(w, http.StatusOK, title, nil)
}
