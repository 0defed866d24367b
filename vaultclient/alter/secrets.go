package alter

import (
	"context"
	"net/http"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// PrincipalType says to whom a managed secret is granted.
type PrincipalType string

// Types of principals.
const (
	PrincipalUser   PrincipalType = "user"
	PrincipalGroup  PrincipalType = "group"
	PrincipalSystem PrincipalType = "system"
)

// Principal is to whom a managed secret is granted.
type Principal struct {
	Type  PrincipalType
	Label string // required but for the system
	// UserToken names a user, ExternalGroupID and IDPID a group.
	UserToken              vaultclient.Secret
	ExternalGroupID, IDPID string
}

func (p *Principal) check() error {
	switch p.Type {
	case PrincipalUser:
		if p.UserToken.IsZero() || p.Label == "" {
			return invalid("a user who gets a secret needs a user token and a label")
		}
	case PrincipalGroup:
		if p.ExternalGroupID == "" || p.IDPID == "" || p.Label == "" {
			return invalid("a group that gets a secret needs its id, that of the identity provider, and a label")
		}
	case PrincipalSystem:
	default:
		return invalid("principal %q: want user, group or system", cut(string(p.Type)))
	}
	return nil
}

type principalBody struct {
	Type      PrincipalType `json:"type"`
	UserToken string        `json:"user_token,omitempty"`
	GroupID   string        `json:"external_group_id,omitempty"`
	IDPID     string        `json:"idp_id,omitempty"`
	Label     string        `json:"label,omitempty"`
}

// SecretGrantRequest grants a managed secret.
type SecretGrantRequest struct {
	SecretID   string // a UUID
	Principal  Principal
	MaxTTL     time.Duration // in whole seconds
	DefaultTTL time.Duration // in whole seconds
	// CredentialID chooses among the secret's credentials.
	CredentialID string
}

// SecretGrant is a grant of a managed secret.
type SecretGrant struct {
	ID            string        `json:"grant_id"`
	PrincipalType PrincipalType `json:"principal_type"`
	Label         string        `json:"label"`
	CreatedAt     time.Time     `json:"created_at"`
	CredentialID  string        `json:"credential_id"`
}

// GrantSecret grants a managed secret: POST /sdk/managed-secrets/{id}/grants. It
// is not repeated once it may have happened. Errors beside those of all calls:
// [ErrCredentialChoice], [ErrNotAssignable], [ErrUserTokenRejected].
func (c *Client) GrantSecret(ctx context.Context, r SecretGrantRequest) (*SecretGrant, error) {
	if !isUUID(r.SecretID) {
		return nil, invalid("managed secret %q: want a UUID", cut(r.SecretID))
	}
	if err := r.Principal.check(); err != nil {
		return nil, err
	}
	p := r.Principal
	k := call{
		method: http.MethodPost, path: "/sdk/managed-secrets/" + r.SecretID + "/grants",
		body: struct {
			Principal  principalBody   `json:"principal"`
			Policy     grantPolicyBody `json:"grant_policy"`
			Credential string          `json:"credential_id,omitempty"`
		}{
			principalBody{p.Type, p.UserToken.Reveal(), p.ExternalGroupID, p.IDPID, p.Label},
			grantPolicyBody{int64(r.MaxTTL / time.Second), int64(r.DefaultTTL / time.Second)}, r.CredentialID,
		},
	}
	a, err := c.do(ctx, k)
	if err != nil {
		return nil, err
	}
	g := new(SecretGrant)
	if err := k.decode(a, g); err != nil {
		return nil, err
	}
	if !isUUID(g.ID) || g.PrincipalType == "" || g.CreatedAt.IsZero() {
		return nil, k.malformed(a, "the grant of the secret lacks members, or they are invalid")
	}
	return g, nil
}

// SecretConnectRequest asks for a page where a person gives, or delegates, a key
// for a managed secret.
type SecretConnectRequest struct {
	// Provider is the secret's slug, Template that of a template: one of them.
	Provider, Template string
	// Agent, by name or UUID, or DelegatedAgentID: to whom it is delegated.
	Agent, DelegatedAgentID string
	UserToken               vaultclient.Secret // required
	TTL                     time.Duration      // in whole seconds
	AllowedOrigin           string
	ReturnURL               string
	NoUserRules             bool
	Delegable               *bool
	Label                   string
	MaxTTL, DefaultTTL      time.Duration // in whole seconds
	Direct                  bool
	RepairGrantID           string
}

func (r *SecretConnectRequest) check() error {
	switch {
	case (r.Provider == "") == (r.Template == ""):
		return invalid("a secret is connected either by its provider or by a template")
	case r.UserToken.IsZero():
		return invalid("connecting a secret needs a user token")
	case r.Agent != "" && r.DelegatedAgentID != "":
		return invalid("an agent is named by agent or by its id, not by both")
	case r.RepairGrantID != "" && !isUUID(r.RepairGrantID):
		return invalid("the grant to repair %q is no UUID", cut(r.RepairGrantID))
	}
	return nil
}

// secretConnectBody has its members in the order of the protocol.
type secretConnectBody struct {
	Provider  string           `json:"provider,omitempty"`
	Template  string           `json:"template_slug,omitempty"`
	Agent     string           `json:"agent,omitempty"`
	AgentID   string           `json:"delegated_agent_id,omitempty"`
	UserToken string           `json:"user_token"`
	TTL       int64            `json:"requested_ttl_seconds,omitempty"`
	Origin    string           `json:"allowed_origin,omitempty"`
	ReturnURL string           `json:"return_url,omitempty"`
	UserRules *bool            `json:"allow_user_policy_rules,omitempty"`
	Delegable *bool            `json:"delegable,omitempty"`
	Grant     *requestedGrant  `json:"requested_grant,omitempty"`
	Policy    *grantPolicyBody `json:"grant_policy,omitempty"`
	Direct    bool             `json:"direct,omitempty"`
	Repair    string           `json:"repair_grant_id,omitempty"`
}

// SecretConnectSession is the page of a [SecretConnectRequest].
type SecretConnectSession struct {
	Token              vaultclient.Secret // for [Client.PollConnectSession]
	URL                string
	ExpiresAt          time.Time
	DelegableRequested bool
	// Path is what the person will see: fast_path, key_entry, repair, or empty.
	Path            string
	ExistingGrantID string
	Direct          bool
	SecretSlug      string
	TemplateSlug    string
	AgentID         string
}

// ConnectSecret asks for a page to connect a managed secret: POST
// /sdk/managed-secrets/connect/session. The key needs connect:initiate and
// secrets:write. It is not repeated once it may have happened. Errors beside
// those of all calls: [ErrConnectConfig], and [ErrUnsupported] when the vault did
// not understand what was asked for.
func (c *Client) ConnectSecret(ctx context.Context, r SecretConnectRequest) (*SecretConnectSession, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	body := secretConnectBody{
		Provider: r.Provider, Template: r.Template, Agent: r.Agent, AgentID: r.DelegatedAgentID, UserToken: r.UserToken.Reveal(),
		TTL: int64(r.TTL / time.Second), Origin: r.AllowedOrigin, ReturnURL: r.ReturnURL,
		Delegable: r.Delegable, Direct: r.Direct, Repair: r.RepairGrantID,
	}
	if r.NoUserRules {
		body.UserRules = new(bool)
	}
	if r.Label != "" {
		body.Grant = &requestedGrant{Label: r.Label}
	}
	if r.MaxTTL > 0 || r.DefaultTTL > 0 {
		body.Policy = &grantPolicyBody{int64(r.MaxTTL / time.Second), int64(r.DefaultTTL / time.Second)}
	}
	k := call{method: http.MethodPost, path: "/sdk/managed-secrets/connect/session", body: body}
	a, err := c.do(ctx, k)
	if err != nil {
		return nil, err
	}
	return k.secretSession(a, &r)
}

func (k *call) secretSession(a *answer, r *SecretConnectRequest) (*SecretConnectSession, error) {
	var wire struct {
		Token     string    `json:"session_token"`
		URL       string    `json:"connect_url"`
		ExpiresIn *int64    `json:"expires_in"`
		ExpiresAt time.Time `json:"expires_at"`
		Delegable *bool     `json:"delegable_requested"`
		Path      string    `json:"path"`
		Existing  string    `json:"existing_grant_id"`
		Direct    bool      `json:"direct"`
		Secret    string    `json:"secret_slug"`
		Template  string    `json:"template_slug"`
		AgentID   string    `json:"agent_id"`
	}
	if err := k.decode(a, &wire); err != nil {
		return nil, err
	}
	if wire.Token == "" || !isPageURL(wire.URL) || wire.ExpiresIn == nil || *wire.ExpiresIn < 0 || wire.ExpiresAt.IsZero() {
		return nil, k.malformed(a, "the connect session lacks members, or they are invalid")
	}
	// An older vault takes no notice of what it does not know, and grants more
	// than was asked for.
	if r.Delegable != nil && (wire.Delegable == nil || *wire.Delegable != *r.Delegable) || r.Provider != "" && wire.Secret != r.Provider {
		return nil, &Error{Kind: ErrUnsupported, Op: k.op(), Message: "the vault did not repeat what was asked for"}
	}
	return &SecretConnectSession{
		Token: vaultclient.NewSecret(wire.Token), URL: wire.URL, ExpiresAt: wire.ExpiresAt,
		DelegableRequested: wire.Delegable != nil && *wire.Delegable, Path: wire.Path, ExistingGrantID: wire.Existing,
		Direct: wire.Direct, SecretSlug: wire.Secret, TemplateSlug: wire.Template, AgentID: wire.AgentID,
	}, nil
}
