package alter

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// ConnectSession is a page where a person connects accounts at providers.
type ConnectSession struct {
	// Token asks for the result.
	Token vaultclient.Secret
	// URL is where the person agrees. It may hold the token: it is for the
	// person, and for no log.
	URL       string
	ExpiresIn time.Duration
	ExpiresAt time.Time
	// SingleProvider: the person is not asked to choose one.
	SingleProvider bool
	// Direct: the person sees no consent screens. The vault may have refused
	// that.
	Direct bool
	// ScopeWarnings name providers that the scope constraint does not fit.
	ScopeWarnings []string
}

// CreateConnectSession starts the connecting of accounts: POST
// /sdk/oauth/connect/session, key scope connect:initiate. It is not sent again
// when its answer was lost. Errors: [ErrInvalid] for options that exclude each
// other; [ErrConnectConfig], [ErrAgentNotFound], [ErrGrantNotFound] for a grant
// to repair that is gone, [ErrUserTokenRejected], [ErrOperator],
// [ErrRateLimited], [ErrUnavailable].
func (c *Client) CreateConnectSession(ctx context.Context, o ConnectOptions) (*ConnectSession, error) {
	body, err := o.body()
	if err != nil {
		return nil, err
	}
	k := call{method: http.MethodPost, path: "/sdk/oauth/connect/session", body: body, caller: o.Caller}
	in, a, err := c.object(ctx, k)
	if err != nil {
		return nil, err
	}
	s := in.connectSession()
	s.ScopeWarnings, s.SingleProvider = in.maybeTexts("scope_constraint_warnings"), in.maybeFlag("single_provider")
	if err := in.err(&k, a); err != nil {
		return nil, err
	}
	return s, nil
}

func (o *object) connectSession() *ConnectSession {
	return &ConnectSession{
		Token: o.secret("session_token"), URL: o.text("connect_url"), ExpiresIn: o.seconds("expires_in"),
		ExpiresAt: o.time("expires_at"), Direct: o.maybeFlag("direct"),
	}
}

// ConnectResult is how far the connecting of accounts has come.
type ConnectResult struct {
	// Pending: the person is not finished. Only Declined is set then.
	Pending bool
	// Declined are providers that the person turned down so far.
	Declined []DeclinedProvider
	// Grants that were made or renewed; at least one unless pending.
	Grants []ConnectedGrant
	// Failed are providers whose grants could not be made.
	Failed []FailedGrant
}

// DeclinedProvider is one that the person turned down.
type DeclinedProvider struct {
	Provider, Code string
	At             time.Time // zero: not said
}

// FailedGrant is one that could not be made.
type FailedGrant struct {
	Provider, Reason, Message string
}

// ConnectedGrant is one that a connect session made or renewed.
type ConnectedGrant struct {
	ID       string
	Provider string
	Account  string // may be empty
	Scopes   []string
	// APIBaseURL is where the provider's API is for this account; empty where
	// it is the same for all.
	APIBaseURL string
	// Renewed says that the grant was there before.
	Renewed bool
	Policy  *GrantPolicy // nil: none
	// Delegation to the session's agent; nil: none.
	Delegation *ConnectDelegation
}

// ConnectDelegation says what an agent may do with a grant.
type ConnectDelegation struct {
	AgentID string
	// Delegable: the agent may pass the grant on.
	Delegable bool
	// PolicyRefused: the person would have let it, but the provider's policy
	// does not.
	PolicyRefused bool
}

// GrantPolicy limits a grant.
type GrantPolicy struct {
	ExpiresAt time.Time // zero: never
	CreatedBy string    // developer or end_user; may be empty
	CreatedAt time.Time // zero: not said
}

