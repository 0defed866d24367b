package altervault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/internal/web"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
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

// Callback implements [connect.Grants]: people come back from the vault alone.
func (v grants) Callback(string) string { return "" }

// Look implements [connect.Grants].
func (v grants) Look(ctx context.Context, l *connect.Link) (*connect.State, error) {
	p := v.cfg.Providers[l.Provider]
	state := &connect.State{Ask: l.Scopes, Scopes: p.AllScopes(l.Scopes)}
	list, err := v.list(ctx, l.UserID, alter.GrantFilter{Provider: p.Name, Label: l.Label, Status: active})
	if err != nil {
		return nil, err
	}
	for _, g := range list {
		if g.Label == l.Label && !g.NeedsReconnect {
			state.Connected = true
			state.Missing = p.Missing(g.Scopes, state.Scopes)
		}
	}
	state.Next = v.cfg.Client.BaseURL()
	return state, nil
}

// saved is what the callback needs of the request that it answers.
type saved struct {
	Session string `json:"s"`
}

// Begin implements [connect.Grants]: the vault has its own page, to which the
// person is sent.
func (v grants) Begin(ctx context.Context, l *connect.Link, callback, id string) (string, any, error) {
	p := v.cfg.Providers[l.Provider]
	token, err := v.userToken(ctx, l.UserID)
	if err != nil {
		return "", nil, err
	}
	var h hint
	if l.Hint != nil {
		if err := json.Unmarshal(l.Hint, &h); err != nil {
			return "", nil, fmt.Errorf("reading a link: %w", err)
		}
	}
	req := alter.ConnectOptions{
		Providers: []string{p.Name}, ReturnURL: callback + "?" + url.Values{"state": {id}}.Encode(),
		Requested: requested(l.Label), Agent: h.Agent, UserToken: token,
		Direct: v.cfg.Connect.Direct, NoUserRules: v.cfg.Connect.NoUserRules, Policy: v.cfg.Connect.Life,
	}
	if scopes := p.AllScopes(l.Scopes); len(scopes) > 0 {
		req.RequiredScopes = map[string][]string{p.Name: scopes}
	}
	if h.Repair != "" && h.Agent == "" { // the vault takes one or the other
		req.RepairGrantID, req.Requested = h.Repair, nil
	}
	session, err := v.cfg.Client.CreateConnectSession(ctx, req)
	if req.RepairGrantID != "" && errors.Is(err, alter.ErrGrantNotFound) {
		req.RepairGrantID, req.Requested = "", requested(l.Label)
		session, err = v.cfg.Client.CreateConnectSession(ctx, req)
	}
	if err != nil {
		v.checkProvider(ctx, p.Name, err)
		return "", nil, err
	}
	return session.URL, saved{Session: session.Token.Reveal()}, nil
}

// requested asks for a grant with a label, if there is one.
func requested(label string) *alter.RequestedGrant {
	if label == "" {
		return nil
	}
	return &alter.RequestedGrant{Label: label}
}

// Finish implements [connect.Grants]. What the browser brought back is not
// believed: the vault is asked.
func (v grants) Finish(ctx context.Context, l *connect.Link, _ string, state json.RawMessage, _ url.Values) (*web.Message, error) {
	p := v.cfg.Providers[l.Provider]
	var s saved
	if err := json.Unmarshal(state, &s); err != nil {
		return nil, fmt.Errorf("reading a connect attempt: %w", err)
	}
	result, err := v.cfg.Client.PollConnectSession(ctx, vaultclient.NewSecret(s.Session))
	switch {
	case errors.Is(err, alter.ErrConnectDenied):
		v.cfg.Connected(p.Name, "refused")
		return notConnected(http.StatusBadRequest, p, "Access was not given. You can try again from your app."), nil
	case errors.Is(err, alter.ErrConnect):
		v.cfg.Connected(p.Name, "failed")
		v.log.Error("connecting an account failed at the vault", zap.String("provider", p.Name), zap.String("user", l.UserID), zap.Error(err))
		return notConnected(http.StatusBadGateway, p, "The vault did not complete the connection. Try again in a minute; if it stays so, tell whoever runs this server."), nil
	case err != nil:
		return nil, err
	case result.Pending:
		return notConnected(http.StatusBadRequest, p, "The connection is not finished yet. Open the link from your app once more."), nil
	}
	v.cfg.Connected(p.Name, "ok")
	v.log.Info("account connected", zap.String("provider", p.Name), zap.String("user", l.UserID))
	return connect.Connected(p.Title), nil
}

