package altermcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
	"github.com/alter-mcp/caddy-alter-mcp/mcphandler"
	"github.com/alter-mcp/caddy-alter-mcp/store"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/altervault"
)

// tokenKeeper is a vault that knows people by a token of the identity provider.
type tokenKeeper interface {
	identityToken() authserver.IdentityTokenKind
}

// open implements vaultModule.
func (v *AlterVault) open(h *vaultHouse) (vault, error) {
	cfg := v.config
	cfg.Logger, cfg.Providers = h.logger, h.base
	if cfg.Caller.Name == "" {
		cfg.Caller.Name = callerName(h.handler.Name)
	}
	cfg.Audit = alter.AuditLevel(v.Audit)
	var queues []*alter.AuditQueue
	if cfg.Audit != alter.AuditNone {
		var err error
		if queues, err = v.auditQueues(h.realm, h.logger); err != nil {
			return nil, err
		}
		cfg.Queue = queues[0]
	}
	client, err := alter.New(cfg)
	if err != nil {
		return nil, err
	}
	out := &alterVault{client: client, endpoint: h.endpoint, queues: queues, log: h.logger}
	out.Vault, err = altervault.New(altervault.Config{
		Client: client, Mode: v.Mode, Connect: v.Connect.terms(), Providers: h.providers, Tokens: userTokens{h.auth}, Pending: pendingApprovals{h.realm},
		Connected: func(provider, outcome string) { metrics.connects.WithLabelValues(provider, outcome).Inc() },
		Endpoint:  endpointOf, Sealer: h.state.sealer, Browser: h.browser(), Pages: h.pages, Once: h.realm,
		LinkLifetime: h.lifetime, Logger: h.logger,
	})
	if err != nil {
		return nil, err
	}
	out.providers = h.providers
	out.start()
	return out, nil
}

// callerName is the endpoint's name as far as it can be a caller's.
func callerName(name string) string {
	if _, err := alter.CheckCaller(alter.Caller{Name: name}); err != nil {
		return "caddy-alter-mcp"
	}
	return name
}

// alterVault is the Alter Vault of an endpoint that serves.
type alterVault struct {
	*altervault.Vault
	providers map[string]*vaultclient.Provider
	client    *alter.Client
	endpoint  string              // canonical URL
	queues    []*alter.AuditQueue // none: nothing is reported
	log       *zap.Logger
	stop      context.CancelFunc
	running   sync.WaitGroup // of the queues
}

// start begins to send what is reported.
func (v *alterVault) start() {
	metrics.limits.add(v.endpoint, v.client)
	ctx, stop := context.WithCancel(context.Background())
	v.stop = stop
	for _, queue := range v.queues {
		metrics.audit.add(queue)
		v.running.Go(func() {
			defer metrics.audit.remove(queue)
			if err := queue.Run(ctx, v.client); err != nil {
				v.log.Error("records for the vault's audit were not all kept", zap.Error(err))
			}
		})
	}
}

// close ends what runs in the background. What was not sent stays in the store.
func (v *alterVault) close() {
	metrics.limits.remove(v.endpoint, v.client)
	v.stop()
	v.running.Wait()
	v.client.Close()
}

// Send implements vault.
func (v *alterVault) Send(caller *mcphandler.Caller, need mcphandler.Need, req *http.Request) (*http.Response, error) {
	waiting, err := readApproval(need.Approval)
	if err != nil {
		return nil, fmt.Errorf("reading the approval of a retry: %w", err)
	}
	if own := withOwnToken(req.Context(), caller); own != req.Context() {
		req = req.WithContext(own)
	}
	hidden := ""
	if need.Identity != nil {
		hidden = need.Identity.HeaderName()
	}
	resp, err := v.Vault.Send(req, altervault.Use{
		UserID: caller.UserID, Endpoint: caller.Endpoint, Client: caller.ClientID,
		Provider: need.Provider, Scopes: need.Scopes, Label: need.Label, Account: need.Account, Agent: need.Agent,
		Mode: need.Mode, Reason: need.Reason, Constraints: need.Constraints, Rule: alterRule(need.VaultRule),
		Hidden: hidden,
		Tool:   need.Tool, Arguments: need.Arguments, Approval: waiting,
		Progress: inWords(need.Progress), Closing: need.Closing,
	})
	if err != nil {
		return nil, alterError(err, v.providers[need.Provider])
	}
	return resp, nil
}

// inWords is what a vault tells that has only words for how far a call is.
func inWords(tell func(mcphandler.Progress)) func(message string) {
	if tell == nil {
		return nil
	}
	return func(message string) { tell(mcphandler.Progress{Message: message}) }
}

