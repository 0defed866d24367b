package local

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/internal/web"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// revokeTimeout is how long a person waits for a provider when they disconnect.
const revokeTimeout = 5 * time.Second

// ServeAccount serves <p>/account: what a person connected, and the way to end
// it.
func (v *Vault) ServeAccount(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		v.showAccount(w, r)
	case http.MethodPost:
		v.disconnect(w, r)
	default:
		notAllowed(w, "GET, HEAD, POST")
	}
}

func (v *Vault) showAccount(w http.ResponseWriter, r *http.Request) {
	who, ok := v.cfg.Browser.Person(w, r)
	if !ok {
		return
	}
	grants, err := v.cfg.Store.Grants(r.Context(), who.UserID)
	if err != nil {
		v.unavailable(w, r, err)
		return
	}
	token, err := v.seal(accountPurpose, v.cfg.Endpoint(r), form{
		link: link{UserID: who.UserID, Expiry: v.until(v.cfg.AttemptLifetime)}, Session: who.Session,
	})
	if err != nil {
		v.unavailable(w, r, err)
		return
	}
	v.cfg.Pages.Account(w, r, web.Account{
		UserName: who.Name, Email: who.Email, Connections: v.connections(who, grants),
		Form: web.Form{Action: v.path(r, "/account"), Token: token},
	})
}

// connections lists what is connected, then what can be.
func (v *Vault) connections(who Person, grants []*Grant) []web.Connection {
	var list []web.Connection
	connected := make(map[string]bool)
	for _, g := range grants {
		connected[g.Provider] = true
		c := web.Connection{
			Provider: g.Provider, Label: g.Label, Title: g.Provider, Account: g.Account,
			Scopes: g.Scopes, Since: g.CreatedAt, Dead: g.Dead,
		}
		if p := v.cfg.Providers[g.Provider]; p != nil {
			c.Title, c.Dead = p.Title, g.Dead || g.Client != p.Client()
		}
		list = append(list, c)
	}
	for _, name := range slices.Sorted(maps.Keys(v.cfg.Providers)) {
		if !connected[name] && who.may(name) {
			list = append(list, web.Connection{Provider: name, Title: v.cfg.Providers[name].Title})
		}
	}
	return list
}

// disconnect removes a grant, here and, as far as it can be done, at the
// provider.
func (v *Vault) disconnect(w http.ResponseWriter, r *http.Request) {
	var f form
	value, who, ok := v.readForm(w, r, accountPurpose, &f, &f.Expiry, "disconnect")
	if !ok {
		return
	}
	provider, label, valid := web.ParseConnection(value)
	if f.UserID != who.UserID || f.Session != who.Session || !valid {
		v.forged(w, r)
		return
	}
	g, err := v.cfg.Store.Grant(r.Context(), who.UserID, provider, label)
	if err == nil {
		err = v.cfg.Store.DeleteGrant(r.Context(), who.UserID, provider, label)
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		v.unavailable(w, r, err)
		return
	}
	if g != nil {
		v.log.Info("account disconnected", zap.String("provider", provider), zap.String("user", who.UserID))
		v.revokeAt(r, v.cfg.Providers[provider], g)
	}
	redirect(w, v.path(r, "/account"))
}

// revokeAt tells the provider that the grant is given up. Here it is gone
// already, so a failure is only logged.
func (v *Vault) revokeAt(r *http.Request, p *vaultclient.Provider, g *Grant) {
	if p == nil || g.Dead || g.Client != p.Client() {
		return
	}
	token := g.RefreshToken // ends the access tokens as well (RFC 7009 section 2.1)
	if token.IsZero() {
		token = g.AccessToken
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), revokeTimeout)
	defer cancel()
	if err := p.Revoke(ctx, v.cfg.HTTP, token); err != nil {
		v.log.Warn("a grant could not be revoked at its provider", zap.String("provider", p.Name), zap.Error(err))
	}
}
