package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/internal/web"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// maxLabel bounds the label that a URL of the account page may name, in bytes.
const maxLabel = 64

// ServeConnect serves <p>/connect: it asks the person whether to connect an
// account at a provider, and sends the browser there. It is reached by a link
// that a tool call gave, or from the account page by ?provider=.
func (v *Vault) ServeConnect(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		v.showConnect(w, r)
	case http.MethodPost:
		v.startConnect(w, r)
	default:
		notAllowed(w, "GET, HEAD, POST")
	}
}

func (v *Vault) showConnect(w http.ResponseWriter, r *http.Request) {
	l, ok := v.wanted(w, r)
	if !ok {
		return
	}
	who, ok := v.cfg.Browser.Person(w, r)
	if !ok {
		return
	}
	if l.UserID == "" { // no link, but the account page
		l.UserID = who.UserID
	}
	if l.UserID != who.UserID {
		v.foreignLink(w, r, l, who)
		return
	}
	if !who.may(l.Provider) {
		v.message(w, r, http.StatusForbidden, "This is not for your account", "Whoever runs this server has not allowed this service for your account.")
		return
	}
	p := v.cfg.Providers[l.Provider]
	page := web.Connect{ProviderTitle: p.Title, UserName: who.Name}
	g, err := v.cfg.Store.Grant(r.Context(), l.UserID, l.Provider, l.Label)
	switch {
	case err == nil && !g.Dead && g.Client == p.Client():
		page.Connected = true
		page.Missing = p.Missing(g.Scopes, p.AllScopes(l.Scopes))
		if !p.ScopesAddUp { // the tools that need the old ones go on working
			l.Scopes = slices.Concat(l.Scopes, g.Scopes)
		}
	case err != nil && !errors.Is(err, ErrNotFound):
		v.unavailable(w, r, err)
		return
	}
	page.Scopes = p.AllScopes(l.Scopes)
	l.Expiry = v.until(v.cfg.AttemptLifetime)
	token, err := v.seal(connectPurpose, v.cfg.Endpoint(r), form{*l, who.Session})
	if err != nil {
		v.unavailable(w, r, err)
		return
	}
	page.Form = web.Form{Action: v.path(r, "/connect"), Token: token, Targets: []string{"https:"}}
	if u, err := url.Parse(p.AuthorizationURL); err == nil {
		page.ProviderHost = u.Host
		page.Form.Targets = append(page.Form.Targets, u.Scheme+"://"+u.Host)
	}
	v.cfg.Pages.Connect(w, r, page)
}

// wanted returns what is to be connected: by a link, or else by whoever is
// logged in. A link that is no longer good leads to no login.
func (v *Vault) wanted(w http.ResponseWriter, r *http.Request) (*link, bool) {
	q := r.URL.Query()
	l := &link{Provider: q.Get("provider"), Label: q.Get("label")}
	if q.Has("link") {
		l = new(link)
		if err := v.open(linkPurpose, v.cfg.Endpoint(r), q.Get("link"), l, &l.Expiry); err != nil || l.UserID == "" {
			v.message(w, r, http.StatusBadRequest, "This link is no longer good",
				"Links to connect an account work for a short time only. Ask your app to call the tool again: it gets a new one.")
			return nil, false
		}
	}
	if v.cfg.Providers[l.Provider] == nil || len(l.Label) > maxLabel {
		v.message(w, r, http.StatusNotFound, "There is no such service", "This server has no service of that name to connect.")
		return nil, false
	}
	return l, true
}

// foreignLink refuses a link of somebody else: whoever made it must not get this
// person's account (MCP 2025-11-25, URL elicitation).
func (v *Vault) foreignLink(w http.ResponseWriter, r *http.Request, l *link, who Person) {
	v.log.Info("a link to connect was opened by another person", zap.String("user", who.UserID), zap.String("link_of", l.UserID))
	v.cfg.Pages.Message(w, r, web.Message{
		Status: http.StatusForbidden, Title: "This link is for somebody else",
		Text: []string{
			"You are logged in here as " + who.Name + ", and the link was made for another account.",
			"If it came from your own app, log out and log in with the account that you use there. If somebody sent it to you, close this page: connecting would give them your account.",
		},
		Form: &web.Form{Action: v.path(r, "/logout"), Token: "logout"}, Label: "Log out",
	})
}

// startConnect takes the person's decision and sends the browser to the
// provider.
func (v *Vault) startConnect(w http.ResponseWriter, r *http.Request) {
	var f form
	decision, who, ok := v.readForm(w, r, connectPurpose, &f, &f.Expiry, "decision")
	if !ok {
		return
	}
	if f.UserID != who.UserID || f.Session != who.Session {
		v.forged(w, r)
		return
	}
	p := v.cfg.Providers[f.Provider]
	if p == nil || !who.may(f.Provider) || decision != "allow" {
		v.message(w, r, http.StatusOK, "Nothing was connected", "You can close this page and go back to your app.")
		return
	}
	a := &attempt{form: f, ID: rand.Text(), Verifier: rand.Text() + rand.Text()}
	a.Expiry = v.until(v.cfg.AttemptLifetime)
	if err := v.saveAttempt(w, r, a); err != nil {
		v.unavailable(w, r, err)
		return
	}
	redirect(w, p.AuthorizeURL(v.callbackURL(r), a.ID, a.Verifier, p.AllScopes(f.Scopes)))
}

