package alter

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// VerifyUserToken returns the subject of a person's token of the app's identity
// provider: POST /sdk/auth/verify-token. Only an answer that says so verifies it;
// with any error the token is not verified. Errors: [ErrUserTokenRejected],
// [ErrOperator], [ErrRefused] when the app has no identity provider,
// [ErrUnavailable].
func (c *Client) VerifyUserToken(ctx context.Context, token vaultclient.Secret) (string, error) {
	if strings.TrimSpace(token.Reveal()) == "" {
		return "", invalid("the user token is empty")
	}
	k := call{
		method: http.MethodPost, path: "/sdk/auth/verify-token", repeatable: true, want: only(http.StatusOK),
		body: struct {
			Token string `json:"token"`
		}{token.Reveal()},
	}
	o, a, err := c.object(ctx, k)
	if err != nil {
		return "", err
	}
	sub := o.text("sub")
	if strings.TrimSpace(sub) == "" {
		o.fail("sub", "is blank")
	}
	if err := o.err(&k, a); err != nil {
		return "", err
	}
	return sub, nil
}

// IdentityQuery says whose identity is meant.
type IdentityQuery struct {
	// UserToken names a person; without one it is the key's own identity.
	UserToken vaultclient.Secret
	// AppUserID chooses among the people who delegated to an agent.
	AppUserID string
	// Profile asks for email and name, too.
	Profile bool
	// Caller in place of the client's own; nil for that.
	Caller *Caller
}

// Identity is who calls, and for whom. What is not said is zero.
type Identity struct {
	AppID string
	// AppUserID is the vault's id of the person, Subject that of the identity
	// provider, which is IDP.
	AppUserID, Subject, IDP string
	UserStatus              string
	Groups                  []string
	AgentID                 string
	// ActorID is for the record alone: it names nobody for sure.
	ActorID         string
	RunID, ThreadID string
	Email, Name     string
}

type identityBody struct {
	Profile   bool   `json:"include_profile"`
	UserToken string `json:"user_token,omitempty"`
	AppUserID string `json:"app_user_id,omitempty"`
}

func (q *IdentityQuery) body() identityBody {
	return identityBody{q.Profile, q.UserToken.Reveal(), q.AppUserID}
}

// ResolveIdentity returns who calls, and for whom: POST /sdk/identity/resolve.
// Errors: [ErrUserTokenRejected], [ErrNoDelegatedGrant],
// [ErrPolicy], [ErrOperator], [ErrRateLimited], [ErrUnavailable].
func (c *Client) ResolveIdentity(ctx context.Context, q IdentityQuery) (*Identity, error) {
	k := call{method: http.MethodPost, path: "/sdk/identity/resolve", repeatable: true, body: q.body(), caller: q.Caller}
	o, a, err := c.object(ctx, k)
	if err != nil {
		return nil, err
	}
	id := o.identity()
	if err := o.err(&k, a); err != nil {
		return nil, err
	}
	return &id, nil
}

func (o *object) identity() Identity {
	id := Identity{
		AppID: o.text("app_id"), AppUserID: o.maybeText("app_user_id"), Subject: o.maybeText("external_subject_id"),
		IDP: o.maybeText("idp_id"), UserStatus: o.maybeText("user_status"), Groups: o.maybeTexts("group_ids"),
		AgentID: o.maybeText("agent_id"), ActorID: o.maybeText("actor_id"),
		Email: o.maybeText("email"), Name: o.maybeText("display_name"),
	}
	if t := o.maybeObject("trace"); t != nil {
		id.RunID, id.ThreadID = t.maybeText("run_id"), t.maybeText("thread_id")
	}
	return id
}

// Limits of assertions.
const (
	MinAssertionTTL = 10 * time.Second
	MaxAssertionTTL = 300 * time.Second

	maxAudience = 512 // characters
)

const pathAssert = "/sdk/identity/assert"

// AssertionOptions say for whom an assertion is.
type AssertionOptions struct {
	// Audience is the absolute URI of who will read it: at most 512 characters.
	// Required.
	Audience string
	// TTL of whole seconds, from 10 to 300; 0 leaves it to the vault.
	TTL time.Duration
}

// Assertion is a signed statement of who calls, for others to trust.
type Assertion struct {
	// Token is a compact JWS with ES256 (RFC 7515).
	Token     vaultclient.Secret
	ExpiresAt time.Time
	Identity  Identity
}

type assertBody struct {
	identityBody
	Audience string `json:"audience"`
	TTL      int64  `json:"ttl_seconds,omitempty"`
}

// AssertIdentity returns a signed assertion of who calls, and for whom: POST
// /sdk/identity/assert. Errors: [ErrInvalid] and those
// of [Client.ResolveIdentity].
func (c *Client) AssertIdentity(ctx context.Context, q IdentityQuery, o AssertionOptions) (*Assertion, error) {
	if u, err := url.Parse(o.Audience); err != nil || !u.IsAbs() || len(o.Audience) > maxAudience {
		return nil, invalid("audience: want an absolute URI of at most %d characters", maxAudience)
	}
	if o.TTL != 0 && (o.TTL < MinAssertionTTL || o.TTL > MaxAssertionTTL || o.TTL%time.Second != 0) {
		return nil, invalid("assertion of %s: want whole seconds from %s to %s", o.TTL, MinAssertionTTL, MaxAssertionTTL)
	}
	k := call{
		method: http.MethodPost, path: pathAssert, repeatable: true, caller: q.Caller,
		body: assertBody{q.body(), o.Audience, int64(o.TTL / time.Second)},
	}
	in, a, err := c.object(ctx, k)
	if err != nil {
		return nil, err
	}
	out := &Assertion{Token: in.secret("token"), ExpiresAt: in.time("expires_at")}
	if who := in.maybeObject("identity"); who != nil {
		out.Identity = who.identity()
	}
	in.need("identity")
	if strings.Count(out.Token.Reveal(), ".") != 2 {
		in.fail("token", "is no compact JWS")
	}
	if err := in.err(&k, a); err != nil {
		return nil, err
	}
	return out, nil
}