func notConnected(status int, p *vaultclient.Provider, text string) *web.Message {
	return &web.Message{Status: status, Title: p.Title + " was not connected", Text: []string{text}}
}

// list returns a person's grants, as many as one page has, and never those of
// others or of the app.
func (v grants) list(ctx context.Context, userID string, f alter.GrantFilter) ([]alter.GrantInfo, error) {
	token, err := v.userToken(ctx, userID)
	if err != nil {
		return nil, err
	}
	f.UserToken, f.Limit = token, alter.MaxGrantPage
	page, err := v.cfg.Client.ListGrants(ctx, f)
	if err != nil {
		return nil, err
	}
	return page.Grants, nil
}

// active is the status of a grant that works.
const active = "active"

// isOver reports whether a grant is none any more.
func isOver(g *alter.GrantInfo) bool { return g.Status == "revoked" || g.Status == "deleted" }

// Connections implements [connect.Grants].
func (v grants) Connections(ctx context.Context, userID string, may func(provider string) bool) ([]web.Connection, error) {
	stored, err := v.list(ctx, userID, alter.GrantFilter{})
	if err != nil {
		return nil, err
	}
	var out []web.Connection
	connected := make(map[string]bool)
	for _, g := range stored {
		p := v.cfg.Providers[g.Provider]
		if p == nil || isOver(&g) { // of another server of the app, or ended by the person
			continue
		}
		connected[g.Provider] = true
		out = append(out, web.Connection{
			Provider: g.Provider, ID: g.ID, Label: g.Label, Title: p.Title, Account: g.Account,
			Scopes: g.Scopes, Since: g.CreatedAt, Dead: g.Status != active || g.NeedsReconnect,
			Agents: len(g.DelegatedAgents), AgentsID: g.ID + ofAgents,
		})
	}
	for _, name := range slices.Sorted(maps.Keys(v.cfg.Providers)) {
		if !connected[name] && may(name) {
			out = append(out, web.Connection{Provider: name, Title: v.cfg.Providers[name].Title})
		}
	}
	return out, nil
}

// ofAgents is what stands behind the id of a grant that is to be taken back from
// the agents that have it.
const ofAgents = " agents"

// Disconnect implements [connect.Grants]. The vault lets a person end only what
// is theirs.
func (v grants) Disconnect(ctx context.Context, userID, provider, id string) error {
	if grant, of := strings.CutSuffix(id, ofAgents); of {
		return v.takeBack(ctx, userID, grant)
	}
	token, err := v.userToken(ctx, userID)
	if err != nil {
		return err
	}
	_, err = v.cfg.Client.RevokeGrant(ctx, id, alter.RevokeOptions{Reason: "disconnected by the person", UserToken: token})
	if errors.Is(err, alter.ErrGrantNotFound) {
		return nil
	}
	if err == nil {
		v.log.Info("account disconnected", zap.String("provider", provider), zap.String("user", userID))
	}
	return err
}

// takeBack ends all delegations of a grant. The vault does that for whoever has
// the app's key, so that it is looked for among the person's own first.
func (v grants) takeBack(ctx context.Context, userID, id string) error {
	stored, err := v.list(ctx, userID, alter.GrantFilter{})
	if err != nil {
		return err
	}
	for _, g := range stored {
		if g.ID != id {
			continue
		}
		for _, agent := range g.DelegatedAgents {
			if err := v.cfg.Client.EndDelegation(ctx, g.ID, agent); err != nil && !errors.Is(err, alter.ErrGrantNotFound) {
				return err
			}
			v.log.Info("account taken back from an agent", zap.String("provider", g.Provider), zap.String("user", userID), zap.String("agent", agent))
		}
	}
	return nil
}