// ServeCallback serves <p>/connect/callback, where the provider sends the
// browser back to.
func (v *Vault) ServeCallback(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		notAllowed(w, "GET, HEAD")
		return
	}
	q := r.URL.Query()
	a, err := v.openAttempt(r, q.Get("state"))
	if err != nil {
		v.message(w, r, http.StatusBadRequest, "This did not work",
			"The connection took too long, or was not begun in this browser. Open the link from your app once more.")
		return
	}
	who, ok := v.cfg.Browser.Person(w, r)
	if !ok {
		return
	}
	if a.UserID != who.UserID || a.Session != who.Session {
		v.forged(w, r)
		return
	}
	first, err := v.cfg.Store.TakeOnce(r.Context(), "connect:"+a.ID, v.cfg.Now().Add(v.cfg.AttemptLifetime))
	if err != nil {
		v.unavailable(w, r, err)
		return
	}
	v.dropAttempt(w, r, a.ID)
	if !first {
		v.message(w, r, http.StatusBadRequest, "This was done before", "Go back to your app and call the tool again.")
		return
	}
	v.finish(w, r, a, q)
}

// finish redeems the provider's code and stores the grant.
func (v *Vault) finish(w http.ResponseWriter, r *http.Request, a *attempt, q url.Values) {
	p := v.cfg.Providers[a.Provider]
	if p == nil {
		v.message(w, r, http.StatusNotFound, "There is no such service", "This server has no service of that name to connect any more.")
		return
	}
	if p.Issuer != "" && q.Has("iss") && q.Get("iss") != p.Issuer { // RFC 9207 section 2.4
		v.record(EventConnect, p.Name, OutcomeFailed)
		v.log.Warn("an answer names another provider", zap.String("provider", p.Name), zap.String("user", a.UserID), zap.String("iss", clip(q.Get("iss"))))
		v.message(w, r, http.StatusBadRequest, p.Title+" was not connected", "The answer came from somebody else. Open the link from your app once more.")
		return
	}
	if code := q.Get("error"); code != "" || q.Get("code") == "" {
		v.record(EventConnect, p.Name, OutcomeRefused)
		v.log.Info("a provider did not grant", zap.String("provider", p.Name), zap.String("user", a.UserID), zap.String("error", clip(code)), zap.String("description", clip(q.Get("error_description"))))
		v.message(w, r, http.StatusBadRequest, p.Title+" was not connected", p.Title+" says that access was not given. You can try again from your app.")
		return
	}
	// The code is spent once it is sent, whether or not the person waits.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), grantTimeout)
	defer cancel()
	tokens, err := p.Exchange(ctx, v.cfg.HTTP, q.Get("code"), v.callbackURL(r), a.Verifier)
	if err != nil {
		v.record(EventConnect, p.Name, OutcomeFailed)
		v.log.Error("a provider did not redeem its code", zap.String("provider", p.Name), zap.String("user", a.UserID), zap.Error(err))
		v.message(w, r, http.StatusBadGateway, p.Title+" was not connected",
			p.Title+" did not complete the connection. Try again in a minute; if it stays so, tell whoever runs this server.")
		return
	}
	missing, err := v.store(ctx, a, p, tokens)
	if err != nil {
		v.record(EventConnect, p.Name, OutcomeFailed)
		v.unavailable(w, r, err)
		return
	}
	v.record(EventConnect, p.Name, OutcomeOK)
	page := web.Message{
		Status: http.StatusOK, OK: true, Title: p.Title + " is connected",
		Text: []string{"Go back to your app: its next call to a tool of " + p.Title + " works with your account."},
	}
	if len(missing) > 0 {
		page.Text = append(page.Text, "Not everything that was asked for was given, so some tools may ask you to connect again.")
	}
	v.cfg.Pages.Message(w, r, page)
}

// store writes the grant in place of what there was, and returns the scopes that
// were asked for and not given.
func (v *Vault) store(ctx context.Context, a *attempt, p *vaultclient.Provider, tokens *vaultclient.Tokens) ([]string, error) {
	now, asked := v.cfg.Now(), p.AllScopes(a.Scopes)
	for range 5 { // a renewal may come between
		g, err := v.cfg.Store.Grant(ctx, a.UserID, a.Provider, a.Label)
		if errors.Is(err, ErrNotFound) {
			g = &Grant{UserID: a.UserID, Provider: a.Provider, Label: a.Label, CreatedAt: now}
		} else if err != nil {
			return nil, err
		}
		if g.Damaged != nil {
			g.CreatedAt = now
		}
		if g.Client != p.Client() {
			g.RefreshToken = vaultclient.Secret{} // of somebody else
		}
		g.Scopes, g.Client = asked, p.Client()
		g.take(tokens, now)
		err = v.put(ctx, g)
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err == nil {
			v.log.Info("account connected", zap.String("provider", p.Name), zap.String("user", a.UserID), zap.Strings("scopes", g.Scopes))
		}
		return p.Missing(g.Scopes, asked), err
	}
	return nil, fmt.Errorf("storing a grant: %w", ErrConflict)
}

// clip shortens what came from outside before it goes into the log.
func clip(s string) string {
	if len(s) > 200 {
		return s[:200]
	}
	return s
}
