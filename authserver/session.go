package authserver

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/internal/web"
)

// sessionTouch is the part of a session's idle time that must be gone before
// its end is moved, a tenth: not every page is a write.
const sessionTouch = 10

// person is who is logged in in a browser.
type person struct {
	session *Session
	user    *User
}

// displayName is what pages call a person.
func (u *User) displayName() string {
	switch {
	case u.Profile.Name != "" && u.Profile.Email != "":
		return u.Profile.Name + " (" + u.Profile.Email + ")"
	case u.Profile.Name != "":
		return u.Profile.Name
	case u.Profile.Email != "":
		return u.Profile.Email
	}
	return u.Subject
}

// person returns who is logged in in the browser that sent r, or nil. Whoever has
// to log in at the identity provider again is not.
func (s *Server) person(w http.ResponseWriter, r *http.Request) (*person, error) {
	value := s.cookie(r, "")
	if value == "" {
		return nil, nil
	}
	ctx, now := r.Context(), s.cfg.Now()
	session, err := s.cfg.Store.Session(ctx, hashOf(value), now)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	user, err := s.cfg.Store.User(ctx, session.UserID)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !s.cfg.Admit(user) || s.identityGone(ctx, user.ID) {
		return nil, nil
	}
	if left := session.ExpiresAt.Sub(now); left < s.cfg.SessionIdle-s.cfg.SessionIdle/sessionTouch {
		if err := s.cfg.Store.ExtendSession(ctx, session.Hash, now.Add(s.cfg.SessionIdle)); err != nil {
			s.log.Warn("a login session could not be extended", zap.Error(err))
		} else {
			s.setCookie(w, r, "", value, s.cfg.SessionIdle)
		}
	}
	return &person{session, user}, nil
}

// startSession logs a person in in this browser, in place of whoever was. identity
// names what they logged in with.
func (s *Server) startSession(w http.ResponseWriter, r *http.Request, user *User, identity string) error {
	if old := s.cookie(r, ""); old != "" {
		if err := s.cfg.Store.DeleteSession(r.Context(), hashOf(old)); err != nil {
			return err
		}
	}
	value, now := randomSecret(), s.cfg.Now()
	err := s.cfg.Store.AddSession(r.Context(), &Session{
		Hash: hashOf(value), UserID: user.ID, Identity: identity,
		CreatedAt: now, ExpiresAt: now.Add(s.cfg.SessionIdle),
	})
	if err != nil {
		return err
	}
	s.setCookie(w, r, "", value, s.cfg.SessionIdle)
	return nil
}

// BrowserPerson is who is logged in in a browser, for pages that other packages
// own.
type BrowserPerson struct {
	User   *User
	UserID string
	Name   string // what pages call the person
	Email  string
	// Session is an opaque id of the login, to bind forms to.
	Session string
}

// Person returns who is logged in in the browser that sent r. When nobody is,
// it answers with a login that comes back to the same URL, and returns false.
func (s *Server) Person(w http.ResponseWriter, r *http.Request) (BrowserPerson, bool) {
	p, err := s.person(w, r)
	if err != nil {
		s.errorPage(w, r, asError(err))
		return BrowserPerson{}, false
	}
	if p == nil {
		s.startLogin(w, r, &attempt{Return: r.URL.RequestURI()})
		return BrowserPerson{}, false
	}
	return BrowserPerson{
		User: p.user, UserID: p.user.ID, Name: p.user.displayName(), Email: p.user.Profile.Email,
		Session: hex.EncodeToString(p.session.Hash),
	}, true
}

// serveLogout ends the login of this browser. Tokens of clients live on.
func (s *Server) serveLogout(w http.ResponseWriter, r *http.Request) {
	if !onlyMethods(w, r, http.MethodPost) {
		return
	}
	if !web.SameOrigin(r, s.cfg.Endpoint(r)) {
		s.errorPage(w, r, asError(forgedForm(nil)))
		return
	}
	if value := s.cookie(r, ""); value != "" {
		if err := s.cfg.Store.DeleteSession(r.Context(), hashOf(value)); err != nil {
			s.errorPage(w, r, asError(err))
			return
		}
	}
	s.setCookie(w, r, "", "", 0)
	s.cfg.Pages.Message(w, r, web.Message{
		Status: http.StatusOK, Title: "You are logged out", OK: true,
		Text: []string{"This browser is logged out of " + s.cfg.Name + ". Apps that you connected keep working until you disconnect them there."},
	})
}

// SweepClients removes clients that are not used, as Config.Registration says,
// and returns how many.
func (s *Server) SweepClients(ctx context.Context) (int, error) {
	now := s.cfg.Now()
	return s.cfg.Store.SweepClients(ctx, now.Add(-s.cfg.Registration.UnusedFor), now.Add(-s.cfg.Registration.IdleFor))
}
