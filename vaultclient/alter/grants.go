package alter

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// GrantKind says what a grant gives the use of.
type GrantKind string

// Kinds of grants. There are no others.
const (
	GrantOAuth  GrantKind = "oauth"
	GrantSecret GrantKind = "managed_secret"
)

// GrantInfo is a grant as the vault lists it. One type stands for both kinds, as
// nearly all of it is common to them; what is only there for secrets is in
// Secret. What is not said is zero.
type GrantInfo struct {
	ID   string
	Kind GrantKind
	// Status is active, or why the grant does not work.
	Status  string
	Label   string
	Account string
	// CredentialID is the credential behind it; siblings share one.
	CredentialID string
	// PrincipalType is whom it belongs to: user, system, agent, or group with
	// secrets.
	PrincipalType string
	// AccessVia is ownership, or how it was delegated to who asks.
	AccessVia string

	CreatedAt   time.Time
	LastUsedAt  time.Time
	DelegatedAt time.Time
	// ExpiresAt is the end of the credential as far as it cannot be renewed,
	// GrantExpiresAt that of the grant.
	ExpiresAt      time.Time
	GrantExpiresAt time.Time
	Policy         *GrantPolicy

	// ParentID of a delegated grant, Depth delegations from the person's own.
	ParentID        string
	Depth           int
	Delegable       bool
	ScopeConstraint []string

	// Of OAuth grants only.
	Provider        string
	DisplayName     string // of the account
	Scopes          []string
	APIBaseURL      string
	ScopeMismatch   bool // it is known to lack scopes
	NeedsReconnect  bool
	DelegatedAgents []string

	Secret *SecretGrant // nil for OAuth grants
}

// SecretGrant is what a grant of a managed secret says of the secret.
type SecretGrant struct {
	ID, Slug, Name string
	AgentID        string
	// CredentialKind is developer or end_user; may be empty.
	CredentialKind  string
	CredentialLabel string
}

// MaxGrantPage is how many grants one page has at most.
const MaxGrantPage = 1000

// GrantFilter says which grants to list. Empty members do not narrow.
type GrantFilter struct {
	Provider, Status, Account, Label string
	// UserToken narrows to the person's own grants. Without one, all that the
	// key may see are listed.
	UserToken vaultclient.Secret
	// Limit of a page, from 1 to 1000; default 100. Offset of its first grant.
	Limit, Offset int
}

// GrantPage is one page of a list.
type GrantPage struct {
	Grants               []GrantInfo
	Total, Limit, Offset int
	HasMore              bool
}

type listBody struct {
	Limit     int    `json:"limit"`
	Offset    int    `json:"offset"`
	Provider  string `json:"provider_id,omitempty"`
	Status    string `json:"status,omitempty"`
	Account   string `json:"account,omitempty"`
	Label     string `json:"label,omitempty"`
	UserToken string `json:"user_token,omitempty"`
}

const defaultGrantPage = 100

// ListGrants returns one page of grants: POST /sdk/grants/list. Errors: [ErrInvalid], [ErrUserTokenRejected], [ErrOperator],
// [ErrRateLimited], [ErrUnavailable].
func (c *Client) ListGrants(ctx context.Context, f GrantFilter) (*GrantPage, error) {
	if f.Limit == 0 {
		f.Limit = defaultGrantPage
	}
	if f.Limit < 1 || f.Limit > MaxGrantPage || f.Offset < 0 {
		return nil, invalid("grants: want a limit of 1 to %d and an offset that is not negative", MaxGrantPage)
	}
	k := call{
		method: http.MethodPost, path: "/sdk/grants/list", repeatable: true, limit: maxListAnswer,
		body: listBody{f.Limit, f.Offset, f.Provider, f.Status, f.Account, f.Label, f.UserToken.Reveal()},
	}
	o, a, err := c.object(ctx, k)
	if err != nil {
		return nil, err
	}
	p := &GrantPage{
		Total: int(o.number("total")), Limit: int(o.number("limit")),
		Offset: int(o.number("offset")), HasMore: o.flag("has_more"),
	}
	o.need("grants")
	for _, g := range o.maybeObjects("grants") {
		p.Grants = append(p.Grants, g.grantInfo())
	}
	if err := o.err(&k, a); err != nil {
		return nil, err
	}
	return p, nil
}

// maxListAnswer bounds a page: a thousand grants of some kilobytes each.
const maxListAnswer = 8 << 20

// Grants goes through all grants, page after page from f.Offset on. It ends with
// the first error. The list may change meanwhile: a grant can be missed or come
// twice.
func (c *Client) Grants(ctx context.Context, f GrantFilter) iter.Seq2[GrantInfo, error] {
	return func(yield func(GrantInfo, error) bool) {
		for {
			page, err := c.ListGrants(ctx, f)
			if err != nil {
				yield(GrantInfo{}, err)
				return
			}
			for _, g := range page.Grants {
				if !yield(g, nil) {
					return
				}
			}
			if !page.HasMore || len(page.Grants) == 0 {
				return
			}
			f.Offset += len(page.Grants)
		}
	}
}

func (o *object) grantInfo() GrantInfo {
	g := GrantInfo{
		ID: o.id("grant_id"), Kind: GrantKind(o.word("grant_kind", "oauth", "oauth", "managed_secret")),
		Status: o.text("status"), Label: o.maybeText("label"), Account: o.maybeText("account_identifier"),
		CredentialID: o.maybeText("credential_id"), CreatedAt: o.time("created_at"),
		LastUsedAt: o.maybeTime("last_used_at"), DelegatedAt: o.maybeTime("delegated_at"),
		ExpiresAt: o.maybeTime("expires_at"), GrantExpiresAt: o.maybeTime("grant_expires_at"), Policy: o.grantPolicy(),
		ParentID: o.maybeText("parent_grant_id"), Depth: int(o.maybeNumber("depth")),
		Delegable: o.maybeFlag("delegable"), ScopeConstraint: o.maybeTexts("scope_constraint"),
	}
	if g.Kind == GrantSecret {
		g.PrincipalType = o.word("principal_type", "", "user", "group", "system", "agent")
		g.AccessVia = o.word("access_via", "ownership", "ownership", "ms_delegation")
		g.Secret = &SecretGrant{
			ID: o.text("managed_secret_id"), Slug: o.text("managed_secret_slug"), Name: o.text("managed_secret_name"),
			AgentID: o.maybeText("agent_id"), CredentialKind: o.maybeText("credential_kind"),
			CredentialLabel: o.maybeText("credential_label"),
		}
		return g
	}
	g.PrincipalType = o.word("principal_type", "", "user", "system", "agent")
	g.AccessVia = o.word("access_via", "ownership", "ownership", "oauth_delegation")
	g.Provider, g.DisplayName = o.text("provider_id"), o.maybeText("account_display_name")
	g.Scopes, g.APIBaseURL = o.maybeTexts("scopes"), o.maybeText("api_base_url")
	g.ScopeMismatch, g.NeedsReconnect = o.maybeFlag("scope_mismatch"), o.maybeFlag("needs_reconnect")
	g.DelegatedAgents = o.maybeTexts("delegated_agent_ids")
	return g
}

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
// /sdk/oauth/grants/{id}/revoke. Kept tokens of it work
// until their end. It is not sent again when its answer was lost: the second
// would find a revoked grant. Errors: [ErrInvalid], [ErrGrantNotFound],
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
