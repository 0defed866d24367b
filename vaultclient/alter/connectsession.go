package alter

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// ConnectRequest asks for a page of the vault where a person connects accounts.
// Zero values are not sent.
type ConnectRequest struct {
	// Providers that may be connected; none for all of the app's.
	Providers []string
	// ReturnURL is where the person is sent back to, AllowedOrigin the page that
	// may embed the vault's.
	ReturnURL, AllowedOrigin string
	// IPAddress and UserAgent of the person's browser, for the vault's record.
	IPAddress, UserAgent string

	// Direct leads to the provider without a page of the vault. One provider.
	Direct bool
	// SwitchAccount has the provider ask for the account.
	SwitchAccount bool
	// NoUserRules keeps people from adding rules of their own to the grant.
	NoUserRules bool
	// MaxTTL and DefaultTTL of the grant, in whole seconds.
	MaxTTL, DefaultTTL time.Duration
	// RequiredScopes by provider: without them the connection fails.
	RequiredScopes map[string][]string
	// Label of the grant, to tell several at one provider apart.
	Label string
	// AllowedMethods and AllowedEndpoints restrict the grant. They need a label.
	AllowedMethods, AllowedEndpoints []string
	// RepairGrantID is a grant that gets a new credential. One provider; not
	// with Agent, Label and SwitchAccount.
	RepairGrantID string
	// Agent, by name or UUID, to whom the grant is delegated. Needs a user token.
	Agent string
	// Delegable says whether the agent may pass the grant on.
	Delegable *bool
	// ScopeConstraint narrows what the agent may do: at most 100 of 512 bytes.
	ScopeConstraint []string

	// UserToken names the person. Without one the grant belongs to the app.
	UserToken vaultclient.Secret
}

// Limits of a [ConnectRequest].
const (
	maxScopeConstraints = 100
	maxScopeConstraint  = 512
)

func (r *ConnectRequest) check() error {
	one := len(r.Providers) == 1
	tooLong := func(s string) bool { return s == "" || len(s) > maxScopeConstraint }
	switch {
	case slices.Contains(r.Providers, ""):
		return invalid("connect session: a provider is empty")
	case r.Direct && !one:
		return invalid("connect session: direct needs exactly one provider")
	case r.RepairGrantID != "" && !isUUID(r.RepairGrantID):
		return invalid("connect session: the grant to repair %q is no UUID", cut(r.RepairGrantID))
	case r.RepairGrantID != "" && (!one || r.Agent != "" || r.Label != "" || r.SwitchAccount):
		return invalid("connect session: a repair needs exactly one provider, and no agent, label or switch of account")
	case r.Agent != "" && r.UserToken.IsZero():
		return invalid("connect session: an agent needs a user token")
	case r.Label == "" && len(r.AllowedMethods)+len(r.AllowedEndpoints) > 0:
		return invalid("connect session: restrictions need a label")
	case len(r.ScopeConstraint) > maxScopeConstraints || slices.ContainsFunc(r.ScopeConstraint, tooLong):
		return invalid("connect session: at most %d scope constraints of 1 to %d bytes", maxScopeConstraints, maxScopeConstraint)
	case r.MaxTTL < 0 || r.DefaultTTL < 0 || r.MaxTTL%time.Second != 0 || r.DefaultTTL%time.Second != 0:
		return invalid("connect session: lifetimes of the grant are whole seconds")
	}
	return nil
}

type connectBody struct {
	Providers     []string            `json:"allowed_providers"`
	ReturnURL     *string             `json:"return_url"`
	AllowedOrigin *string             `json:"allowed_origin"`
	Metadata      *connectMetadata    `json:"metadata"`
	Direct        bool                `json:"direct,omitempty"`
	SwitchAccount bool                `json:"switch_account,omitempty"`
	UserRules     *bool               `json:"allow_user_policy_rules,omitempty"`
	Policy        *grantPolicyBody    `json:"grant_policy,omitempty"`
	Required      map[string][]string `json:"required_scopes,omitempty"`
	Grant         *requestedGrant     `json:"requested_grant,omitempty"`
	Repair        string              `json:"repair_grant_id,omitempty"`
	Agent         string              `json:"agent,omitempty"`
	Delegable     *bool               `json:"delegable,omitempty"`
	Constraint    []string            `json:"scope_constraint,omitempty"`
	UserToken     string              `json:"user_token,omitempty"`
}

