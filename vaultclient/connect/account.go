package connect

import (
	"net/http"

	"github.com/alter-mcp/caddy-alter-mcp/internal/web"
)

// ServeAccount serves <p>/account: what a person connected, and the way to end
// it.
func (h *Handler) ServeAccount(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		h.showAccount(w, r)
	case http.MethodPost:
		h.disconnect(w, r)
	default:
		notAllowed(w, "GET, HEAD, POST")
	}
}

func (h *Handler) showAccount(w http.ResponseWriter, r *http.Request) {
	who, ok := h.cfg.Browser.Person(w, r)
	if !ok {
		return
	}
	list, err := h.cfg.Grants.Connections(r.Context(), who.UserID, who.may)
	if err != nil {
		h.unavailable(w, r, err)
		return
	}
	token, err := h.seal(accountPurpose, h.cfg.Endpoint(r), form{
		Link: Link{UserID: who.UserID}, Expiry: h.until(h.cfg.AttemptLifetime), Session: who.Session,
	})
	if err != nil {
		h.unavailable(w, r, err)
		return
	}
	h.cfg.Pages.Account(w, r, web.Account{
		UserName: who.Name, Email: who.Email, Connections: list,
		Form: web.Form{Action: h.path(r, "/account"), Token: token},
	})
}

// disconnect ends a grant.
func (h *Handler) disconnect(w http.ResponseWriter, r *http.Request) {
	var f form
	value, who, ok := h.readForm(w, r, accountPurpose, &f, &f.Expiry, "disconnect")
	if !ok {
		return
	}
	provider, label, valid := web.ParseConnection(value)
	if f.UserID != who.UserID || f.Session != who.Session || !valid {
		h.forged(w, r)
		return
	}
	if err := h.cfg.Grants.Disconnect(r.Context(), who.UserID, provider, label); err != nil {
		h.unavailable(w, r, err)
		return
	}
	redirect(w, h.path(r, "/account"))
}
