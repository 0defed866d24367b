package alter

import (
	"context"
	"net/http"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// AuthSession is a login of a person at the app's identity provider.
type AuthSession struct {
	// Token is for [Client.PollAuthSession]. Who has it gets the person's token.
	Token vaultclient.Secret
	// URL is where the person logs in. It holds the session, so it is for the
	// person alone.
	URL       string
	ExpiresAt time.Time
}

// AuthResult is who logged in.
type AuthResult struct {
	// UserToken is the JWT that the identity provider issued.
	UserToken vaultclient.Secret
	// UserInfo are the claims that the vault passes on, such as sub and email.
	UserInfo map[string]any
}

// MaxAuthWait is how long the vault holds a poll at most.
const MaxAuthWait = 30 * time.Second

// CreateAuthSession begins a login: POST /sdk/auth/session. The key needs
// idp_users:write. It is not repeated once it may have happened.
func (c *Client) CreateAuthSession(ctx context.Context) (*AuthSession, error) {
	k := call{method: http.MethodPost, path: "/sdk/auth/session", body: struct{}{}, want: only(http.StatusCreated)}
	a, err := c.do(ctx, k)
	if err != nil {
		return nil, err
	}
	var wire struct {
		Token     string    `json:"session_token"`
		URL       string    `json:"auth_url"`
		ExpiresIn *int64    `json:"expires_in"`
		ExpiresAt time.Time `json:"expires_at"`
	}
	if err := k.decode(a, &wire); err != nil {
		return nil, err
	}
	if wire.Token == "" || !isPageURL(wire.URL) || wire.ExpiresIn == nil || *wire.ExpiresIn < 0 || wire.ExpiresAt.IsZero() {
		return nil, k.malformed(a, "the auth session lacks members, or they are invalid")
	}
	return &AuthSession{Token: vaultclient.NewSecret(wire.Token), URL: wire.URL, ExpiresAt: wire.ExpiresAt}, nil
}

// PollAuthSession asks who logged in: POST /sdk/auth/poll. The answer is nil
// while the person is not through; the vault holds it for up to wait, at most
// [MaxAuthWait]; 0 answers at once. The key needs idp_users:read. Errors:
// [ErrConnectDenied] when the person or the identity provider refused,
// [ErrConnectTimeout] when the session is over, [ErrConnectConfig] when the app
// has no usable identity provider.
func (c *Client) PollAuthSession(ctx context.Context, session vaultclient.Secret, wait time.Duration) (*AuthResult, error) {
	if session.IsZero() {
		return nil, invalid("the auth session's token is empty")
	}
	if wait < 0 || wait > MaxAuthWait {
		return nil, invalid("waiting %v for a login: at most %v", wait, MaxAuthWait)
	}
	k := call{
		method: http.MethodPost, path: "/sdk/auth/poll", repeatable: true, want: only(http.StatusOK),
		timeout: wait + longPollSlack,
		body: struct {
			Token string `json:"session_token"`
			Wait  int64  `json:"wait_ms,omitempty"`
		}{session.Reveal(), wait.Milliseconds()},
	}
	a, err := c.do(ctx, k)
	if err != nil {
		return nil, err
	}
	return k.authResult(a)
}

func (k *call) authResult(a *answer) (*AuthResult, error) {
	var wire struct {
		Status       string         `json:"status"`
		UserToken    string         `json:"user_token"`
		UserInfo     map[string]any `json:"user_info"`
		ErrorCode    string         `json:"error_code"`
		ErrorMessage string         `json:"error_message"`
		RetryAfter   *int64         `json:"retry_after_seconds"`
	}
	if err := k.decode(a, &wire); err != nil {
		return nil, err
	}
	switch wire.Status {
	case "pending":
		return nil, nil
	case "completed":
		if wire.UserToken == "" || hasBreak(wire.UserToken) {
			return nil, k.malformed(a, "the login is completed without a user token")
		}
		return &AuthResult{UserToken: vaultclient.NewSecret(wire.UserToken), UserInfo: wire.UserInfo}, nil
	case "expired":
		return nil, &Error{Kind: ErrConnectTimeout, Op: k.op(), Code: "session_expired"}
	case "error":
		return nil, sessionError(k, wire.ErrorCode, wire.ErrorMessage, wire.RetryAfter, ErrConnectDenied)
	}
	return nil, k.malformed(a, "the status of the auth session is none that the protocol has")
}

// sessionError is how a session of a person ended. other is what codes mean that
// have no kind of their own.
func sessionError(k *call, code, message string, retryAfter *int64, other Kind) error {
	e := &Error{Kind: other, Op: k.op(), Code: cut(code), Message: cut(message)}
	switch code {
	case "service_unavailable":
		e.Kind, e.Status = ErrUnavailable, http.StatusServiceUnavailable
	case "identity_provider_inactive", "identity_group_name_ambiguous":
		e.Kind, e.Status = ErrConnectConfig, http.StatusConflict
	case "connect_denied":
		e.Kind = ErrConnectDenied
	case "connect_config_error", "invalid_redirect_uri", "invalid_client", "unauthorized_client",
		"provider_configuration_unavailable", "shared_dev_credential_unavailable",
		"managed_oauth_scope_approval_required":
		e.Kind = ErrConnectConfig
	}
	if retryAfter != nil && *retryAfter > 0 {
		e.RetryAfter = min(time.Duration(min(*retryAfter, 3600))*time.Second, maxRetryAfter)
	}
	return e
}

// AwaitAuthSession polls until the person is through or the context ends.
func (c *Client) AwaitAuthSession(ctx context.Context, session vaultclient.Secret) (*AuthResult, error) {
	for {
		result, err := c.PollAuthSession(ctx, session, MaxAuthWait)
		if err != nil || result != nil {
			return result, err
		}
		// A vault that does not hold the poll must not be asked without pause.
		if err := c.cfg.Sleep(ctx, firstWait); err != nil {
			return nil, &Error{Kind: ErrConnectTimeout, Op: "POST /sdk/auth/poll", Err: err}
		}
	}
}
