package authserver

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"time"
)

// Identity is a way in which people log in. Implementations are safe for
// concurrent use.
type Identity interface {
	// Login serves the browser's part of a login: first a GET of <p>/login, then
	// whatever comes back to <p>/login or below <p>/login/callback. It either
	// answers itself, with a form or a redirect, and returns nil, or it writes
	// nothing and returns who logged in. An error that is an [*Error] goes to
	// the client, as [ErrAccessDenied] when the person or the identity provider
	// refused; any other is logged and the client told that the login is not
	// possible at the moment.
	Login(w http.ResponseWriter, r *http.Request, l *Login) (*Person, error)
}

// Person is who logged in, as the identity knows them.
type Person struct {
	// Issuer and Subject together are who it is, for good. An e-mail address
	// never is.
	Issuer, Subject string
	Profile         Profile
	// Tokens are what the identity provider gave. They are kept only as
	// [Config.KeepIdentityToken] says; an identity that has none leaves them
	// empty.
	Tokens IdentityTokens
	// Silent says that the identity provider may have asked the person nothing at
	// this login, as it would have with [Login.Force].
	Silent bool
}

// Login is one login that is under way in one browser.
type Login struct {
	// ID names the login in URLs. It is random, and no secret: the browser's
	// cookie of that name makes it good.
	ID string
	// CallbackURL is where an identity provider sends the browser back to, or,
	// with a further segment, an identity that has a redirect URI of its own.
	CallbackURL string
	// Callback says that the request came there, and not to the login page.
	Callback bool
	// ClientName is who the person logs in for; empty for this server's own
	// pages.
	ClientName string
	// Force says that a person who is logged in at the identity provider is to
	// log in again or to choose an account.
	Force bool
	// KeepTokens says that the person's tokens are kept beyond the login: the
	// identity is to ask for ones that can be renewed, if it can.
	KeepTokens bool
	// State is what the identity saved before, sealed in the browser's cookie.
	State json.RawMessage

	server   *Server
	attempt  *attempt
	callback string // of an identity provider with a redirect URI of its own
	taken    bool   // by this request

	way, wayTitle string // of a [Choice]; empty where there is none
}

// title names what the person logs in with.
func (l *Login) title() string { return cmp.Or(l.wayTitle, l.server.cfg.IdentityTitle) }

// path is where the login goes on, below the origin. more are further parameters.
func (l *Login) path(more url.Values) string {
	query := url.Values{"state": {l.ID}}
	if l.way != "" {
		query.Set(choiceParam, l.way)
	}
	maps.Copy(query, more)
	return l.server.cfg.Path + "/login?" + query.Encode()
}

// otherWays is the page where the person chooses anew, or empty.
func (l *Login) otherWays() string {
	if l.way == "" {
		return ""
	}
	return l.server.loginPath(l.ID)
}

// Save keeps state until the browser comes back. It writes a cookie, so it goes
// before any answer.
func (l *Login) Save(w http.ResponseWriter, r *http.Request, state any) error {
	b, err := json.Marshal(state)
	if err != nil {
		return err
	}
	if l.way != "" {
		if b, err = json.Marshal(chosen{Way: l.way, State: b}); err != nil {
			return err
		}
	}
	l.attempt.State = b
	return l.server.saveAttempt(w, r, l.attempt)
}

// saved reads what [Login.Save] wrote; false if there is nothing.
func (l *Login) saved(state any) bool {
	return len(l.State) > 0 && json.Unmarshal(l.State, state) == nil
}

// take reports whether this login has not been taken before: one that was is
// over, whatever came of it. An identity takes a login before it does what must
// not happen twice; where it did not, its end does.
func (l *Login) take(ctx context.Context) (bool, error) {
	if l.taken {
		return true, nil
	}
	cfg := &l.server.cfg
	now := cfg.Now()
	var err error
	l.taken, err = cfg.Store.TakeOnce(ctx, "login:"+l.ID, now.Add(l.attempt.left(now)))
	return l.taken, err
}

// loginOver is the answer to what comes after the end of a login.
func loginOver() *Error { return ErrInvalidRequest.because(nil, "this login is over") }

// answered is an identity to which answers come by redirect.
type answered interface {
	// Callbacks returns the last segments of the redirect URIs, below
	// <p>/login/callback; the empty text is that URI itself.
	Callbacks() []string
}

// CallbackPaths returns the paths below the endpoint's own to which identity
// providers send people back. That of the first versions is always there.
func (s *Server) CallbackPaths() []string {
	paths := []string{callbackPath}
	if a, ok := s.cfg.Identity.(answered); ok {
		for _, name := range a.Callbacks() {
			if name != "" {
				paths = append(paths, callbackPath+"/"+name)
			}
		}
	}
	return paths
}

// formTargeter is an identity that a form's redirects lead to elsewhere than by
// https.
type formTargeter interface {
	// FormTargets returns CSP source expressions.
	FormTargets() []string
}

// loginTargets is where the redirects after a form may lead when a login
// follows: identity providers send people on to others, so that is anywhere by
// https.
func (s *Server) loginTargets() []string {
	targets := []string{"https:"}
	if t, ok := s.cfg.Identity.(formTargeter); ok {
		targets = append(targets, t.FormTargets()...)
	}
	return targets
}

// attempt is a login as the browser's cookie carries it.
type attempt struct {
	ID string `json:"id"`
	// Request is the authorization request that the login is for.
	Request *authorizeRequest `json:"req,omitempty"`
	// Consented says that the person has agreed to it already.
	Consented bool `json:"yes,omitempty"`
	// Return is the own page to come back to when there is no Request.
	Return string          `json:"ret,omitempty"`
	Force  bool            `json:"force,omitempty"`
	State  json.RawMessage `json:"st,omitempty"`
	// Until is when the attempt ends, Unix seconds: saving does not prolong it.
	Until int64 `json:"until"`
}

// clientID is the client that waits for the login, or "".
func (a *attempt) clientID() string {
	if a.Request == nil {
		return ""
	}
	return a.Request.ClientID
}

// begun is when the login began.
func (l *Login) begun() time.Time {
	return time.Unix(l.attempt.Until, 0).Add(-l.server.cfg.LoginLifetime)
}

func (a *attempt) left(now time.Time) time.Duration {
	return time.Unix(a.Until, 0).Sub(now)
}
