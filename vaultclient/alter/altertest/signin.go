package altertest

import (
	"net/http"
	"strconv"
	"time"
)

// sessionLife is how long a session of login or connecting lives.
const sessionLife = 10 * time.Minute

// signIn is a session in which a person logs in.
type signIn struct {
	token   string
	expires time.Time
	status  string // pending, completed, error
	person  string
	user    string // the user token
	code    string // of the error
	message string
	retry   int
}

func (v *Vault) authSession(*request) (reply, *refusal) {
	s := &signIn{token: "auth_sess_" + v.newID("sign-in"), expires: v.now().Add(sessionLife), status: "pending"}
	v.sessions[s.token] = s
	return reply{status: http.StatusCreated, body: map[string]any{
		"session_token": s.token, "auth_url": v.Issuer() + "/login?state=" + s.token,
		"expires_in": int(sessionLife.Seconds()), "expires_at": rfc3339(s.expires),
	}}, nil
}

// longestPoll is what the vault makes of a longer wait_ms.
const longestPoll = 30 * time.Second

func (v *Vault) authPoll(r *request) (reply, *refusal) {
	token := r.body.str("session_token")
	limit := min(time.Duration(r.body.num("wait_ms", 0))*time.Millisecond, longestPoll)
	v.wait(r.Request, limit, func() bool {
		s := v.sessions[token]
		return s == nil || s.status != "pending"
	})
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.sessions[token]
	if s == nil || !v.now().Before(s.expires) {
		return reply{body: map[string]any{"status": "expired"}}, nil
	}
	body := map[string]any{"status": s.status}
	switch s.status {
	case "completed":
		p := v.person(s.person)
		body["user_token"] = s.user
		body["user_info"] = map[string]any{"sub": p.Name, "email": p.Email, "name": p.Name}
	case "error":
		body["error_code"], body["error_message"] = s.code, s.message
		if s.retry > 0 {
			body["retry_after_seconds"] = s.retry
		}
	}
	return reply{body: body}, nil
}

func (v *Vault) verifyToken(r *request) (reply, *refusal) {
	sub, bad := v.subject(r.body.str("token"))
	return reply{body: map[string]any{"sub": sub}}, bad
}

// CompleteSignIn is what the login page does: the person logs in, with a token
// that lives so long. It reports whether the session was pending.
func (v *Vault) CompleteSignIn(session, person string, ttl time.Duration) bool {
	return v.finishSignIn(session, func(s *signIn) {
		s.status, s.person, s.user = "completed", person, v.userToken(person, ttl)
	})
}

// FailSignIn ends a sign-in with an error code, such as access_denied.
func (v *Vault) FailSignIn(session, code, message string) bool {
	return v.finishSignIn(session, func(s *signIn) { s.status, s.code, s.message = "error", code, message })
}

// ExpireSignIn ends a sign-in by time.
func (v *Vault) ExpireSignIn(session string) bool {
	return v.finishSignIn(session, func(s *signIn) { s.status, s.expires = "expired", time.Time{} })
}

func (v *Vault) finishSignIn(session string, finish func(*signIn)) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.sessions[session]
	if s == nil || s.status != "pending" || !v.now().Before(s.expires) {
		return false
	}
	finish(s)
	v.wake()
	return true
}

// loginPage is the identity provider's page. A form or query with user logs in;
// ttl is in seconds; error ends the session with that code, and so does the
// decision deny.
func (v *Vault) loginPage(w http.ResponseWriter, r *http.Request) {
	session := r.FormValue("state")
	v.mu.Lock()
	s := v.sessions[session]
	open := s != nil && s.status == "pending" && v.now().Before(s.expires)
	v.mu.Unlock()
	if !open {
		page(w, http.StatusBadRequest, "Unknown sign-in", nil)
		return
	}
	code := r.FormValue("error")
	if r.FormValue("decision") == "deny" {
		code = "access_denied"
	}
	if code != "" {
		v.FailSignIn(session, code, "the person did not log in")
		page(w, http.StatusOK, "Sign-in refused", nil)
		return
	}
	if person := r.FormValue("user"); person != "" {
		seconds, err := strconv.Atoi(r.FormValue("ttl"))
		if err != nil {
			seconds = int(v.config.TokenLife.Seconds())
		}
		v.CompleteSignIn(session, person, time.Duration(seconds)*time.Second)
		page(w, http.StatusOK, "Signed in", nil)
		return
	}
	ask := &form{Fields: [][2]string{{"state", session}}, Field: "user", Allow: "Log in"}
	for _, p := range v.config.People {
		ask.Choices = append(ask.Choices, p.Name)
	}
	page(w, http.StatusOK, "Log in", ask)
}