// alterError makes what a tool is told of what the vault says.
func alterError(err error, p *vaultclient.Provider) error {
	var (
		connect *altervault.ConnectError
		pending *altervault.PendingError
		model   *altervault.ModelError
	)
	switch {
	case errors.As(err, &connect):
		return &mcphandler.ConnectError{Provider: p.Name, Title: p.Title, Reason: connect.Reason, URL: connect.URL}
	case errors.As(err, &pending):
		kept, err := json.Marshal(pending.Approval)
		if err != nil {
			return fmt.Errorf("writing an approval: %w", err)
		}
		return &mcphandler.ConnectError{
			Provider: p.Name, Title: p.Title, Reason: mcphandler.ReasonApprovalRequired, URL: pending.URL, ID: string(kept),
		}
	case errors.As(err, &model):
		return &mcphandler.ToolError{Message: model.Message, Cause: model.Cause}
	case errors.Is(err, altervault.ErrLoginRequired):
		return fmt.Errorf("%w: %w", mcphandler.ErrInvalidToken, err)
	}
	return err
}

// ownTokenKey carries the identity provider's token of a call that came with one
// in place of a token of this server.
type ownTokenKey struct{}

func withOwnToken(ctx context.Context, caller *mcphandler.Caller) context.Context {
	if own, ok := caller.Credential.(authserver.Secret); ok {
		return context.WithValue(ctx, ownTokenKey{}, own)
	}
	return ctx
}

// userTokens gives the vault people's tokens of the identity provider: that of the
// call, or else the one that is kept of the login.
type userTokens struct{ server *authserver.Server }

// UserToken implements [altervault.UserTokens].
func (t userTokens) UserToken(ctx context.Context, userID string) (vaultclient.Secret, error) {
	if own, ok := ctx.Value(ownTokenKey{}).(authserver.Secret); ok {
		return vaultclient.NewSecret(own.Reveal()), nil
	}
	token, err := t.server.IdentityToken(ctx, userID)
	return vaultclient.NewSecret(token.Token.Reveal()), tokenError(err)
}

// RejectUserToken implements [altervault.UserTokens].
func (t userTokens) RejectUserToken(ctx context.Context, userID string, refused vaultclient.Secret, tooOld bool) error {
	if _, ok := ctx.Value(ownTokenKey{}).(authserver.Secret); ok {
		return fmt.Errorf("%w: the vault refused the token of the call", altervault.ErrLoginRequired)
	}
	why := authserver.TokenRefused
	if tooOld {
		why = authserver.LoginTooOld
	}
	_, err := t.server.RejectIdentityToken(ctx, userID, refused.Reveal(), why)
	return tokenError(err)
}

func tokenError(err error) error {
	switch {
	case errors.Is(err, authserver.ErrIdentityTokenGone):
		return fmt.Errorf("%w: %w", altervault.ErrLoginRequired, err)
	case errors.Is(err, authserver.ErrIdentityTokenUnavailable):
		return &altervault.ModelError{Message: "your login cannot be renewed at the moment; try again in a minute", Cause: err}
	}
	return err
}

// pendingApprovals remembers approvals in the endpoint's store.
type pendingApprovals struct{ realm *store.Realm }

// PendingApproval implements [altervault.Pending].
func (p pendingApprovals) PendingApproval(ctx context.Context, userID, call string) (*altervault.Approval, error) {
	text, err := p.realm.PendingApproval(ctx, userID, call, time.Now())
	if err != nil {
		return nil, err
	}
	return readApproval(text)
}

// readApproval reads an approval as it is stored and as clients bring it back; nil
// of nothing.
func readApproval(text string) (*altervault.Approval, error) {
	if text == "" {
		return nil, nil
	}
	kept := new(altervault.Approval)
	if err := json.Unmarshal([]byte(text), kept); err != nil {
		return nil, fmt.Errorf("reading an approval: %w", err)
	}
	return kept, nil
}

// SetPendingApproval implements [altervault.Pending].
func (p pendingApprovals) SetPendingApproval(ctx context.Context, userID, call string, kept *altervault.Approval, until time.Time) error {
	if kept == nil {
		return p.realm.SetPendingApproval(ctx, userID, call, "", until)
	}
	text, err := json.Marshal(kept)
	if err != nil {
		return fmt.Errorf("writing an approval: %w", err)
	}
	return p.realm.SetPendingApproval(ctx, userID, call, string(text), until)
}
