package authserver

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/internal/web"
)

// maxState bounds the state parameter in bytes, and maxRequest what the client
// chooses in all: it travels in a cookie.
const (
	maxState   = 1024
	maxRequest = 2000
)

// authorizeRequest is an authorization request that was found good (RFC 6749
// section 4.1.1). It travels sealed through the browser, so that a GET of the
// authorization endpoint writes nothing anywhere.
type authorizeRequest struct {
	ClientID    string   `json:"c"`
	RedirectURI string   `json:"r"`
	State       string   `json:"s,omitempty"`
	HasState    bool     `json:"hs,omitempty"`
	Challenge   string   `json:"p"`
	Resource    string   `json:"a"`
	Scopes      []string `json:"sc"`
	Prompts     []string `json:"pr,omitempty"`
	// UserCode and the hash of the device code, of a device that waits: see
	// [Device]. It has no redirect URI.
	UserCode string `json:"uc,omitempty"`
	Device   string `json:"d,omitempty"`
}

// serveAuthorize is the authorization endpoint. It only checks the request and
// shows the consent page; it is safe to call twice, as some clients do.
func (s *Server) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	if !onlyMethods(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	req, client, err := s.parseAuthorize(r)
	if err != nil {
		s.refuse(w, r, req, err)
		return
	}
	p, err := s.person(w, r)
	if err != nil {
		s.refuse(w, r, req, err)
		return
	}
	if slices.Contains(req.Prompts, "login") {
		p = nil
	}
	if p != nil && !slices.Contains(req.Prompts, "consent") && !slices.Contains(req.Prompts, "select_account") {
		if done := s.authorizeByMemory(w, r, req, p); done {
			return
		}
	}
	if slices.Contains(req.Prompts, "none") {
		err := ErrConsentRequired.because(nil, "the person has to agree")
		if p == nil {
			err = ErrLoginRequired.because(nil, "the person has to log in")
		}
		s.refuse(w, r, req, err)
		return
	}
	s.showConsent(w, r, req, client, p)
}

// parseAuthorize checks an authorization request. A request with an error tells
// by what is in req whether the client may hear of it: only with a redirect URI
// that is the client's (RFC 6749 section 4.1.2.1).
func (s *Server) parseAuthorize(r *http.Request) (*authorizeRequest, *Client, error) {
	req := new(authorizeRequest)
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return req, nil, ErrInvalidRequest.because(err, "the query is malformed")
	}
	if len(q["client_id"]) > 1 || len(q["redirect_uri"]) > 1 {
		return req, nil, ErrInvalidRequest.because(nil, "client_id and redirect_uri may come only once")
	}
	client, err := s.authorizeClient(r, q)
	if err != nil {
		return req, nil, err
	}
	if req.RedirectURI, err = chooseRedirectURI(client, q); err != nil {
		return req, nil, err
	}
	req.ClientID, req.Resource = client.ID, s.cfg.Endpoint(r)
	// From here on the client hears of errors.
	if states := q["state"]; len(states) == 1 {
		req.State, req.HasState = states[0], true
	}
	return req, client, s.fillAuthorize(r, req, q)
}

func (s *Server) authorizeClient(r *http.Request, q url.Values) (*Client, error) {
	id := q.Get("client_id")
	if id == "" {
		return nil, ErrInvalidRequest.because(nil, "client_id is missing")
	}
	if own, err := url.Parse(s.cfg.Endpoint(r)); err == nil && documentHost(id) == own.Hostname() {
		return nil, ErrInvalidClient.because(nil, "this server is not a client of its own")
	}
	client, err := s.client(r, id)
	if errors.Is(err, ErrNotFound) {
		return nil, ErrInvalidClient.because(nil, "this app is not known here, or no longer: remove the server in the app and add it again")
	}
	return client, err
}

// chooseRedirectURI returns where the answer goes. A client with several
// redirect URIs must say which (OAuth 2.1 section 4.1.1).
func chooseRedirectURI(c *Client, q url.Values) (string, error) {
	uri := q.Get("redirect_uri")
	if !q.Has("redirect_uri") {
		if len(c.RedirectURIs) != 1 {
			return "", ErrInvalidRequest.because(nil, "redirect_uri is missing, and the app has more than one")
		}
		return c.RedirectURIs[0], nil
	}
	for _, registered := range c.RedirectURIs {
		if matchRedirectURI(registered, uri) {
			return uri, nil
		}
	}
	return "", ErrInvalidRequest.because(nil, "redirect_uri is not one that the app registered")
}