type connectMetadata struct {
	IPAddress string `json:"ip_address,omitempty"`
	UserAgent string `json:"user_agent,omitempty"`
}

type grantPolicyBody struct {
	MaxTTL     int64 `json:"max_ttl_seconds,omitempty"`
	DefaultTTL int64 `json:"default_ttl_seconds,omitempty"`
}

type requestedGrant struct {
	Label        string             `json:"label"`
	Restrictions *grantRestrictions `json:"restrictions,omitempty"`
}

type grantRestrictions struct {
	Methods   []string `json:"allowed_methods,omitempty"`
	Endpoints []string `json:"allowed_endpoints,omitempty"`
}

func (r *ConnectRequest) body() connectBody {
	b := connectBody{
		Providers: r.Providers, ReturnURL: orNull(r.ReturnURL), AllowedOrigin: orNull(r.AllowedOrigin),
		Direct: r.Direct, SwitchAccount: r.SwitchAccount, Required: r.RequiredScopes, Repair: r.RepairGrantID,
		Agent: r.Agent, Delegable: r.Delegable, Constraint: r.ScopeConstraint, UserToken: r.UserToken.Reveal(),
	}
	if r.IPAddress != "" || r.UserAgent != "" {
		b.Metadata = &connectMetadata{r.IPAddress, r.UserAgent}
	}
	if r.NoUserRules {
		b.UserRules = new(bool)
	}
	if r.MaxTTL > 0 || r.DefaultTTL > 0 {
		b.Policy = &grantPolicyBody{int64(r.MaxTTL / time.Second), int64(r.DefaultTTL / time.Second)}
	}
	if r.Label != "" {
		b.Grant = &requestedGrant{Label: r.Label}
		if len(r.AllowedMethods)+len(r.AllowedEndpoints) > 0 {
			b.Grant.Restrictions = &grantRestrictions{r.AllowedMethods, r.AllowedEndpoints}
		}
	}
	return b
}

// ConnectSession is a page where a person connects accounts.
type ConnectSession struct {
	// Token is for [Client.PollConnectSession].
	Token vaultclient.Secret
	// URL is where the person goes; it holds the session.
	URL       string
	ExpiresAt time.Time
	// SingleProvider and Direct are what the vault made of the request.
	SingleProvider, Direct bool
	// Warnings about scope constraints, for the operator.
	Warnings []string
}

// CreateConnectSession asks for a page to connect: POST
// /sdk/oauth/connect/session. The key needs connect:initiate. It is not repeated
// once it may have happened. Errors beside those of all calls: [ErrConnectConfig],
// [ErrAgentNotFound], and [ErrGrantNotFound] for a grant to repair.
func (c *Client) CreateConnectSession(ctx context.Context, r ConnectRequest) (*ConnectSession, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	k := call{method: http.MethodPost, path: "/sdk/oauth/connect/session", body: r.body()}
	a, err := c.do(ctx, k)
	if err != nil {
		return nil, err
	}
	var wire struct {
		Token     string    `json:"session_token"`
		URL       string    `json:"connect_url"`
		ExpiresIn *int64    `json:"expires_in"`
		ExpiresAt time.Time `json:"expires_at"`
		Single    bool      `json:"single_provider"`
		Direct    bool      `json:"direct"`
		Warnings  []string  `json:"scope_constraint_warnings"`
	}
	if err := k.decode(a, &wire); err != nil {
		return nil, err
	}
	if wire.Token == "" || !isPageURL(wire.URL) || wire.ExpiresIn == nil || *wire.ExpiresIn < 0 || wire.ExpiresAt.IsZero() {
		return nil, k.malformed(a, "the connect session lacks members, or they are invalid")
	}
	return &ConnectSession{
		Token: vaultclient.NewSecret(wire.Token), URL: wire.URL, ExpiresAt: wire.ExpiresAt,
		SingleProvider: wire.Single, Direct: wire.Direct, Warnings: wire.Warnings,
	}, nil
}

// ConnectResult is what a person connected, and what failed beside it.
type ConnectResult struct {
	Grants []ConnectedGrant
	Failed []FailedGrant
}

// ConnectedGrant is one grant of a [ConnectResult].
type ConnectedGrant struct {
	GrantID    string      `json:"grant_id"`
	Provider   string      `json:"provider_id"`
	Account    string      `json:"account_identifier"`
	Scopes     []string    `json:"scopes"`
	APIBaseURL string      `json:"api_base_url"`
	Operation  string      `json:"operation"` // creation or reauth
	Delegation *Delegation `json:"delegation"`
}

