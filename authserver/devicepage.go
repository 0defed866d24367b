package authserver

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/internal/web"
)

const devicePurpose = "device form"

// deviceForm binds the form for a user code to the browser.
type deviceForm struct {
	Browser []byte `json:"b"`
}

// serveDevice is the verification page (RFC 8628 section 3.3). The person types
// the code that the device shows, or sees the one that the address brought: it is
// for them to compare, since who sent them the address may have begun the
// authorization (section 5.4).
func (s *Server) serveDevice(w http.ResponseWriter, r *http.Request) {
	if !onlyMethods(w, r, http.MethodGet, http.MethodHead, http.MethodPost) {
		return
	}
	if r.Method != http.MethodPost {
		code, _ := readUserCode(r.URL.Query().Get("user_code"))
		s.askUserCode(w, r, http.StatusOK, code, "")
		return
	}
	code, err := s.readDeviceForm(w, r)
	if err != nil {
		s.errorPage(w, r, asError(err))
		return
	}
	s.findDevice(w, r, code)
}

func (s *Server) askUserCode(w http.ResponseWriter, r *http.Request, status int, code, problem string) {
	token, err := s.seal(devicePurpose, deviceForm{Browser: s.browser(w, r)}, s.cfg.LoginLifetime)
	if err != nil {
		s.errorPage(w, r, asError(err))
		return
	}
	page := web.Device{Error: problem, Form: web.Form{Action: s.cfg.Path + "/device", Token: token}}
	if len(code) == userCodeLength {
		page.Code = showUserCode(code)
	}
	s.cfg.Pages.Device(w, r, status, page)
}

// readDeviceForm returns what the person typed.
func (s *Server) readDeviceForm(w http.ResponseWriter, r *http.Request) (string, error) {
	var form deviceForm
	values, err := s.readPageForm(w, r, devicePurpose, &form)
	if err == nil && !s.isBrowser(r, form.Browser) {
		err = forgedForm(nil)
	}
	return values.Get("user_code"), err
}

// findDevice goes on to the consent page for the device of a code. Only codes that
// are none count against the address.
func (s *Server) findDevice(w http.ResponseWriter, r *http.Request, typed string) {
	code, ok := readUserCode(typed)
	if !ok {
		s.askUserCode(w, r, http.StatusUnprocessableEntity, "", "That is no code. It has eight letters, such as BCDF-GHJK.")
		return
	}
	wait, undo := s.deviceGuesses.count(addrKey(s.cfg.ClientAddr(r)), s.cfg.Now())
	if wait > 0 {
		s.askUserCode(w, r, http.StatusTooManyRequests, "", "Too many tries. Wait a few minutes and try again.")
		return
	}
	d, err := s.cfg.Store.DeviceByUserCode(r.Context(), hashOf(code), s.cfg.Now())
	if errors.Is(err, ErrNotFound) || err == nil && d.Resource != s.cfg.Endpoint(r) {
		s.askUserCode(w, r, http.StatusUnprocessableEntity, "", "No device waits with that code. It may have taken too long: start again there.")
		return
	}
	undo()
	if err != nil {
		s.errorPage(w, r, asError(err))
		return
	}
	s.showDeviceConsent(w, r, code, d)
}

func (s *Server) showDeviceConsent(w http.ResponseWriter, r *http.Request, code string, d *Device) {
	client, err := s.client(r, d.ClientID)
	if errors.Is(err, ErrNotFound) {
		err = ErrInvalidClient.because(nil, "this app is not known here any more")
	}
	var p *person
	if err == nil {
		p, err = s.person(w, r)
	}
	if err != nil {
		s.errorPage(w, r, asError(err))
		return
	}
	s.showConsent(w, r, &authorizeRequest{
		ClientID: d.ClientID, Resource: d.Resource, Scopes: d.Scopes, UserCode: code,
		Device: base64.RawURLEncoding.EncodeToString(d.Hash),
	}, client, p)
}

// isDevice says that the request is a device's: its answer goes to no browser.
func (req *authorizeRequest) isDevice() bool { return req != nil && req.UserCode != "" }

// letIn is giveCode for a device: it gets its tokens at the next poll.
func (s *Server) letIn(w http.ResponseWriter, r *http.Request, req *authorizeRequest, user *User) {
	hash, err := base64.RawURLEncoding.DecodeString(req.Device)
	if err != nil {
		s.errorPage(w, r, asError(err))
		return
	}
	now := s.cfg.Now()
	err = s.cfg.Store.DecideDevice(r.Context(), hashOf(req.UserCode), &Code{
		Hash: hash, FamilyID: randomID(), ClientID: req.ClientID, UserID: user.ID, Resource: req.Resource,
		Scopes: req.Scopes, ExpiresAt: now.Add(deviceLifetime),
	}, now)
	if err != nil {
		s.errorPage(w, r, deviceOver(err))
		return
	}
	s.log.Info("device let in", zap.String("user", user.ID), zap.String("client_id", req.ClientID))
	s.cfg.Pages.Message(w, r, web.Message{
		Status: http.StatusOK, OK: true, Title: "Your device is let in",
		Text: []string{"It goes on by itself within a few seconds. You can close this page."},
	})
}

// shutOut is refuse for a device. What may succeed later leaves it waiting.
func (s *Server) shutOut(w http.ResponseWriter, r *http.Request, req *authorizeRequest, e *Error) {
	if !errors.Is(e, ErrAccessDenied) {
		s.errorPage(w, r, e)
		return
	}
	if err := s.cfg.Store.DecideDevice(r.Context(), hashOf(req.UserCode), nil, s.cfg.Now()); err != nil {
		s.errorPage(w, r, deviceOver(err))
		return
	}
	s.log.Info("device shut out", zap.String("client_id", req.ClientID))
	s.cfg.Pages.Message(w, r, web.Message{
		Status: http.StatusOK, Title: "The device was not let in", Text: []string{sentence(e.Description), "You can close this page."},
	})
}

// deviceOver is the answer to a decision that comes too late.
func deviceOver(err error) *Error {
	if errors.Is(err, ErrTaken) {
		return ErrInvalidRequest.because(nil, "this device does not wait any more")
	}
	return asError(err)
}

// again is where the request begins anew, with the consent page.
func (s *Server) again(req *authorizeRequest) string {
	if req.isDevice() {
		return s.cfg.Path + "/device?" + url.Values{"user_code": {showUserCode(req.UserCode)}}.Encode()
	}
	return s.cfg.Path + "/authorize?" + req.query()
}

// targets are where the redirect to the client may lead.
func (req *authorizeRequest) targets() []string {
	if req == nil || req.isDevice() {
		return nil
	}
	return []string{formTarget(req.RedirectURI)}
}
