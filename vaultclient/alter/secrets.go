package alter

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// Principal is whom a grant of a managed secret is for: a person, a group, or
// the app. Exactly one of UserToken and Group is set, or neither for the app.
type Principal struct {
	UserToken vaultclient.Secret
	// Group is the identity provider's id of a group, IDP the vault's id of that
	// provider.
	Group, IDP string
	// Label tells the grant from others: at most 255 characters. Required but
	// for the app's.
	Label string
}

// SecretGrantOptions describe a grant of a managed secret.
type SecretGrantOptions struct {
	Principal Principal
	// Policy bounds it.
	Policy GrantBounds
	// CredentialID chooses among several credentials of the secret; see
	// [ErrCredentialChoice].
	CredentialID string
}

// CreatedSecretGrant is a grant of a managed secret that was made.
type CreatedSecretGrant struct {
	ID            string
	PrincipalType string // user, group or system
	Label         string
	CredentialID  string // may be empty
	CreatedAt     time.Time
}

type secretGrantBody struct {
	Principal    principalBody `json:"principal"`
	Policy       boundsBody    `json:"grant_policy"`
	CredentialID string        `json:"credential_id,omitempty"`
}

type principalBody struct {
	Type      string `json:"type"`
	UserToken string `json:"user_token,omitempty"`
	Group     string `json:"external_group_id,omitempty"`
	IDP       string `json:"idp_id,omitempty"`
	Label     string `json:"label,omitempty"`
}

func (p *Principal) body() (principalBody, error) {
	b := principalBody{Type: "system", UserToken: p.UserToken.Reveal(), Group: p.Group, IDP: p.IDP, Label: p.Label}
	switch {
	case b.UserToken != "" && b.Group != "":
		return b, invalid("principal: either a user token or a group")
	case (b.Group == "") != (b.IDP == ""):
		return b, invalid("principal: a group goes with the id of its identity provider")
	case b.UserToken != "":
		b.Type = "user"
	case b.Group != "":
		b.Type = "group"
	}
	if b.Label == "" && b.Type == "system" {
		return b, nil
	}
	return b, checkLabel(b.Label)
}

// CreateSecretGrant gives somebody the use of a managed secret, whose id is a
// UUID: POST /sdk/managed-secrets/{id}/grants, key scope secrets:write. It is not
// sent again when its answer was lost. Errors: [ErrInvalid], [ErrGrantNotFound]
// and [ErrConnectConfig] for a secret that is not there, [ErrCredentialChoice],
// [ErrNotAssignable], [ErrLabelConflict], [ErrUserTokenRejected], [ErrOperator],
// [ErrUnavailable].
func (c *Client) CreateSecretGrant(ctx context.Context, secretID string, s SecretGrantOptions) (*CreatedSecretGrant, error) {
	if !isUUID(secretID) {
		return nil, invalid("managed secret %q: want a UUID in lower case", cut(secretID))
	}
	principal, err := s.Principal.body()
	policy, err2 := s.Policy.body(true)
	if err = errors.Join(err, err2); err != nil {
		return nil, err
	}
	body := secretGrantBody{Principal: principal, CredentialID: s.CredentialID}
	if policy != nil {
		body.Policy = *policy
	}
	k := call{method: http.MethodPost, path: "/sdk/managed-secrets/" + secretID + "/grants", body: body}
	o, a, err := c.object(ctx, k)
	if err != nil {
		return nil, err
	}
	out := &CreatedSecretGrant{
		ID: o.id("grant_id"), PrincipalType: o.word("principal_type", "", "user", "group", "system", "agent"),
		Label: o.maybeText("label"), CredentialID: o.maybeText("credential_id"), CreatedAt: o.time("created_at"),
	}
	if err := o.err(&k, a); err != nil {
		return nil, err
	}
	return out, nil
}
