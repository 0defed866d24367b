package alter

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// MaxAuthWait is how long the vault holds a question for a sign-in at most.
const MaxAuthWait = 30 * time.Second

// AuthSession is a person's sign-in at the app's identity provider.
type AuthSession struct {
	// Token asks for the result: who has it gets the person's user token.
	Token vaultclient.Secret
	// URL is where the person signs in. It holds the token, so that it is for
	// the person alone and for no log.
	URL       string
	ExpiresIn time.Duration
	ExpiresAt time.Time
}

// AuthResult is how far a sign-in has come.
type AuthResult struct {
	// Pending: the person has not signed in yet, and the rest is zero.
	Pending bool
	// UserToken is the person's token of the identity provider.
	UserToken vaultclient.Secret
	// UserInfo is what the vault says of the person, such as sub, email and
	// name; may be empty. [Client.VerifyUserToken] and the token itself are the
	// proof, this is for display.
	UserInfo map[string]any
}

// CreateAuthSession starts a sign-in: POST /sdk/auth/session, key scope
// idp_users:write. It is not sent again when its answer was lost: a session that
// nobody knows of would be left. Errors: [ErrOperator] when key or identity
// provider are not set up, [ErrRateLimited], [ErrUnavailable].
func (c *Client) CreateAuthSession(ctx context.Context) (*AuthSession, error) {
	k := call{method: http.MethodPost, path: "/sdk/auth/session", body: struct{}{}, want: only(http.StatusCreated)}
	o, a, err := c.object(ctx, k)
	if err != nil {
		return nil, signInError(err)
	}
	s := &AuthSession{
		Token: o.secret("session_token"), URL: o.text("auth_url"),
		ExpiresIn: o.seconds("expires_in"), ExpiresAt: o.time("expires_at"),
	}
	if err := o.err(&k, a); err != nil {
		return nil, err
	}
	return s, nil
}

type authPollBody struct {
	Token string `json:"session_token"`
	Wait  int64  `json:"wait_ms,omitempty"`
}

// PollAuthSession asks how far a sign-in has come: POST /sdk/auth/poll, key scope
// idp_users:read. With wait, of whole milliseconds and 30 seconds at most, the
// vault answers when the person has signed in, but after wait at the latest.
//
// Errors: [ErrSignInDenied], [ErrSignInExpired], [ErrSignIn] for other ends;
// [ErrOperator] when the identity provider or the key are not set up;
// [ErrUnavailable].
func (c *Client) PollAuthSession(ctx context.Context, token vaultclient.Secret, wait time.Duration) (*AuthResult, error) {
	if token.IsZero() {
		return nil, invalid("sign-in: the session token is empty")
	}
	if wait < 0 || wait > MaxAuthWait {
		return nil, invalid("sign-in wait %s: want at most %s", wait, MaxAuthWait)
	}
	k := call{
		method: http.MethodPost, path: "/sdk/auth/poll", repeatable: true, want: only(http.StatusOK),
		body: authPollBody{Token: token.Reveal(), Wait: wait.Milliseconds()},
	}
	if wait > 0 {
		k.timeout = wait + pollMargin
	}
	o, a, err := c.object(ctx, k)
	if err != nil {
		return nil, signInError(err)
	}
	var r *AuthResult
	switch o.word("status", "", "pending", "completed", "error", "expired") {
	case "pending":
		r = &AuthResult{Pending: true}
	case "completed":
		r = &AuthResult{UserToken: o.secret("user_token")}
		o.read("user_info", &r.UserInfo, "object")
	case "error":
		err = o.signInEnd(k.op())
	case "expired":
		err = &Error{Kind: ErrSignInExpired, Op: k.op(), Status: a.status}
	}
	if broken := o.err(&k, a); broken != nil {
		return nil, broken
	}
	return r, err
}

// signInEnd is the error of a sign-in that failed.
func (o *object) signInEnd(op string) error {
	e := &Error{
		Kind: ErrSignIn, Op: op, Status: http.StatusOK, Code: cut(o.maybeText("error_code")),
		Message: cut(o.maybeText("error_message")), RetryAfter: min(o.maybeSpan("retry_after_seconds", time.Second), maxRetryAfter),
	}
	switch e.Code {
	case "service_unavailable":
		e.Kind = ErrUnavailable
	case "identity_provider_inactive", "identity_group_name_ambiguous":
		e.Kind = ErrOperator
	case "access_denied", "consent_required", "interaction_required", "login_required", "account_selection_required":
		e.Kind = ErrSignInDenied // RFC 6749 section 4.1.2.1, OpenID Connect Core section 3.1.2.6
	}
	return e
}

// signInError puts kinds that are about grants and connecting right.
func signInError(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Kind {
	case ErrGrantNotFound, ErrGrantDeleted:
		e.Kind = ErrSignInExpired // the vault does not know the session
	case ErrConnectConfig:
		e.Kind = ErrOperator
	}
	return err
}

// AwaitAuthSession waits until a person has signed in, with long polls. A vault
// that is away meanwhile ends nothing. The result is never pending. Errors:
// [ErrSignInTimedOut] when the time is over or the context ends, and then the
// session can be awaited again; those of [Client.PollAuthSession].
func (c *Client) AwaitAuthSession(ctx context.Context, token vaultclient.Secret, o AwaitOptions) (*AuthResult, error) {
	var result *AuthResult
	over := &Error{Kind: ErrSignInTimedOut, Op: "POST /sdk/auth/poll"}
	err := c.await(ctx, o, over, signInSurvives, func(ctx context.Context) (bool, error) {
		r, err := c.PollAuthSession(ctx, token, pollFor(ctx, MaxAuthWait).Truncate(time.Millisecond))
		result = r
		return err == nil && !r.Pending, err
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// signInSurvives holds on where the vault has said nothing that is final.
func signInSurvives(err error) bool {
	var e *Error
	if passes(err) || !errors.As(err, &e) || e.Status < 400 {
		return passes(err)
	}
	switch e.Status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
		http.StatusUnprocessableEntity:
		return false
	}
	return e.Kind != ErrSignInExpired && e.Kind != ErrQuotaExceeded
}
