package altervault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
)

// Use says for whom and how a request is sent.
type Use struct {
	UserID   string
	Endpoint string // canonical URL of the MCP endpoint, for links

	Provider string
	Scopes   []string // needed beside those of the provider's own list
	// Label and Account choose among a person's grants at the provider.
	Label, Account string
	// Agent is a managed agent, by name or UUID, in whose name the call is made
	// and to whom people delegate.
	Agent string
	// Mode is one of the Mode constants; empty for that of the vault.
	Mode   string
	Reason string
	// Constraints are key scopes to which the call is narrowed.
	Constraints []string
	// Rule is one that the vault checks for the call; nil for none.
	Rule *alter.Rule
	// Hidden is a header of the request that is not for the vault's record; empty
	// for none.
	Hidden string

	// Tool that calls, for the vault's record.
	Tool string
	// Client and Arguments, a JSON object, tell with Tool a call that is repeated
	// from one that is new.
	Client    string
	Arguments json.RawMessage
	// Approval is what the client says it waits for; nil for nothing.
	Approval *Approval
	// Progress is told what a call waits for; nil when nobody listens.
	Progress func(message string)
	// Closing is closed when the server is about to stop: the call waits for no
	// approval any longer. Optional.
	Closing <-chan struct{}
}

// Send sends req with the person's grant. The body of the response is to be
// closed. Errors: [*ConnectError], [*PendingError], [*ModelError],
// [ErrLoginRequired]; any other is for the log alone.
func (v *Vault) Send(req *http.Request, use Use) (*http.Response, error) {
	p := v.cfg.Providers[use.Provider]
	switch {
	case use.UserID == "":
		return nil, refuse(req, vaultclient.ErrNoPerson)
	case p == nil:
		return nil, refuse(req, fmt.Errorf("provider %q is not configured", use.Provider))
	case !p.Allows(req.URL):
		return nil, refuse(req, fmt.Errorf("%w: %s", vaultclient.ErrForeignHost, req.URL.Host))
	}
	c, err := v.constrained.by(use.Constraints, use.Rule)
	if err != nil {
		return nil, refuse(req, err)
	}
	if use.Mode == "" {
		use.Mode = v.cfg.Mode
	}
	ctx := alter.WithAuditContext(req.Context(), auditContext(&use))
	a := &attempt{vault: v, client: c, provider: p, use: &use}
	resp, err := a.withToken(ctx, req)
	if err != nil {
		return nil, a.explain(ctx, err)
	}
	return resp, nil
}

func auditContext(use *Use) map[string]string {
	values := map[string]string{}
	for name, value := range map[string]string{"tool": use.Tool, "agent": use.Agent} {
		if value != "" {
			values[name] = value
		}
	}
	return values
}

// attempt is one request under way.
type attempt struct {
	vault    *Vault
	client   *alter.Client
	provider *vaultclient.Provider
	use      *Use
	token    vaultclient.Secret
}

// withToken sends the request for the person's token, and once more if the vault
// refuses that and there is another one: nothing has happened then.
//
// A token that was renewed may be as good as the fresh login that the vault asks
// for, if it looks at when the token was issued. If it looks at when the person
// logged in, it refuses the second token in the same call, which ends the login:
// the client gets one 401, whose way out is a login and no renewal.
func (a *attempt) withToken(ctx context.Context, req *http.Request) (*http.Response, error) {
	for again := true; ; again = false {
		var err error
		if a.token, err = a.vault.userToken(ctx, a.use.UserID); err != nil {
			return nil, refuse(req, err)
		}
		resp, err := a.send(ctx, req)
		if !again || !wantsOtherToken(err) {
			return resp, err
		}
		if err := a.vault.cfg.Tokens.RejectUserToken(ctx, a.use.UserID, a.token, isAny(err, alter.ErrStepUpRequired)); err != nil {
			return nil, err
		}
		if req, err = repeat(req); err != nil {
			return nil, err
		}
	}
}

// wantsOtherToken reports whether the vault refused the person's token, and not
// what was to be done with it.
func wantsOtherToken(err error) bool {
	return isAny(err, alter.ErrUserTokenRejected, alter.ErrStepUpRequired)
}

// send sends the request in the mode of the call.
func (a *attempt) send(ctx context.Context, req *http.Request) (*http.Response, error) {
	if a.use.Mode == ModeProxy {
		return a.proxy(ctx, req)
	}
	resp, err := a.client.Do(req.WithContext(ctx), alter.Use{Grant: a.grant(), Reason: a.use.Reason, Caller: a.caller(), Hidden: a.use.Hidden})
	if a.use.Mode == ModeRetrieve || !errors.Is(err, alter.ErrRequiresProxy) {
		return resp, err
	}
	if req, err = repeat(req); err != nil { // not sent, but its body may be closed
		return nil, err
	}
	return a.proxy(ctx, req)
}

func (a *attempt) grant() alter.Grant {
	return alter.Grant{Provider: a.provider.Name, Label: a.use.Label, Account: a.use.Account, UserToken: a.token}
}

// caller is the agent of the call; a label of the operator's never is one.
func (a *attempt) caller() *alter.Caller {
	if a.use.Agent == "" {
		return nil
	}
	return &alter.Caller{Name: a.use.Agent, Type: alter.CallerAgent}
}

// repeat returns the request with its body from the beginning.
func repeat(req *http.Request) (*http.Request, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return req, nil
	}
	if req.GetBody == nil {
		return nil, errors.New("the request cannot be sent twice")
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, fmt.Errorf("reading the request again: %w", err)
	}
	out := req.WithContext(req.Context())
	out.Body = body
	return out, nil
}

// refuse closes the body and returns err.
func refuse(req *http.Request, err error) error {
	if req.Body != nil {
		_ = req.Body.Close()
	}
	return err
}

// constrained are the narrowed clients by their scopes and rule. There are as many as
// tools say, so none is removed.
type constrained struct {
	client *alter.Client
	mu     sync.Mutex
	byList map[string]*alter.Client
}

func (c *constrained) by(scopes []string, rule *alter.Rule) (*alter.Client, error) {
	if len(scopes) == 0 && rule == nil {
		return c.client, nil
	}
	key := strings.Join(scopes, ",")
	if rule != nil {
		key += "\n" + rule.Type + "\n" + string(rule.Body)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if narrow := c.byList[key]; narrow != nil {
		return narrow, nil
	}
	narrow, err := c.client.WithConstraints(alter.Constraints{Scopes: scopes, Rule: rule})
	if err != nil {
		return nil, err
	}
	if c.byList == nil {
		c.byList = make(map[string]*alter.Client)
	}
	c.byList[key] = narrow
	return narrow, nil
}
