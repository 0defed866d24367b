package connect

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/internal/web"
)

// maxLabel bounds the label that a URL of the account page may name, in bytes.
const maxLabel = 64

// ServeConnect serves <p>/connect: it asks the person whether to connect an
// account at a provider, and sends the browser there. It is reached by a link
// that a tool call gave, or from the account page by ?provider=.
func (h *Handler) ServeConnect(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		h.showConnect(w, r)
	case http.MethodPost:
		h.startConnect(w, r)
	default:
		notAllowed(w, "GET, HEAD, POST")
	}
}

func (h *Handler) showConnect(w http.ResponseWriter, r *http.Request) {
	l, title, ok := h.wanted(w, r)
	if !ok {
		return
	}
	who, ok := h.cfg.Browser.Person(w, r)
	if !ok {
		return
	}
	if l.UserID == "" { // no link, but the account page
		l.UserID = who.UserID
	}
	if l.UserID != who.UserID {
		h.foreignLink(w, r, l, who)
		return
	}
	if !who.may(l.Provider) {
		h.message(w, r, http.StatusForbidden, "This is not for your account", "Whoever runs this server has not allowed this service for your account.")
		return
	}
	state, err := h.cfg.Grants.Look(r.Context(), l)
	if err != nil {
		h.unavailable(w, r, err)
		return
	}
	l.Scopes = state.Ask
	token, err := h.seal(connectPurpose, h.cfg.Endpoint(r), form{*l, h.until(h.cfg.AttemptLifetime), who.Session})
	if err != nil {
		h.unavailable(w, r, err)
		return
	}
	page := web.Connect{
		ProviderTitle: title, UserName: who.Name, Scopes: state.Scopes, Connected: state.Connected, Missing: state.Missing,
		Form: web.Form{Action: h.path(r, "/connect"), Token: token, Targets: []string{"https:"}},
	}
	if state.Next != nil {
		page.ProviderHost = state.Next.Host
		page.Form.Targets = append(page.Form.Targets, state.Next.Scheme+"://"+state.Next.Host)
	}
	h.cfg.Pages.Connect(w, r, page)
}

// wanted returns what is to be connected: by a link, or else by whoever is
// logged in. A link that is no longer good leads to no login.
func (h *Handler) wanted(w http.ResponseWriter, r *http.Request) (l *Link, title string, ok bool) {
	q := r.URL.Query()
	l = &Link{Provider: q.Get("provider"), Label: q.Get("label")}
	if q.Has("link") {
		var sealed sealedLink
		if err := h.open(linkPurpose, h.cfg.Endpoint(r), q.Get("link"), &sealed, &sealed.Expiry); err != nil || sealed.UserID == "" {
			h.message(w, r, http.StatusBadRequest, "This link is no longer good",
				"Links to connect an account work for a short time only. Ask your app to call the tool again: it gets a new one.")
			return nil, "", false
		}
		l = &sealed.Link
	}
	title, ok = h.cfg.Grants.Provider(l.Provider)
	if !ok || len(l.Label) > maxLabel {
		h.message(w, r, http.StatusNotFound, "There is no such service", "This server has no service of that name to connect.")
		return nil, "", false
	}
	return l, title, true
}

// foreignLink refuses a link of somebody else: whoever made it must not get this
// person's account (MCP 2025-11-25, URL elicitation).
func (h *Handler) foreignLink(w http.ResponseWriter, r *http.Request, l *Link, who Person) {
	h.log.Info("a link to connect was opened by another person", zap.String("user", who.UserID), zap.String("link_of", l.UserID))
	h.cfg.Pages.Message(w, r, web.Message{
		Status: http.StatusForbidden, Title: "This link is for somebody else",
		Text: []string{
			"You are logged in here as " + who.Name + ", and the link was made for another account.",
			"If it came from your own app, log out and log in with the account that you use there. If somebody sent it to you, close this page: connecting would give them your account.",
		},
		Form: &web.Form{Action: h.path(r, "/logout"), Token: "logout"}, Label: "Log out",
	})
}

// startConnect takes the person's decision and sends the browser to the
// provider.
func (h *Handler) startConnect(w http.ResponseWriter, r *http.Request) {
	var f form
	decision, who, ok := h.readForm(w, r, connectPurpose, &f, &f.Expiry, "decision")
	if !ok {
		return
	}
	if f.UserID != who.UserID || f.Session != who.Session {
		h.forged(w, r)
		return
	}
	_, known := h.cfg.Grants.Provider(f.Provider)
	if !known || !who.may(f.Provider) || decision != "allow" {
		h.message(w, r, http.StatusOK, "Nothing was connected", "You can close this page and go back to your app.")
		return
	}
	a := &attempt{form: f, ID: rand.Text()}
	a.Expiry = h.until(h.cfg.AttemptLifetime)
	target, save, err := h.cfg.Grants.Begin(r.Context(), &a.Link, h.callbackURL(r, a.Provider), a.ID)
	if err == nil {
		a.State, err = json.Marshal(save)
	}
	if err == nil {
		err = h.saveAttempt(w, r, a)
	}
	if err != nil {
		h.unavailable(w, r, fmt.Errorf("beginning to connect: %w", err))
		return
	}
	redirect(w, target)
}

// ServeCallback serves <p>/connect/callback and what is below it, where providers
// send the browser back to. An answer counts only where its provider was told to
// send it: one that sends people on to another is not given the other's code (RFC
// 9700 section 4.4).
func (h *Handler) ServeCallback(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		notAllowed(w, "GET, HEAD")
		return
	}
	q := r.URL.Query()
	a, err := h.openAttempt(r, q.Get("state"))
	if err != nil {
		h.message(w, r, http.StatusBadRequest, "This did not work",
			"The connection took too long, or was not begun in this browser. Open the link from your app once more.")
		return
	}
	who, ok := h.cfg.Browser.Person(w, r)
	if !ok {
		return
	}
	if a.UserID != who.UserID || a.Session != who.Session {
		h.forged(w, r)
		return
	}
	first, err := h.cfg.Once.TakeOnce(r.Context(), "connect:"+a.ID, h.cfg.Now().Add(h.cfg.AttemptLifetime))
	if err != nil {
		h.unavailable(w, r, err)
		return
	}
	h.dropAttempt(w, r, a.ID)
	if !first {
		h.message(w, r, http.StatusBadRequest, "This was done before", "Go back to your app and call the tool again.")
		return
	}
	if _, ok := h.cfg.Grants.Provider(a.Provider); !ok {
		h.message(w, r, http.StatusNotFound, "There is no such service", "This server has no service of that name to connect any more.")
		return
	}
	if r.URL.Path != h.path(r, h.callbackPath(a.Provider)) {
		h.log.Warn("an answer came to the redirect URI of another provider", zap.String("provider", a.Provider), zap.String("user", a.UserID))
		h.message(w, r, http.StatusBadRequest, "This did not work", "The answer came from somebody else. Open the link from your app once more.")
		return
	}
	page, err := h.cfg.Grants.Finish(r.Context(), &a.Link, h.callbackURL(r, a.Provider), a.State, q)
	if err != nil {
		h.unavailable(w, r, err)
		return
	}
	h.cfg.Pages.Message(w, r, *page)
}

// Connected is the page at the end of a way that went well.
func Connected(title string) *web.Message {
	return &web.Message{
		Status: http.StatusOK, OK: true, Title: title + " is connected",
		Text: []string{"Go back to your app: its next call to a tool of " + title + " works with your account."},
	}
}
