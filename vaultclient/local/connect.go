package local

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/internal/web"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/connect"
)

// grants is the vault as the pages see it.
type grants struct{ *Vault }

// Provider implements [connect.Grants].
func (v grants) Provider(name string) (title string, ok bool) {
	p := v.cfg.Providers[name]
	if p == nil {
		return "", false
	}
	return p.Title, true
}

// Callback implements [connect.Grants].
func (v grants) Callback(provider string) string {
	if p := v.cfg.Providers[provider]; p != nil {
		return p.Callback
	}
	return ""
}

// Look implements [connect.Grants].
func (v grants) Look(ctx context.Context, l *connect.Link) (*connect.State, error) {
	p, state := v.cfg.Providers[l.Provider], &connect.State{Ask: l.Scopes}
	g, err := v.cfg.Store.Grant(ctx, l.UserID, l.Provider, l.Label)
	switch {
	case err == nil && !g.Dead && g.Client == p.Client():
		state.Connected = true
		state.Missing = p.Missing(g.Scopes, p.AllScopes(l.Scopes))
		if !p.ScopesAddUp { // the tools that need the old ones go on working
			state.Ask = slices.Concat(l.Scopes, g.Scopes)
		}
	case err != nil && !errors.Is(err, ErrNotFound):
		return nil, err
	}
	state.Scopes = p.AllScopes(state.Ask)
	if u, err := url.Parse(p.AuthorizationURL); err == nil {
		state.Next = u
	}
	return state, nil
}

// saved is what the callback needs of the request that it answers.
type saved struct {
	Verifier string `json:"v"` // RFC 7636
}

// Begin implements [connect.Grants].
func (v grants) Begin(_ context.Context, l *connect.Link, callback, id string) (string, any, error) {
	p, s := v.cfg.Providers[l.Provider], saved{Verifier: rand.Text() + rand.Text()}
	return p.AuthorizeURL(callback, id, s.Verifier, p.AllScopes(l.Scopes)), s, nil
}

// Finish implements [connect.Grants]: it redeems the provider's code and stores
// the grant.
func (v grants) Finish(ctx context.Context, l *connect.Link, callback string, state json.RawMessage, q url.Values) (*web.Message, error) {
	p := v.cfg.Providers[l.Provider]
	if p.Issuer != "" && q.Has("iss") && q.Get("iss") != p.Issuer { // RFC 9207 section 2.4
		v.record(EventConnect, p.Name, OutcomeFailed)
		v.log.Warn("an answer names another provider", zap.String("provider", p.Name), zap.String("user", l.UserID), zap.String("iss", clip(q.Get("iss"))))
		return notConnected(http.StatusBadRequest, p, "The answer came from somebody else. Open the link from your app once more."), nil
	}
	if code := q.Get("error"); code != "" || q.Get("code") == "" {
		v.record(EventConnect, p.Name, OutcomeRefused)
		v.log.Info("a provider did not grant", zap.String("provider", p.Name), zap.String("user", l.UserID), zap.String("error", clip(code)), zap.String("description", clip(q.Get("error_description"))))
		return notConnected(http.StatusBadRequest, p, p.Title+" says that access was not given. You can try again from your app."), nil
	}
	var s saved
	if err := json.Unmarshal(state, &s); err != nil {
		return nil, fmt.Errorf("reading a connect attempt: %w", err)
	}
	// The code is spent once it is sent, whether or not the person waits.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grantTimeout)
	defer cancel()
	tokens, err := p.Exchange(ctx, v.cfg.HTTP, q.Get("code"), callback, s.Verifier)
	if err != nil {
		v.record(EventConnect, p.Name, OutcomeFailed)
		v.log.Error("a provider did not redeem its code", zap.String("provider", p.Name), zap.String("user", l.UserID), zap.Error(err))
		return notConnected(http.StatusBadGateway, p,
			p.Title+" did not complete the connection. Try again in a minute; if it stays so, tell whoever runs this server."), nil
	}
	missing, err := v.store(ctx, l, p, tokens)
	if err != nil {
		v.record(EventConnect, p.Name, OutcomeFailed)
		return nil, err
	}
	v.record(EventConnect, p.Name, OutcomeOK)
	page := connect.Connected(p.Title)
	if len(missing) > 0 {
		page.Text = append(page.Text, "Not everything that was asked for was given, so some tools may ask you to connect again.")
	}
	return page, nil
}

func notConnected(status int, p *vaultclient.Provider, text string) *web.Message {
	return &web.Message{Status: status, Title: p.Title + " was not connected", Text: []string{text}}
}

// store writes the grant in place of what there was, and returns the scopes that
// were asked for and not given.
func (v *Vault) store(ctx context.Context, l *connect.Link, p *vaultclient.Provider, tokens *vaultclient.Tokens) ([]string, error) {
	now, asked := v.cfg.Now(), p.AllScopes(l.Scopes)
	for range 5 { // a renewal may come between
		g, err := v.cfg.Store.Grant(ctx, l.UserID, l.Provider, l.Label)
		if errors.Is(err, ErrNotFound) {
			g = &Grant{UserID: l.UserID, Provider: l.Provider, Label: l.Label, CreatedAt: now}
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
			v.log.Info("account connected", zap.String("provider", p.Name), zap.String("user", l.UserID), zap.Strings("scopes", g.Scopes))
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
