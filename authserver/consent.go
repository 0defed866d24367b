package authserver

import (
	"errors"
	"net/http"
	"slices"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/internal/web"
)

// consentForm is what the consent page carries through the browser. Sealed and
// bound to the browser, it is the anti-forgery value as well.
type consentForm struct {
	Request *authorizeRequest `json:"req"`
	Browser []byte            `json:"b"`
	// UserID is who was shown as logged in; empty when a login follows.
	UserID string `json:"u,omitempty"`
}

const consentPurpose = "consent form"

// showConsent asks whether the client may act for the person. It comes before
// the identity provider, so that nobody is sent there unasked (MCP security
// best practices, confused deputy).
func (s *Server) showConsent(w http.ResponseWriter, r *http.Request, req *authorizeRequest, c *Client, p *person) {
	form := consentForm{Request: req, Browser: s.browser(w, r)}
	page := web.Consent{
		ClientName: c.displayName(), Verified: isDocumentID(c.ID), ClientHost: documentHost(c.ID),
		LoginTitle: s.cfg.IdentityTitle, Permissions: s.permissions(req.Scopes),
	}
	if req.isDevice() {
		page.UserCode = showUserCode(req.UserCode)
	} else {
		page.RedirectHost, page.ThisComputer, page.PrivateScheme = redirectHost(req.RedirectURI)
	}
	if p != nil {
		form.UserID, page.UserName = p.user.ID, p.user.displayName()
	}
	token, err := s.seal(consentPurpose, form, s.cfg.LoginLifetime)
	if err != nil {
		s.errorPage(w, r, asError(err))
		return
	}
	page.Form = web.Form{Action: s.cfg.Path + "/consent", Token: token, Targets: append(s.loginTargets(), req.targets()...)}
	s.cfg.Pages.Consent(w, r, page)
}

// serveConsent takes the person's decision.
func (s *Server) serveConsent(w http.ResponseWriter, r *http.Request) {
	if !onlyMethods(w, r, http.MethodPost) {
		return
	}
	form, decision, err := s.readConsent(w, r)
	if err != nil {
		s.errorPage(w, r, asError(err))
		return
	}
	req := form.Request
	if err := s.recheckRequest(r, req); err != nil {
		s.errorPage(w, r, asError(err))
		return
	}
	switch decision {
	case "allow":
		s.consented(w, r, form)
	case "switch":
		s.startLogin(w, r, &attempt{Request: req, Force: true})
	case "deny":
		s.log.Info("consent refused", zap.String("user", form.UserID), zap.String("client_id", req.ClientID))
		s.refuse(w, r, req, ErrAccessDenied.because(nil, "the person said no"))
	default:
		s.errorPage(w, r, ErrInvalidRequest.because(nil, "the form has no decision"))
	}
}

func (s *Server) readConsent(w http.ResponseWriter, r *http.Request) (*consentForm, string, error) {
	var form consentForm
	values, err := s.readPageForm(w, r, consentPurpose, &form)
	if err == nil && !s.isBrowser(r, form.Browser) {
		err = forgedForm(nil)
	}
	return &form, values.Get("decision"), err
}

// recheckRequest makes sure that what was found good when the page was made
// still is: the client may be gone, or the host be another.
func (s *Server) recheckRequest(r *http.Request, req *authorizeRequest) error {
	client, err := s.client(r, req.ClientID)
	if errors.Is(err, ErrNotFound) {
		return ErrInvalidClient.because(nil, "this app is not known here any more")
	}
	if err != nil {
		return err
	}
	known := req.isDevice() || slices.ContainsFunc(client.RedirectURIs, func(uri string) bool { return matchRedirectURI(uri, req.RedirectURI) })
	if !known || req.Resource != s.cfg.Endpoint(r) {
		return ErrInvalidRequest.because(nil, "the request is no longer valid")
	}
	return nil
}

// consented goes on after a yes: with the code when the person who was shown is
// still logged in, and otherwise with the login.
func (s *Server) consented(w http.ResponseWriter, r *http.Request, form *consentForm) {
	if form.UserID == "" {
		s.startLogin(w, r, &attempt{Request: form.Request, Consented: true, Force: slices.Contains(form.Request.Prompts, "login")})
		return
	}
	p, err := s.person(w, r)
	if err != nil {
		s.refuse(w, r, form.Request, err)
		return
	}
	if p == nil || p.user.ID != form.UserID {
		// Somebody else than was shown: ask once more.
		redirect(w, r, s.again(form.Request))
		return
	}
	s.consentGiven(r, form.Request, p.user)
	s.giveCode(w, r, form.Request, p.user)
}

// consentGiven notes a yes, now that it is known whose it is.
func (s *Server) consentGiven(r *http.Request, req *authorizeRequest, user *User) {
	s.log.Info("consent given", zap.String("user", user.ID), zap.String("client_id", req.ClientID), zap.Strings("scopes", req.Scopes))
	s.rememberConsent(r, req, user)
}

// rememberConsent keeps a yes, if the operator wants that. A failure costs a
// page the next time and nothing now.
func (s *Server) rememberConsent(r *http.Request, req *authorizeRequest, user *User) {
	if !s.cfg.RememberConsent || req.isDevice() {
		return
	}
	err := s.cfg.Store.PutConsent(r.Context(), &Consent{
		UserID: user.ID, ClientID: req.ClientID, RedirectURI: consentURI(req.RedirectURI),
		Scopes: req.Scopes, GivenAt: s.cfg.Now(),
	})
	if err != nil {
		s.log.Warn("a consent could not be remembered", zap.Error(err))
	}
}

// authorizeByMemory gives a code without a page to a person who is logged in and
// agreed before to no less than this, and reports whether it answered.
func (s *Server) authorizeByMemory(w http.ResponseWriter, r *http.Request, req *authorizeRequest, p *person) bool {
	if !s.cfg.RememberConsent {
		return false
	}
	given, err := s.cfg.Store.Consent(r.Context(), p.user.ID, req.ClientID, consentURI(req.RedirectURI))
	if err != nil {
		if !errors.Is(err, ErrNotFound) {
			s.log.Warn("a remembered consent could not be read", zap.Error(err))
		}
		return false
	}
	for _, scope := range req.Scopes {
		if !slices.Contains(given.Scopes, scope) {
			return false
		}
	}
	s.giveCode(w, r, req, p.user)
	return true
}

// consentURI is the redirect URI that a consent is remembered for: the port of
// a loopback address differs each time.
func consentURI(uri string) string {
	if without, ok := withoutLoopbackPort(uri); ok {
		return without
	}
	return uri
}
