package alter

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// RevokeOptions say why, and for whom, a grant is revoked.
type RevokeOptions struct {
	// Reason for the vault's record; may be empty.
	Reason string
	// UserToken makes sure that the grant is this person's: another's is
	// [ErrGrantNotFound].
	UserToken vaultclient.Secret
}

type revokeBody struct {
	Reason    string `json:"reason,omitempty"`
	UserToken string `json:"user_token,omitempty"`
}

// RevokeGrant ends a grant and returns since when it is ended: POST
// /sdk/oauth/grants/{id}/revoke. Its kept tokens are dropped.
// It is not sent again when its answer was lost: the second would find a revoked
// grant. Errors: [ErrInvalid], [ErrGrantNotFound],
// [ErrRefused], [ErrUserTokenRejected], [ErrOperator], [ErrUnavailable].
func (c *Client) RevokeGrant(ctx context.Context, grantID string, r RevokeOptions) (time.Time, error) {
	if err := checkGrantID(grantID); err != nil {
		return time.Time{}, err
	}
	k := call{
		method: http.MethodPost, path: "/sdk/oauth/grants/" + grantID + "/revoke",
		body: revokeBody{r.Reason, r.UserToken.Reveal()},
	}
	o, a, err := c.object(ctx, k)
	c.tokens.dropGrant(grantID) // also when the answer was lost
	if err != nil {
		return time.Time{}, err
	}
	done, message, at := o.flag("success"), o.text("message"), o.time("revoked_at")
	if o.id("grant_id") != grantID {
		o.fail("grant_id", "is that of another grant")
	}
	if err := o.err(&k, a); err != nil {
		return time.Time{}, err
	}
	if !done {
		return time.Time{}, &Error{Kind: ErrRefused, Op: k.op(), Status: a.status, Message: cut(message), GrantID: grantID}
	}
	return at, nil
}

func checkGrantID(id string) error {
	if !isUUID(id) {
		return invalid("grant id %q: want a UUID in lower case", cut(id))
	}
	return nil
}

// MintOptions describe a sibling of a grant.
type MintOptions struct {
	// Label tells it from its siblings: 1 to 255 characters.
	Label string
	// Policy bounds it.
	Policy GrantBounds
	// Tags for policies of the app; at most 100.
	Tags []string
}

type mintBody struct {
	Label  string      `json:"label"`
	Policy *boundsBody `json:"grant_policy,omitempty"`
	Tags   []string    `json:"grant_tags,omitempty"`
}

const maxTags = 100

// MintGrant makes a further grant on the credential of one: POST
// /sdk/grants/{id}/mint, for keys of apps alone. It is not sent again when its
// answer was lost. Errors: [ErrInvalid], [ErrGrantNotFound], [ErrLabelConflict],
// [ErrPolicy], [ErrOperator], [ErrUnavailable].
func (c *Client) MintGrant(ctx context.Context, grantID string, m MintOptions) (*GrantInfo, error) {
	if err := errors.Join(checkGrantID(grantID), checkLabel(m.Label)); err != nil {
		return nil, err
	}
	if len(m.Tags) > maxTags {
		return nil, invalid("grant tags: %d: at most %d", len(m.Tags), maxTags)
	}
	policy, err := m.Policy.body(true)
	if err != nil {
		return nil, err
	}
	k := call{method: http.MethodPost, path: "/sdk/grants/" + grantID + "/mint", body: mintBody{m.Label, policy, m.Tags}}
	o, a, err := c.object(ctx, k)
	if err != nil {
		return nil, err
	}
	g := o.grantInfo()
	if err := o.err(&k, a); err != nil {
		return nil, err
	}
	return &g, nil
}

// DelegateOptions say to whom a grant is passed on, and how much of it.
type DelegateOptions struct {
	// ToAgentID is a UUID.
	ToAgentID string
	// Delegable lets the agent pass it on in turn; nil leaves what was, which is
	// no for a new one.
	Delegable *bool
	// ScopeConstraint narrows it: at most 100 scopes of 512 characters; nil does
	// not.
	ScopeConstraint []string
	// TTL in whole seconds; 0 is as long as the grant itself.
	TTL time.Duration
}

type delegateBody struct {
	ToAgentID       string   `json:"to_agent_id"`
	Delegable       *bool    `json:"delegable,omitempty"`
	ScopeConstraint []string `json:"scope_constraint,omitempty"`
	TTL             int64    `json:"ttl_seconds,omitempty"`
}

// Delegation is a grant that was passed on.
type Delegation struct {
	GrantID, ParentID string
	Kind              GrantKind
	Depth             int // from the person's own grant; at least 1
	Delegable         bool
	Status            string
	ExpiresAt         time.Time // zero: with the parent
}

// DelegateGrant passes a grant from the agent of the key to another: POST
// /sdk/grants/{id}/delegate, for keys of agents. It is not sent again when its
// answer was lost. Errors: [ErrInvalid], [ErrGrantNotFound], [ErrNotDelegable],
// [ErrAgentNotFound], [ErrPolicy], [ErrOperator], [ErrUnavailable].
func (c *Client) DelegateGrant(ctx context.Context, grantID string, d DelegateOptions) (*Delegation, error) {
	if err := errors.Join(checkGrantID(grantID), checkScopeConstraint(d.ScopeConstraint)); err != nil {
		return nil, err
	}
	if !isUUID(d.ToAgentID) {
		return nil, invalid("agent id %q: want a UUID in lower case", cut(d.ToAgentID))
	}
	if d.TTL < 0 || d.TTL%time.Second != 0 || d.TTL/time.Second > maxPolicyLength {
		return nil, invalid("delegation of %s: want whole seconds, not negative", d.TTL)
	}
	k := call{
		method: http.MethodPost, path: "/sdk/grants/" + grantID + "/delegate",
		body: delegateBody{d.ToAgentID, d.Delegable, d.ScopeConstraint, int64(d.TTL / time.Second)},
	}
	o, a, err := c.object(ctx, k)
	if err != nil {
		return nil, err
	}
	out := &Delegation{
		GrantID: o.text("grant_id"), ParentID: o.text("parent_grant_id"),
		Kind:  GrantKind(o.word("grant_kind", "", "oauth", "managed_secret")),
		Depth: int(o.number("depth")), Delegable: o.flag("delegable"), Status: o.text("status"),
		ExpiresAt: o.maybeTime("expires_at"),
	}
	if out.Depth < 1 {
		o.fail("depth", "is below 1")
	}
	if err := o.err(&k, a); err != nil {
		return nil, err
	}
	return out, nil
}

// EndDelegation takes a grant back from an agent, and from all it passed it on
// to: DELETE /sdk/grants/{id}/delegations/{agent}. agentID is a UUID, or "me" for
// the agent of the key. What is ended already is no error. Errors: [ErrInvalid],
// [ErrGrantNotFound], [ErrOperator], [ErrUnavailable].
func (c *Client) EndDelegation(ctx context.Context, grantID, agentID string) error {
	if err := checkGrantID(grantID); err != nil {
		return err
	}
	if agentID != "me" && !isUUID(strings.ToLower(agentID)) {
		return invalid("agent id %q: want a UUID or me", cut(agentID))
	}
	return c.discard(ctx, call{
		method: http.MethodDelete, path: "/sdk/grants/" + grantID + "/delegations/" + strings.ToLower(agentID),
		repeatable: true, want: only(http.StatusNoContent),
	})
}
