package demo

import (
	"crypto/subtle"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// tokenAnswer is the answer of /token (RFC 6749, section 5.1).
type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"` // seconds
	RefreshToken string `json:"refresh_token"`
	Scope        string `json:"scope"`
}

// serveToken serves POST /token.
func (p *Provider) serveToken(w http.ResponseWriter, r *http.Request) {
	form, ok := p.readClientForm(w, r)
	if !ok {
		return
	}
	var t tokens
	var bad *problem
	switch form.Get("grant_type") {
	case "authorization_code":
		t, bad = p.grants.redeem(form.Get("code"), form.Get("redirect_uri"), form.Get("code_verifier"))
	case "refresh_token":
		t, bad = p.grants.rotate(form.Get("refresh_token"), strings.Fields(form.Get("scope")))
	case "":
		bad = &problem{"invalid_request", "grant_type is missing"}
	default:
		bad = &problem{"unsupported_grant_type", "there are authorization_code and refresh_token"}
	}
	if bad != nil {
		writeJSON(w, http.StatusBadRequest, bad)
		return
	}
	writeJSON(w, http.StatusOK, tokenAnswer{
		AccessToken: t.access, TokenType: "Bearer", ExpiresIn: int64(p.opts.TokenLifetime / time.Second),
		RefreshToken: t.refresh, Scope: strings.Join(t.scopes, " "),
	})
}

// serveRevoke serves POST /revoke (RFC 7009): 200 also for an unknown token.
func (p *Provider) serveRevoke(w http.ResponseWriter, r *http.Request) {
	form, ok := p.readClientForm(w, r)
	if !ok {
		return
	}
	if form.Get("token") == "" {
		writeJSON(w, http.StatusBadRequest, problem{"invalid_request", "token is missing"})
		return
	}
	p.grants.revoke(form.Get("token"))
	w.WriteHeader(http.StatusOK)
}

// readClientForm returns the form of a request by the client. When it reports
// false, it has answered.
func (p *Provider) readClientForm(w http.ResponseWriter, r *http.Request) (url.Values, bool) {
	if err := r.ParseForm(); err != nil {
		writeJSON(w, http.StatusBadRequest, problem{"invalid_request", "the form could not be read"})
		return nil, false
	}
	form := r.PostForm // not r.Form: nothing of it may stand in the URL
	if name := repeated(form); name != "" {
		writeJSON(w, http.StatusBadRequest, problem{"invalid_request", "a parameter stands twice"})
		return nil, false
	}
	header := r.Header.Get("Authorization")
	if header != "" && form.Has("client_secret") {
		writeJSON(w, http.StatusBadRequest, problem{"invalid_request", "the client authenticates in two ways"})
		return nil, false
	}
	id, secret := form.Get("client_id"), form.Get("client_secret")
	if header != "" {
		id, secret = basicClient(r)
	}
	if !p.isClient(id, secret) {
		w.Header().Set("WWW-Authenticate", `Basic realm="postbox"`)
		writeJSON(w, http.StatusUnauthorized, problem{"invalid_client", "client_id or client_secret is wrong"})
		return nil, false
	}
	return form, true
}

// basicClient reads client_secret_basic, whose parts are form-encoded (RFC 6749,
// section 2.3.1).
func basicClient(r *http.Request) (id, secret string) {
	rawID, rawSecret, _ := r.BasicAuth()
	id, errID := url.QueryUnescape(rawID)
	secret, errSecret := url.QueryUnescape(rawSecret)
	if errID != nil || errSecret != nil {
		return "", ""
	}
	return id, secret
}

func (p *Provider) isClient(id, secret string) bool {
	known := same(id, p.opts.ClientID)
	fits := same(secret, p.opts.ClientSecret)
	return known && fits && secret != ""
}

// same compares in a time that depends on neither text.
func same(a, b string) bool {
	x, y := keyOf(a), keyOf(b)
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
