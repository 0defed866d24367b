package alter

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// VerifyUserToken has the vault verify a token of the app's identity provider
// and returns its subject: POST /sdk/auth/verify-token. Anything but a clear yes
// is an error: [ErrUserTokenRejected] when the vault says no.
func (c *Client) VerifyUserToken(ctx context.Context, token vaultclient.Secret) (subject string, err error) {
	if token.IsZero() {
		return "", invalid("the user token is empty")
	}
	k := call{
		method: http.MethodPost, path: "/sdk/auth/verify-token", repeatable: true, want: only(http.StatusOK),
		body: struct {
			Token string `json:"token"`
		}{token.Reveal()},
	}
	a, err := c.do(ctx, k)
	if err != nil {
		return "", err
	}
	var wire struct {
		Subject string `json:"sub"`
	}
	if err := k.decode(a, &wire); err != nil {
		return "", err
	}
	if wire.Subject == "" {
		return "", k.malformed(a, "the answer names no subject")
	}
	return wire.Subject, nil
}

// IdentityRequest names a person or agent. Without either, the caller is meant.
type IdentityRequest struct {
	// Profile asks for e-mail address and name, too.
	Profile   bool
	UserToken vaultclient.Secret
	AppUserID string
}

// Identity is who a person or agent is to the vault. What is not known is empty.
type Identity struct {
	AppID             string          `json:"app_id"`
	AppUserID         string          `json:"app_user_id"`
	ExternalSubjectID string          `json:"external_subject_id"`
	IDPID             string          `json:"idp_id"`
	UserStatus        string          `json:"user_status"`
	GroupIDs          []string        `json:"group_ids"`
	AgentID           string          `json:"agent_id"`
	ActorID           string          `json:"actor_id"`
	Trace             json.RawMessage `json:"trace"`
	Email             string          `json:"email"`
	DisplayName       string          `json:"display_name"`
}

type identityBody struct {
	Profile   bool   `json:"include_profile"`
	UserToken string `json:"user_token,omitempty"`
	AppUserID string `json:"app_user_id,omitempty"`
}

func (r *IdentityRequest) body() identityBody {
	return identityBody{r.Profile, r.UserToken.Reveal(), r.AppUserID}
}

// ResolveIdentity asks who somebody is to the vault: POST /sdk/identity/resolve.
func (c *Client) ResolveIdentity(ctx context.Context, r IdentityRequest) (*Identity, error) {
	k := call{method: http.MethodPost, path: "/sdk/identity/resolve", repeatable: true, body: r.body()}
	a, err := c.do(ctx, k)
	if err != nil {
		return nil, err
	}
	id := new(Identity)
	if err := k.decode(a, id); err != nil {
		return nil, err
	}
	if id.AppID == "" {
		return nil, k.malformed(a, "the identity names no app")
	}
	return id, nil
}

// AssertRequest asks for a signed statement of who somebody is.
type AssertRequest struct {
	IdentityRequest
	// Audience is the URI for whom it is: at most 512 bytes. Required.
	Audience string
	// TTL of 10 to 300 seconds, in whole seconds; 0 leaves it to the vault.
	TTL time.Duration
}

// Assertion is a signed statement.
type Assertion struct {
	// Token is a JWS, signed by ES256.
	Token     vaultclient.Secret
	ExpiresAt time.Time
	Identity  Identity
}

const (
	maxAudience  = 512
	minAssertTTL = 10 * time.Second
	maxAssertTTL = 300 * time.Second
)

// AssertIdentity asks for a signed statement: POST /sdk/identity/assert.
func (c *Client) AssertIdentity(ctx context.Context, r AssertRequest) (*Assertion, error) {
	if u, err := url.Parse(r.Audience); err != nil || !u.IsAbs() || len(r.Audience) > maxAudience {
		return nil, invalid("audience %q: want a URI of at most %d bytes", cut(r.Audience), maxAudience)
	}
	if r.TTL != 0 && (r.TTL < minAssertTTL || r.TTL > maxAssertTTL || r.TTL%time.Second != 0) {
		return nil, invalid("lifetime %v of an assertion: want whole seconds from %v to %v", r.TTL, minAssertTTL, maxAssertTTL)
	}
	k := call{
		method: http.MethodPost, path: "/sdk/identity/assert", repeatable: true,
		body: struct {
			identityBody
			Audience string `json:"audience"`
			TTL      int64  `json:"ttl_seconds,omitempty"`
		}{r.body(), r.Audience, int64(r.TTL / time.Second)},
	}
	a, err := c.do(ctx, k)
	if err != nil {
		return nil, err
	}
	var wire struct {
		Token     string    `json:"token"`
		ExpiresAt time.Time `json:"expires_at"`
		Identity  Identity  `json:"identity"`
	}
	if err := k.decode(a, &wire); err != nil {
		return nil, err
	}
	if wire.Token == "" || wire.ExpiresAt.IsZero() || wire.Identity.AppID == "" {
		return nil, k.malformed(a, "the assertion lacks members, or they are invalid")
	}
	return &Assertion{Token: vaultclient.NewSecret(wire.Token), ExpiresAt: wire.ExpiresAt, Identity: wire.Identity}, nil
}
