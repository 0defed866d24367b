package connect

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/internal/web"
)

// maxForm bounds the body of a form in bytes.
const maxForm = 64 << 10

// maxAttempts is how many connections one browser may have under way.
const maxAttempts = 5

// path returns the path of a page of the endpoint that r is for.
func (h *Handler) path(r *http.Request, page string) string {
	u, err := url.Parse(h.cfg.Endpoint(r))
	if err != nil {
		return page
	}
	return u.Path + page
}

// callbackPath is where a provider sends the browser back to, below the endpoint.
func (h *Handler) callbackPath(provider string) string {
	if own := h.cfg.Grants.Callback(provider); own != "" {
		return "/connect/callback/" + own
	}
	return "/connect/callback"
}

// callbackURL is the redirect URI at a provider.
func (h *Handler) callbackURL(r *http.Request, provider string) string {
	return h.cfg.Endpoint(r) + h.callbackPath(provider)
}

// readForm reads a form of ours: from our own page, of a person who is logged
// in, with a token that is sealed for purpose. It returns the values of field.
func (h *Handler) readForm(w http.ResponseWriter, r *http.Request, purpose string, record any, expiry *int64, field string) (string, Person, bool) {
	if !web.SameOrigin(r, h.cfg.Endpoint(r)) {
		h.forged(w, r)
		return "", Person{}, false
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		h.message(w, r, http.StatusBadRequest, "This did not work", "The form could not be read.")
		return "", Person{}, false
	}
	if err := h.open(purpose, h.cfg.Endpoint(r), r.PostForm.Get("token"), record, expiry); err != nil {
		h.forged(w, r)
		return "", Person{}, false
	}
	who, ok := h.cfg.Browser.Person(w, r)
	return r.PostForm.Get(field), who, ok
}

// attemptCookie names the cookie of one connection. The prefix __Secure- makes
// browsers insist on https; plain http is for loopback alone.
func (h *Handler) attemptCookie(r *http.Request, id string) string {
	sum := sha256.Sum256([]byte(h.cfg.Endpoint(r)))
	name := "alter_mcp_" + hex.EncodeToString(sum[:4]) + "_c_" + id
	if h.secure(r) {
		return "__Secure-" + name
	}
	return name
}

func (h *Handler) secure(r *http.Request) bool {
	return strings.HasPrefix(h.cfg.Endpoint(r), "https:")
}

// saveAttempt keeps a connection in a cookie of its own, in place of the oldest
// when there are too many.
func (h *Handler) saveAttempt(w http.ResponseWriter, r *http.Request, a *attempt) error {
	sealed, err := h.seal(attemptPurpose, h.cfg.Endpoint(r), a)
	if err != nil {
		return err
	}
	var open []string
	prefix := h.attemptCookie(r, "")
	for _, c := range r.Cookies() { // the oldest first (RFC 6265 section 5.4)
		if id, ok := strings.CutPrefix(c.Name, prefix); ok {
			open = append(open, id)
		}
	}
	for ; len(open) >= maxAttempts; open = open[1:] {
		h.dropAttempt(w, r, open[0])
	}
	h.setCookie(w, r, a.ID, sealed, int(h.cfg.AttemptLifetime.Seconds()))
	return nil
}

func (h *Handler) dropAttempt(w http.ResponseWriter, r *http.Request, id string) {
	h.setCookie(w, r, id, "", -1)
}

func (h *Handler) setCookie(w http.ResponseWriter, r *http.Request, id, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: h.attemptCookie(r, id), Value: value, Path: h.path(r, ""), MaxAge: maxAge,
		Secure: h.secure(r), HttpOnly: true,
		SameSite: http.SameSiteLaxMode, // the provider sends the browser back from another site
	})
}

// openAttempt returns the connection that this browser has under way by that
// state.
func (h *Handler) openAttempt(r *http.Request, state string) (*attempt, error) {
	cookie, err := r.Cookie(h.attemptCookie(r, state))
	if state == "" || err != nil {
		return nil, errSealed
	}
	a := new(attempt)
	if err := h.open(attemptPurpose, h.cfg.Endpoint(r), cookie.Value, a, &a.Expiry); err != nil {
		return nil, err
	}
	if a.ID != state {
		return nil, errSealed
	}
	return a, nil
}

// message shows a page at the end of a way.
func (h *Handler) message(w http.ResponseWriter, r *http.Request, status int, title, text string) {
	h.cfg.Pages.Message(w, r, web.Message{Status: status, Title: title, Text: []string{text}})
}

func (h *Handler) forged(w http.ResponseWriter, r *http.Request) {
	h.message(w, r, http.StatusForbidden, "This did not work",
		"The form has expired, or was not made for this browser. Open the link from your app once more.")
}

// unavailable tells of a fault of ours.
func (h *Handler) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	h.log.Error("a page of the vault failed", zap.String("path", r.URL.Path), zap.Error(err))
	w.Header().Set("Retry-After", "5")
	h.message(w, r, http.StatusServiceUnavailable, "Not possible at the moment", "The server cannot do this right now. Try again in a minute.")
}

// redirect answers a form.
func redirect(w http.ResponseWriter, target string) {
	h := w.Header()
	h.Set("Location", target)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(http.StatusSeeOther)
}

func notAllowed(w http.ResponseWriter, allow string) {
	w.Header().Set("Allow", allow)
	http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
}
