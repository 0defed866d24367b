package demo

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// authorizeParams are the parameters of an authorization request (RFC 6749,
// section 4.1.1; RFC 7636, section 4.3). The page carries them from its GET to
// its POST; both check them.
func authorizeParams() []string {
	return []string{"client_id", "redirect_uri", "response_type", "scope", "state", "code_challenge", "code_challenge_method"}
}

// authorization is a checked authorization request.
type authorization struct {
	redirect  *url.URL
	raw       string // the redirect URI as it was sent
	state     string
	scopes    []string
	challenge string
}

// showAuthorize serves GET /authorize: the question.
func (p *Provider) showAuthorize(w http.ResponseWriter, r *http.Request) {
	form := r.URL.Query()
	a := p.readAuthorization(w, r, form)
	if a == nil {
		return
	}
	v := view{Client: p.opts.ClientID, Target: a.redirect.Host, Mailboxes: mailboxes()}
	for _, scope := range a.scopes {
		v.Abilities = append(v.Abilities, ability(scope))
	}
	for _, name := range authorizeParams() {
		if form.Has(name) {
			v.Hidden = append(v.Hidden, field{name, form.Get(name)})
		}
	}
	p.writePage(w, http.StatusOK, v, " "+formTarget(a.redirect))
}

// decideAuthorize serves POST /authorize: the answer.
func (p *Provider) decideAuthorize(w http.ResponseWriter, r *http.Request) {
	if err := p.cross.Check(r); err != nil {
		p.writeErrorPage(w, http.StatusForbidden, "The answer did not come from the page of Postbox.")
		return
	}
	if err := r.ParseForm(); err != nil {
		p.writeErrorPage(w, http.StatusBadRequest, "The form could not be read.")
		return
	}
	form := r.PostForm
	a := p.readAuthorization(w, r, form)
	if a == nil {
		return
	}
	switch form.Get("decision") {
	case "allow":
	case "deny":
		a.sendBack(w, r, "error", "access_denied")
		return
	default:
		p.writeErrorPage(w, http.StatusBadRequest, "Please choose Allow or Deny.")
		return
	}
	box, ok := findMailbox(form.Get("mailbox"))
	if !ok {
		p.writeErrorPage(w, http.StatusBadRequest, "Please go back and choose a mailbox.")
		return
	}
	secret := p.grants.issueCode(&code{
		grant:       &grant{mailbox: box, scopes: a.scopes},
		redirectURI: a.raw, challenge: a.challenge,
	})
	a.sendBack(w, r, "code", secret)
}

// readAuthorization checks a request. When it returns nil, it has answered:
// with a page while the redirect URI is not to be trusted, else there (RFC 6749,
// section 4.1.2.1).
func (p *Provider) readAuthorization(w http.ResponseWriter, r *http.Request, form url.Values) *authorization {
	if name := repeated(form); name != "" {
		p.writeErrorPage(w, http.StatusBadRequest, "The parameter "+name+" stands twice.")
		return nil
	}
	if !same(form.Get("client_id"), p.opts.ClientID) {
		p.writeErrorPage(w, http.StatusBadRequest, "Postbox does not know this client_id.")
		return nil
	}
	a := &authorization{raw: form.Get("redirect_uri"), state: form.Get("state"), challenge: form.Get("code_challenge")}
	var ok bool
	if a.redirect, ok = loopbackURL(a.raw); !ok {
		p.writeErrorPage(w, http.StatusBadRequest, "The redirect_uri is not an address of this machine.")
		return nil
	}
	if code := a.check(form); code != "" {
		a.sendBack(w, r, "error", code)
		return nil
	}
	return a
}

// check reads what errors are sent back for, and returns the code of the error.
func (a *authorization) check(form url.Values) string {
	if form.Get("response_type") != "code" {
		return "unsupported_response_type"
	}
	sum, err := base64.RawURLEncoding.Strict().DecodeString(a.challenge)
	if err != nil || len(sum) != len(key{}) || form.Get("code_challenge_method") != "S256" {
		return "invalid_request"
	}
	a.scopes = strings.Fields(form.Get("scope"))
	if len(a.scopes) == 0 {
		a.scopes = []string{scopeProfile}
	}
	slices.Sort(a.scopes)
	a.scopes = slices.Compact(a.scopes)
	if slices.ContainsFunc(a.scopes, func(scope string) bool { return ability(scope) == "" }) {
		return "invalid_scope"
	}
	return ""
}

// sendBack redirects to the client with one more parameter and the state.
func (a *authorization) sendBack(w http.ResponseWriter, r *http.Request, name, value string) {
	to := *a.redirect
	q := to.Query()
	q.Set(name, value)
	if a.state != "" {
		q.Set("state", a.state)
	}
	to.RawQuery = q.Encode()
	http.Redirect(w, r, to.String(), http.StatusSeeOther)
}

// ability says what a scope allows, or nothing for an unknown one.
func ability(scope string) string {
	switch scope {
	case scopeMessages:
		return "read your messages"
	case scopeProfile:
		return "see your name and address"
	}
	return ""
}

// repeated returns a parameter that stands twice, which is forbidden (RFC 6749,
// section 3.1).
func repeated(form url.Values) string {
	for name, values := range form {
		if len(values) > 1 {
			return name
		}
	}
	return ""
}
