package authserver

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"go.uber.org/zap"
)

const attemptPurpose = "login attempt"

// startLogin opens a login in this browser and sends it to the login page. Only
// now, after consent, is there a state cookie.
func (s *Server) startLogin(w http.ResponseWriter, r *http.Request, a *attempt) {
	a.ID = randomID()
	a.Until = s.cfg.Now().Add(s.cfg.LoginLifetime).Unix()
	a.Force = a.Force || s.loginTooOld(r)
	s.makeRoomForAttempt(w, r)
	if err := s.saveAttempt(w, r, a); err != nil {
		s.errorPage(w, r, asError(err))
		return
	}
	redirect(w, r, s.loginPath(a.ID))
}

func (s *Server) loginPath(id string) string {
	return s.cfg.Path + "/login?" + url.Values{"state": {id}}.Encode()
}

func (s *Server) saveAttempt(w http.ResponseWriter, r *http.Request, a *attempt) error {
	left := a.left(s.cfg.Now())
	sealed, err := s.seal(attemptPurpose, a, left)
	if err != nil {
		return err
	}
	if len(sealed) > maxAttemptCookie {
		return ErrInvalidRequest.because(nil, "the request is too long")
	}
	s.setCookie(w, r, attemptSuffix+a.ID, sealed, left)
	return nil
}

// callbackPath is where identity providers send people back to, below the
// endpoint's own path.
const callbackPath = "/login/callback"

// serveLogin serves <p>/login and what [Server.CallbackPaths] lists: it finds the login that
// the browser has open by that state and hands over to the identity. A state
// whose cookie this browser does not hold is refused: somebody else began that
// login (RFC 9700 section 4.7).
func (s *Server) serveLogin(w http.ResponseWriter, r *http.Request) {
	if !onlyMethods(w, r, http.MethodGet, http.MethodHead, http.MethodPost) {
		return
	}
	a, err := s.openAttempt(r)
	if err != nil {
		s.errorPage(w, r, asError(err))
		return
	}
	name, isCallback := strings.CutPrefix(r.URL.Path, s.cfg.Path+callbackPath)
	l := &Login{
		ID: a.ID, CallbackURL: s.cfg.Endpoint(r) + callbackPath, Callback: isCallback, callback: strings.TrimPrefix(name, "/"),
		Force: a.Force, KeepTokens: s.cfg.KeepIdentityToken != "", State: a.State, server: s, attempt: a,
	}
	if a.Request != nil {
		client, err := s.client(r, a.Request.ClientID)
		if err != nil {
			s.errorPage(w, r, asError(err))
			return
		}
		l.ClientName = client.displayName()
	}
	person, err := s.cfg.Identity.Login(w, r, l)
	switch {
	case err != nil:
		s.loginFailed(w, r, a, err)
	case person != nil:
		s.loggedIn(w, r, l, person)
	}
}

// openAttempt returns the login that the request is about.
func (s *Server) openAttempt(r *http.Request) (*attempt, error) {
	id := r.URL.Query().Get("state")
	a := new(attempt)
	if id == "" || s.open(attemptPurpose, s.cookie(r, attemptSuffix+id), a) != nil || a.ID != id {
		return nil, ErrInvalidRequest.because(nil, "this login has expired, or was not begun in this browser")
	}
	return a, nil
}

// loginFailed tells the client, or the person when no client waits.
func (s *Server) loginFailed(w http.ResponseWriter, r *http.Request, a *attempt, err error) {
	var e *Error
	if !errors.As(err, &e) {
		e = ErrUnavailable.because(err, "the login is not possible at the moment, try again later")
	}
	s.tell(EventLogin, e)
	s.log.Info("login failed", zap.String("client_id", a.clientID()), zap.String("outcome", e.Code))
	s.setCookie(w, r, attemptSuffix+a.ID, "", 0)
	s.refuse(w, r, a.Request, e)
}

// loggedIn makes the person a user of the realm, logs the browser in, and goes
// on where the login began. A login counts once: what comes with the same
// state again gets nothing.
func (s *Server) loggedIn(w http.ResponseWriter, r *http.Request, l *Login, p *Person) {
	ctx, now, a := r.Context(), s.cfg.Now(), l.attempt
	first, err := l.take(ctx)
	if err != nil {
		s.tell(EventLogin, err)
		s.refuse(w, r, a.Request, err)
		return
	}
	if !first {
		s.errorPage(w, r, loginOver())
		return
	}
	if !s.cfg.Admit(&User{Issuer: p.Issuer, Subject: p.Subject, Profile: p.Profile}) {
		s.log.Info("person not admitted", zap.String("issuer", p.Issuer), zap.String("client_id", a.clientID()))
		s.loginFailed(w, r, a, ErrAccessDenied.because(nil, "this account may not use %s", s.cfg.Name))
		return
	}
	user, err := s.cfg.Store.UpsertUser(ctx, randomID(), p.Issuer, p.Subject, p.Profile, now)
	if err == nil {
		s.forgetUser(user.ID) // tokens of before stand for what the identity says now
		err = s.keepLogin(ctx, user.ID, p)
	}
	if err == nil {
		err = s.startSession(w, r, user, l.title())
	}
	if errors.Is(err, errSilentLogin) {
		s.log.Info("person is asked to log in anew", zap.String("user", user.ID), zap.String("client_id", a.clientID()))
		s.setCookie(w, r, attemptSuffix+a.ID, "", 0)
		s.startLogin(w, r, &attempt{Request: a.Request, Consented: a.Consented, Return: a.Return, Force: true})
		return
	}
	s.tell(EventLogin, err)
	if err != nil {
		s.refuse(w, r, a.Request, err)
		return
	}
	s.setCookie(w, r, attemptSuffix+a.ID, "", 0)
	s.log.Info("person logged in", zap.String("user", user.ID), zap.String("client_id", a.clientID()))
	switch {
	case a.Request == nil:
		redirect(w, r, a.Return)
	case a.Consented:
		s.consentGiven(r, a.Request, user)
		s.giveCode(w, r, a.Request, user)
	default:
		redirect(w, r, s.again(a.Request))
	}
}
