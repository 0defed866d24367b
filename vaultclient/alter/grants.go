package alter

import (
	"context"
	"net/http"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// GrantFilter says which grants to list. Zero values do not narrow.
type GrantFilter struct {
	Provider, Status, Account, Label string
	// Limit is at most 1000. Default 100.
	Limit  int
	Offset int
	// UserToken narrows to one person. Without one, all grants of the app are
	// listed.
	UserToken vaultclient.Secret
}

// Kinds of grants.
const (
	GrantOAuth         = "oauth"
	GrantManagedSecret = "managed_secret"
)

// GrantInfo is one grant of a list. What the kind does not have is empty.
type GrantInfo struct {
	Kind          string    `json:"grant_kind"` // oauth or managed_secret
	ID            string    `json:"grant_id"`
	Provider      string    `json:"provider_id"`
	Label         string    `json:"label"`
	Account       string    `json:"account_identifier"`
	DisplayName   string    `json:"account_display_name"`
	Scopes        []string  `json:"scopes"`
	Status        string    `json:"status"` // active, revoked, expired …
	ScopeMismatch bool      `json:"scope_mismatch"`
	NeedsConnect  bool      `json:"needs_reconnect"`
	APIBaseURL    string    `json:"api_base_url"`
	ExpiresAt     time.Time `json:"expires_at"`       // of the token; zero: not said
	GrantExpires  time.Time `json:"grant_expires_at"` // zero: never
	CreatedAt     time.Time `json:"created_at"`
	LastUsedAt    time.Time `json:"last_used_at"` // zero: never
	// PrincipalType is user, system, agent or, for secrets, group.
	PrincipalType string `json:"principal_type"`
	AccessVia     string `json:"access_via"`
	AgentID       string `json:"agent_id"`
	ParentID      string `json:"parent_grant_id"`
	Depth         int    `json:"depth"`
	Delegable     bool   `json:"delegable"`
	SecretID      string `json:"managed_secret_id"`
	SecretSlug    string `json:"managed_secret_slug"`
	SecretName    string `json:"managed_secret_name"`
	CredentialID  string `json:"credential_id"`
}

// GrantList is one page of grants.
type GrantList struct {
	Grants  []GrantInfo `json:"grants"`
	Total   int         `json:"total"`
	Limit   int         `json:"limit"`
	Offset  int         `json:"offset"`
	HasMore bool        `json:"has_more"`
}

const maxGrantList = 1000

// ListGrants lists grants: POST /sdk/grants/list. The key needs grants:read.
func (c *Client) ListGrants(ctx context.Context, f GrantFilter) (*GrantList, error) {
	if f.Limit == 0 {
		f.Limit = 100
	}
	if f.Limit < 1 || f.Limit > maxGrantList || f.Offset < 0 {
		return nil, invalid("listing grants: want a limit of 1 to %d and an offset that is not negative", maxGrantList)
	}
	k := call{
		method: http.MethodPost, path: "/sdk/grants/list", repeatable: true,
		body: struct {
			Limit     int    `json:"limit"`
			Offset    int    `json:"offset"`
			Provider  string `json:"provider_id,omitempty"`
			Status    string `json:"status,omitempty"`
			Account   string `json:"account,omitempty"`
			Label     string `json:"label,omitempty"`
			UserToken string `json:"user_token,omitempty"`
		}{f.Limit, f.Offset, f.Provider, f.Status, f.Account, f.Label, f.UserToken.Reveal()},
	}
	a, err := c.do(ctx, k)
	if err != nil {
		return nil, err
	}
	list := new(GrantList)
	if err := k.decode(a, list); err != nil {
		return nil, err
	}
	for _, g := range list.Grants {
		if !isUUID(g.ID) || g.Kind != GrantOAuth && g.Kind != GrantManagedSecret || g.Status == "" || g.CreatedAt.IsZero() {
			return nil, k.malformed(a, "a grant of the list lacks members, or they are invalid")
		}
	}
	if list.Grants == nil || list.Total < 0 {
		return nil, k.malformed(a, "the list of grants lacks members")
	}
	return list, nil
}

// RevokeOptions of [Client.RevokeGrant].
type RevokeOptions struct {
	Reason string
	// UserToken narrows to that person's grants: another's is
	// [ErrGrantNotFound]. Without one any grant of the app can be ended.
	UserToken vaultclient.Secret
}

// RevokeGrant ends a grant for good: POST /sdk/oauth/grants/{id}/revoke. The key
// needs grants:revoke. What was kept of the grant is dropped. It returns when
// the grant ended.
func (c *Client) RevokeGrant(ctx context.Context, id string, o RevokeOptions) (time.Time, error) {
	if !isUUID(id) {
		return time.Time{}, invalid("grant id %q: want a UUID", cut(id))
	}
	k := call{
		method: http.MethodPost, path: "/sdk/oauth/grants/" + id + "/revoke", repeatable: true,
		body: struct {
			Reason    string `json:"reason,omitempty"`
			UserToken string `json:"user_token,omitempty"`
		}{o.Reason, o.UserToken.Reveal()},
	}
	c.tokens.dropGrant(id)
	a, err := c.do(ctx, k)
	if err != nil {
		return time.Time{}, err
	}
	c.tokens.dropGrant(id) // fetched meanwhile
	var wire struct {
		Success   *bool     `json:"success"`
		GrantID   string    `json:"grant_id"`
		RevokedAt time.Time `json:"revoked_at"`
	}
	if err := k.decode(a, &wire); err != nil {
		return time.Time{}, err
	}
	if wire.Success == nil || !*wire.Success || wire.GrantID != id {
		return time.Time{}, k.malformed(a, "the answer does not say that the grant was revoked")
	}
	return wire.RevokedAt, nil
}

// MintRequest makes a sibling of a grant on the same credential.
type MintRequest struct {
	Label      string // required
	MaxTTL     time.Duration
	DefaultTTL time.Duration
	Tags       map[string]string
}

// MintGrant makes a sibling grant: POST /sdk/grants/{id}/mint. For apps' keys
// only. It is not repeated once it may have happened. Errors beside those of all
// calls: [ErrLabelConflict].
func (c *Client) MintGrant(ctx context.Context, id string, r MintRequest) (*GrantInfo, error) {
	if !isUUID(id) || r.Label == "" {
		return nil, invalid("minting a grant: want the UUID of a grant and a label")
	}
	body := struct {
		Label  string            `json:"label"`
		Policy *grantPolicyBody  `json:"grant_policy,omitempty"`
		Tags   map[string]string `json:"grant_tags,omitempty"`
	}{Label: r.Label, Tags: r.Tags}
	if r.MaxTTL > 0 || r.DefaultTTL > 0 {
		body.Policy = &grantPolicyBody{int64(r.MaxTTL / time.Second), int64(r.DefaultTTL / time.Second)}
	}
	k := call{method: http.MethodPost, path: "/sdk/grants/" + id + "/mint", body: body}
	a, err := c.do(ctx, k)
	if err != nil {
		return nil, err
	}
	g := new(GrantInfo)
	if err := k.decode(a, g); err != nil {
		return nil, err
	}
	if !isUUID(g.ID) {
		return nil, k.malformed(a, "the minted grant has no id")
	}
	return g, nil
}

// DelegateRequest passes a grant that an agent holds on to another agent.
type DelegateRequest struct {
	ToAgentID  string // a UUID; required
	Delegable  *bool
	Constraint []string
	TTL        time.Duration // in whole seconds; 0: that of the grant
}

// DelegatedGrant is a grant that was passed on.
type DelegatedGrant struct {
	ID        string    `json:"grant_id"`
	Kind      string    `json:"grant_kind"`
	ParentID  string    `json:"parent_grant_id"`
	Depth     int       `json:"depth"` // at least 1
	Delegable bool      `json:"delegable"`
	Status    string    `json:"status"`
	ExpiresAt time.Time `json:"expires_at"` // zero: never
}

// DelegateGrant passes a grant on: POST /sdk/grants/{id}/delegate. For agents'
// keys only. It is not repeated once it may have happened. Errors beside those
// of all calls: [ErrNotDelegable], [ErrAgentNotFound].
func (c *Client) DelegateGrant(ctx context.Context, id string, r DelegateRequest) (*DelegatedGrant, error) {
	if !isUUID(id) || !isUUID(r.ToAgentID) {
		return nil, invalid("delegating a grant: want the UUIDs of a grant and of an agent")
	}
	k := call{
		method: http.MethodPost, path: "/sdk/grants/" + id + "/delegate",
		body: struct {
			To         string   `json:"to_agent_id"`
			Delegable  *bool    `json:"delegable,omitempty"`
			Constraint []string `json:"scope_constraint,omitempty"`
			TTL        int64    `json:"ttl_seconds,omitempty"`
		}{r.ToAgentID, r.Delegable, r.Constraint, int64(r.TTL / time.Second)},
	}
	a, err := c.do(ctx, k)
	if err != nil {
		return nil, err
	}
	g := new(DelegatedGrant)
	if err := k.decode(a, g); err != nil {
		return nil, err
	}
	if !isUUID(g.ID) || !isUUID(g.ParentID) || g.Depth < 1 || g.Status == "" {
		return nil, k.malformed(a, "the delegated grant lacks members, or they are invalid")
	}
	return g, nil
}

// RevokeDelegation ends what was delegated to an agent: DELETE
// /sdk/grants/{id}/delegations/{agent}; agent is a UUID or "me". Ending it twice
// is no error.
func (c *Client) RevokeDelegation(ctx context.Context, id, agent string) error {
	if !isUUID(id) || agent != "me" && !isUUID(agent) {
		return invalid("ending a delegation: want the UUID of a grant, and that of an agent or me")
	}
	k := call{
		method: http.MethodDelete, path: "/sdk/grants/" + id + "/delegations/" + agent,
		repeatable: true, want: only(http.StatusNoContent),
	}
	_, err := c.do(ctx, k)
	return err
}
