package alter

import (
	"context"
	"iter"
	"net/http"
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