// PollConnectSession asks how far the connecting has come: POST
// /sdk/oauth/connect/session/poll, key scope connect:initiate. The vault answers
// at once.
//
// Errors: [ErrConnectDenied], [ErrConnectConfig], [ErrConnectTimeout] when the
// session expired, [ErrConnect] for other ends without a grant, with [Error.Code]
// and [Error.Reason]; [ErrOperator], [ErrRateLimited], [ErrUnavailable].
func (c *Client) PollConnectSession(ctx context.Context, token vaultclient.Secret) (*ConnectResult, error) {
	if token.IsZero() {
		return nil, invalid("connect: the session token is empty")
	}
	k := call{
		method: http.MethodPost, path: "/sdk/oauth/connect/session/poll", repeatable: true,
		body: struct {
			Token string `json:"session_token"`
		}{token.Reveal()},
	}
	o, a, err := c.object(ctx, k)
	if err != nil {
		return nil, connectError(err)
	}
	var r *ConnectResult
	switch o.word("status", "", "pending", "completed", "error", "expired") {
	case "pending":
		r = &ConnectResult{Pending: true, Declined: o.declined()}
	case "completed":
		r = o.connected()
		err = r.failure(k.op())
	case "error":
		err = o.connectEnd(k.op())
	case "expired":
		err = &Error{Kind: ErrConnectTimeout, Op: k.op(), Status: a.status, Reason: "session_expired"}
	}
	if broken := o.err(&k, a); broken != nil {
		return nil, broken
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (o *object) declined() []DeclinedProvider {
	var out []DeclinedProvider
	for _, d := range o.maybeObjects("declined_providers") {
		out = append(out, DeclinedProvider{d.text("provider_id"), d.text("error_code"), d.maybeTime("declined_at")})
	}
	return out
}

func (o *object) connected() *ConnectResult {
	r := &ConnectResult{}
	for _, g := range o.maybeObjects("grants") {
		made := ConnectedGrant{
			ID: g.id("grant_id"), Provider: g.text("provider_id"), Account: g.maybeText("account_identifier"),
			Scopes: g.maybeTexts("scopes"), APIBaseURL: g.maybeText("api_base_url"),
			Renewed: g.word("operation", "creation", "creation", "reauth") == "reauth", Policy: g.grantPolicy(),
		}
		if d := g.maybeObject("delegation"); d != nil {
			made.Delegation = &ConnectDelegation{d.text("agent_id"), d.flag("delegable"), d.maybeFlag("policy_refused")}
		}
		r.Grants = append(r.Grants, made)
	}
	for _, f := range o.maybeObjects("failed_grants") {
		r.Failed = append(r.Failed, FailedGrant{f.text("provider_id"), f.text("reason"), f.text("message")})
	}
	return r
}

func (o *object) grantPolicy() *GrantPolicy {
	p := o.maybeObject("grant_policy")
	if p == nil {
		return nil
	}
	return &GrantPolicy{p.maybeTime("expires_at"), p.maybeText("created_by"), p.maybeTime("created_at")}
}

// failure is the error of a session that ended without a grant.
func (r *ConnectResult) failure(op string) error {
	if len(r.Grants) > 0 {
		return nil
	}
	e := &Error{Kind: ErrConnect, Op: op, Status: http.StatusOK, Code: "grant_activation_failed"}
	if len(r.Failed) == 0 {
		e.Code = "grant_policy_application_failed"
	}
	for _, f := range r.Failed {
		if f.Reason != "activation_failed" && f.Reason != "not_selected" {
			e.Code = "grant_policy_application_failed"
		}
		if e.Reason == "" {
			e.Reason, e.Message, e.Provider = cut(f.Reason), cut(f.Message), cut(f.Provider)
		}
	}
	return e
}

// connectEnd is the error of a session that failed.
func (o *object) connectEnd(op string) error {
	in := o.maybeObject("error")
	if in == nil {
		o.need("error")
		return nil
	}
	e := &Error{
		Kind: ErrConnect, Op: op, Status: http.StatusOK, Code: cut(in.text("error_code")),
		Message: cut(in.maybeText("error_message")), RetryAfter: min(in.maybeSpan("retry_after_seconds", time.Second), maxRetryAfter),
	}
	switch e.Code {
	case "connect_denied":
		e.Kind = ErrConnectDenied
	case "connect_config_error", "invalid_redirect_uri", "invalid_client", "unauthorized_client",
		"provider_configuration_unavailable", "shared_dev_credential_unavailable", "managed_oauth_scope_approval_required":
		e.Kind = ErrConnectConfig
	case "service_unavailable":
		e.Kind = ErrUnavailable
	case "identity_provider_inactive", "identity_group_name_ambiguous":
		e.Kind = ErrOperator
	}
	return e
}

// connectError says that a session which the vault does not find has ended.
func connectError(err error) error {
	var e *Error
	if errors.As(err, &e) && (e.Kind == ErrGrantNotFound || e.Kind == ErrGrantDeleted) {
		e.Kind, e.Reason = ErrConnectTimeout, "session_unknown"
	}
	return err
}

// AwaitConnectOptions say how to wait for a person to connect.
type AwaitConnectOptions struct {
	AwaitOptions
	// Declined is called for each provider that the person turns down while the
	// session goes on; nil for nobody.
	Declined func(DeclinedProvider)
}

// AwaitConnectSession asks until a person has connected. A vault that is away
// meanwhile ends nothing. The result is never pending. Errors:
// [ErrConnectTimeout], whose [Error.Reason] is poll_deadline_elapsed when the
// time is over or the context ended, and then the session can be awaited again;
// those of [Client.PollConnectSession].
func (c *Client) AwaitConnectSession(ctx context.Context, token vaultclient.Secret, o AwaitConnectOptions) (*ConnectResult, error) {
	var result *ConnectResult
	told := map[string]bool{}
	over := &Error{Kind: ErrConnectTimeout, Op: "POST /sdk/oauth/connect/session/poll", Reason: "poll_deadline_elapsed"}
	err := c.await(ctx, o.AwaitOptions, over, passes, func(ctx context.Context) (bool, error) {
		r, err := c.PollConnectSession(ctx, token)
		if err != nil {
			return false, err
		}
		for _, d := range r.Declined {
			if o.Declined != nil && !told[d.Provider] {
				o.Declined(d)
			}
			told[d.Provider] = true
		}
		result = r
		return !r.Pending, nil
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}