// Delegation says to which agent a grant was delegated.
type Delegation struct {
	AgentID       string `json:"agent_id"`
	Delegable     bool   `json:"delegable"`
	PolicyRefused bool   `json:"policy_refused"`
}

// FailedGrant is a provider that was not connected.
type FailedGrant struct {
	Provider string `json:"provider_id"`
	Reason   string `json:"reason"`
	Message  string `json:"message"`
}

// PollConnectSession asks what the person connected: POST
// /sdk/oauth/connect/session/poll. The answer is nil while they are not through.
// Errors: [ErrConnectDenied], [ErrConnectTimeout], [ErrConnectConfig],
// [ErrConnect].
func (c *Client) PollConnectSession(ctx context.Context, session vaultclient.Secret) (*ConnectResult, error) {
	if session.IsZero() {
		return nil, invalid("the connect session's token is empty")
	}
	k := call{
		method: http.MethodPost, path: "/sdk/oauth/connect/session/poll", repeatable: true,
		body: struct {
			Token string `json:"session_token"`
		}{session.Reveal()},
	}
	a, err := c.do(ctx, k)
	if err != nil {
		return nil, err
	}
	return k.connectResult(a)
}

func (k *call) connectResult(a *answer) (*ConnectResult, error) {
	var wire struct {
		Status string           `json:"status"`
		Grants []ConnectedGrant `json:"grants"`
		Failed []FailedGrant    `json:"failed_grants"`
		Error  *struct {
			Code       string `json:"error_code"`
			Message    string `json:"error_message"`
			RetryAfter *int64 `json:"retry_after_seconds"`
		} `json:"error"`
	}
	if err := k.decode(a, &wire); err != nil {
		return nil, err
	}
	switch wire.Status {
	case "pending":
		return nil, nil
	case "expired":
		return nil, &Error{Kind: ErrConnectTimeout, Op: k.op(), Code: "session_expired"}
	case "error":
		if wire.Error == nil {
			return nil, k.malformed(a, "the connect session failed without an error")
		}
		return nil, sessionError(k, wire.Error.Code, wire.Error.Message, wire.Error.RetryAfter, ErrConnect)
	case "completed":
		return k.connected(a, &ConnectResult{Grants: wire.Grants, Failed: wire.Failed})
	}
	return nil, k.malformed(a, "the status of the connect session is none that the protocol has")
}

// connected checks what was connected. Nothing but failures is a failure.
func (k *call) connected(a *answer, r *ConnectResult) (*ConnectResult, error) {
	for _, g := range r.Grants {
		if !isUUID(g.GrantID) || g.Provider == "" || g.Operation != "" && g.Operation != "creation" && g.Operation != "reauth" {
			return nil, k.malformed(a, "a grant of the connect session lacks members, or they are invalid")
		}
	}
	if len(r.Grants) > 0 {
		return r, nil
	}
	if len(r.Failed) == 0 {
		return nil, k.malformed(a, "the connect session is completed without a grant")
	}
	code := "grant_activation_failed"
	for _, f := range r.Failed {
		if f.Reason != "activation_failed" && f.Reason != "not_selected" {
			code = "grant_policy_application_failed"
		}
	}
	return nil, &Error{Kind: ErrConnect, Op: k.op(), Code: code, Reason: cut(r.Failed[0].Reason), Message: cut(r.Failed[0].Message)}
}

// connectPoll is how often [Client.AwaitConnectSession] asks: the vault does not
// hold these polls.
const connectPoll = 2 * time.Second

// AwaitConnectSession polls until the person is through or the context ends,
// which is [ErrConnectTimeout]. A rate limit is waited out.
func (c *Client) AwaitConnectSession(ctx context.Context, session vaultclient.Secret) (*ConnectResult, error) {
	for {
		result, err := c.PollConnectSession(ctx, session)
		wait := connectPoll
		var e *Error
		switch {
		case errors.As(err, &e) && e.Kind == ErrRateLimited:
			wait = max(wait, e.RetryAfter)
		case err != nil || result != nil:
			return result, err
		}
		if err := c.cfg.Sleep(ctx, wait); err != nil {
			return nil, &Error{Kind: ErrConnectTimeout, Op: "POST /sdk/oauth/connect/session/poll", Err: err}
		}
	}
}