// fillAuthorize checks the parameters that are not about the client.
func (s *Server) fillAuthorize(r *http.Request, req *authorizeRequest, q url.Values) error {
	if err := onlyOnce(q, "resource"); err != nil {
		return err
	}
	if len(req.State) > maxState {
		return ErrInvalidRequest.because(nil, "state is longer than %d bytes", maxState)
	}
	if len(req.State)+len(req.RedirectURI)+len(req.ClientID) > maxRequest {
		return ErrInvalidRequest.because(nil, "state, redirect_uri and client_id together are longer than %d bytes", maxRequest)
	}
	switch {
	case q.Has("request"):
		return ErrRequestNotSupported.because(nil, "request objects are not supported")
	case q.Has("request_uri"):
		return ErrRequestURINotAllowed.because(nil, "request_uri is not supported")
	case !q.Has("response_type"):
		return ErrInvalidRequest.because(nil, "response_type is missing")
	case q.Get("response_type") != "code":
		return ErrUnsupportedResponse.because(nil, "response_type must be code")
	case q.Has("response_mode") && q.Get("response_mode") != "query":
		return ErrInvalidRequest.because(nil, "response_mode must be query")
	}
	req.Challenge = q.Get("code_challenge")
	if err := checkChallenge(req.Challenge, q.Get("code_challenge_method")); err != nil {
		return err
	}
	req.Scopes = s.knownScopes(q.Get("scope"))
	req.Prompts = strings.Fields(q.Get("prompt"))
	if slices.Contains(req.Prompts, "none") && len(req.Prompts) > 1 {
		return ErrInvalidRequest.because(nil, "prompt none does not go with others")
	}
	return s.checkResource(r, q["resource"])
}

// refuse tells the client of an error by redirect when the redirect URI is
// known to be its own, and otherwise the person on a page.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, req *authorizeRequest, err error) {
	e := asError(err)
	s.logError(r, e)
	if req.isDevice() {
		s.shutOut(w, r, req, e)
		return
	}
	if req == nil || req.RedirectURI == "" {
		s.errorPage(w, r, e)
		return
	}
	s.answerClient(w, r, req, url.Values{"error": {e.Code}, "error_description": {e.Description}})
}

// answerClient sends the browser back to the client with params, the state as
// it came, and the issuer (RFC 9207 section 2).
func (s *Server) answerClient(w http.ResponseWriter, r *http.Request, req *authorizeRequest, params url.Values) {
	if req.HasState {
		params.Set("state", req.State)
	}
	params.Set("iss", s.cfg.Endpoint(r))
	separator := "?"
	if strings.Contains(req.RedirectURI, "?") {
		separator = "&"
	}
	redirect(w, r, req.RedirectURI+separator+params.Encode())
}

// giveCode makes a code for a person who agreed and sends it to the client.
func (s *Server) giveCode(w http.ResponseWriter, r *http.Request, req *authorizeRequest, user *User) {
	if req.isDevice() {
		s.letIn(w, r, req, user)
		return
	}
	code := randomSecret()
	err := s.cfg.Store.AddCode(r.Context(), &Code{
		Hash: hashOf(code), FamilyID: randomID(), ClientID: req.ClientID, UserID: user.ID,
		RedirectURI: req.RedirectURI, CodeChallenge: req.Challenge, Resource: req.Resource,
		Scopes: req.Scopes, ExpiresAt: s.cfg.Now().Add(s.cfg.CodeLifetime),
	})
	if err != nil {
		s.refuse(w, r, req, err)
		return
	}
	s.log.Info("code given", zap.String("user", user.ID), zap.String("client_id", req.ClientID))
	s.answerClient(w, r, req, url.Values{"code": {code}})
}

// query writes the request as the query of an authorization request, to begin
// again with the consent page.
func (req *authorizeRequest) query() string {
	q := url.Values{
		"response_type": {"code"}, "client_id": {req.ClientID}, "redirect_uri": {req.RedirectURI},
		"code_challenge": {req.Challenge}, "code_challenge_method": {"S256"},
		"resource": {req.Resource}, "scope": {strings.Join(req.Scopes, " ")},
	}
	if req.HasState {
		q.Set("state", req.State)
	}
	return q.Encode()
}

// errorPage tells the person what went wrong. There is no way on from here: a
// link to a redirect URI that was not found good would make this server an open
// redirector (RFC 9700 section 4.11).
func (s *Server) errorPage(w http.ResponseWriter, r *http.Request, e *Error) {
	s.logError(r, e)
	title := "This did not work"
	if e.Status >= http.StatusInternalServerError {
		title = "Not possible at the moment"
		w.Header().Set("Retry-After", "5")
	}
	status := e.Status
	if status == http.StatusUnauthorized {
		status = http.StatusBadRequest // nothing here asks the browser for credentials
	}
	text := []string{sentence(e.Description)}
	if status < http.StatusInternalServerError {
		text = append(text, "Go back to the app that sent you here and start again.")
	}
	s.cfg.Pages.Message(w, r, web.Message{Status: status, Title: title, Text: text})
}

// sentence makes a sentence of an error's description. A parameter's name stays
// as it is.
func sentence(s string) string {
	first, _, _ := strings.Cut(s, " ")
	if s == "" || strings.Contains(first, "_") {
		return s + "."
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}
