package alter

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// Limits of the options of connect sessions, in entries and characters.
const (
	maxLabel        = 255
	maxAtoms        = 100
	maxAtom         = 512
	maxPolicyLength = 1<<31 - 1 // seconds
)

// ConnectOptions say what a person is asked to connect, and on what terms. Empty
// members are left to the vault.
type ConnectOptions struct {
	// Providers to choose from; all that the app has if empty.
	Providers []string
	// UserToken names the person whom the grants are for. Without one they
	// belong to the app, and nobody's token finds them.
	UserToken vaultclient.Secret
	// RequiredScopes are asked for in place of the app's, by provider; they may
	// not be wider.
	RequiredScopes map[string][]string

	// ReturnURL is where the person goes at the end, AllowedOrigin whom the page
	// tells the result.
	ReturnURL     string
	AllowedOrigin string
	// IPAddress and UserAgent of the person, for the vault's record.
	IPAddress string
	UserAgent string

	// Direct leaves out the consent screens: the terms are those given here. It
	// needs exactly one provider.
	Direct bool
	// SwitchAccount lets the person connect another account than before.
	SwitchAccount bool
	// NoUserRules keeps the person from adding rules of their own.
	NoUserRules bool
	// Policy bounds the grant's life.
	Policy GrantBounds
	// Requested asks for a sibling grant with a label and restrictions.
	Requested *RequestedGrant
	// RepairGrantID renews a grant in place. It needs exactly one provider and
	// goes with none of Agent, Requested and SwitchAccount.
	RepairGrantID string

	// Agent, by id or name, that the grants are delegated to. It needs a
	// UserToken.
	Agent string
	// Delegable asks the person whether the agent may pass the grants on, or
	// says that it may not; nil leaves what was.
	Delegable *bool
	// ScopeConstraint narrows what is delegated: at most 100 scopes of 512
	// characters (RFC 6749 section 3.3).
	ScopeConstraint []string

	// Caller in place of the client's own; nil for that.
	Caller *Caller
}

// GrantBounds limit the life of a grant. Zero members are left to the vault.
type GrantBounds struct {
	// MaxTTL is the longest that the person can choose, DefaultTTL what is
	// chosen at first: whole seconds, DefaultTTL at most MaxTTL.
	MaxTTL     time.Duration
	DefaultTTL time.Duration
	// ExpiresAt is a fixed end; not for connect sessions.
	ExpiresAt time.Time
}

// RequestedGrant is a further grant on the same account.
type RequestedGrant struct {
	// Label tells it from its siblings: 1 to 255 characters.
	Label string
	// Methods and Endpoints restrict it; it can be used in proxy mode alone
	// then.
	Methods   []string
	Endpoints []string
}

// connectBody is in the order of the vault's own clients.
type connectBody struct {
	Providers       []string            `json:"allowed_providers"`
	ReturnURL       *string             `json:"return_url"`
	AllowedOrigin   *string             `json:"allowed_origin"`
	Metadata        *connectMetadata    `json:"metadata"`
	Direct          bool                `json:"direct,omitempty"`
	SwitchAccount   bool                `json:"switch_account,omitempty"`
	UserRules       *bool               `json:"allow_user_policy_rules,omitempty"`
	Policy          *boundsBody         `json:"grant_policy,omitempty"`
	RequiredScopes  map[string][]string `json:"required_scopes,omitempty"`
	Requested       *requestedBody      `json:"requested_grant,omitempty"`
	RepairGrantID   string              `json:"repair_grant_id,omitempty"`
	Agent           string              `json:"agent,omitempty"`
	Delegable       *bool               `json:"delegable,omitempty"`
	ScopeConstraint []string            `json:"scope_constraint,omitempty"`
	UserToken       string              `json:"user_token,omitempty"`
}

type connectMetadata struct {
	IPAddress string `json:"ip_address,omitempty"`
	UserAgent string `json:"user_agent,omitempty"`
}

type boundsBody struct {
	ExpiresAt  string `json:"expires_at,omitempty"`
	MaxTTL     int64  `json:"max_ttl_seconds,omitempty"`
	DefaultTTL int64  `json:"default_ttl_seconds,omitempty"`
}

type requestedBody struct {
	Label        string            `json:"label"`
	Restrictions *restrictionsBody `json:"restrictions,omitempty"`
}

type restrictionsBody struct {
	Methods   []string `json:"allowed_methods,omitempty"`
	Endpoints []string `json:"allowed_endpoints,omitempty"`
}

func (o *ConnectOptions) body() (*connectBody, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	policy, err := o.Policy.body(false)
	if err != nil {
		return nil, err
	}
	b := &connectBody{
		Providers: o.Providers, ReturnURL: orNull(o.ReturnURL), AllowedOrigin: orNull(o.AllowedOrigin),
		Direct: o.Direct, SwitchAccount: o.SwitchAccount, UserRules: unlessAllowed(o.NoUserRules), Policy: policy,
		RequiredScopes: o.RequiredScopes, Requested: o.Requested.body(), RepairGrantID: o.RepairGrantID,
		Agent: o.Agent, Delegable: o.Delegable, ScopeConstraint: o.ScopeConstraint, UserToken: o.UserToken.Reveal(),
	}
	if len(b.Providers) == 0 {
		b.Providers = nil // an empty list would offer none
	}
	if o.IPAddress != "" || o.UserAgent != "" {
		b.Metadata = &connectMetadata{o.IPAddress, o.UserAgent}
	}
	return b, nil
}

// check refuses what the vault would, before a person sees a page that cannot
// work.
func (o *ConnectOptions) check() error {
	distinct := map[string]bool{}
	for _, p := range o.Providers {
		if strings.TrimSpace(p) == "" {
			return invalid("connect: a provider's name is empty")
		}
		distinct[strings.ToLower(strings.TrimSpace(p))] = true
	}
	switch {
	case o.Direct && len(distinct) != 1:
		return invalid("connect: direct needs exactly one provider")
	case o.Agent != "" && o.UserToken.IsZero():
		return invalid("connect: an agent needs a user token, for somebody has to delegate")
	case o.ScopeConstraint != nil && o.Agent == "":
		return invalid("connect: a scope constraint needs an agent")
	}
	if err := o.checkRepair(len(distinct)); err != nil {
		return err
	}
	for p, scopes := range o.RequiredScopes {
		for _, s := range scopes {
			if p == "" || !isScope(s) {
				return invalid("connect: required scope %q of %q is no scope (RFC 6749 section 3.3)", cut(s), cut(p))
			}
		}
	}
	if err := o.Requested.check(); err != nil {
		return err
	}
	return checkScopeConstraint(o.ScopeConstraint)
}

func (o *ConnectOptions) checkRepair(providers int) error {
	switch {
	case o.RepairGrantID == "":
		return nil
	case !isUUID(o.RepairGrantID):
		return invalid("connect: grant to repair %q: want a UUID in lower case", cut(o.RepairGrantID))
	case providers != 1:
		return invalid("connect: repairing a grant needs exactly one provider")
	case o.Agent != "" || o.Requested != nil || o.SwitchAccount:
		return invalid("connect: repairing a grant goes with no agent, no requested grant and no switch of accounts")
	}
	return nil
}

// unlessAllowed is what is sent to forbid; to allow, nothing is.
func unlessAllowed(forbidden bool) *bool {
	if !forbidden {
		return nil
	}
	return new(bool)
}

// Check returns an error for bounds that a connect session cannot have.
func (b GrantBounds) Check() error {
	_, err := b.body(false)
	return err
}

// body is nil for no bounds. A fixed end is allowed for grants that exist.
func (b GrantBounds) body(fixedEnd bool) (*boundsBody, error) {
	for _, d := range []time.Duration{b.MaxTTL, b.DefaultTTL} {
		if d < 0 || d%time.Second != 0 || d/time.Second > maxPolicyLength {
			return nil, invalid("grant policy: %s: want whole seconds, not negative", d)
		}
	}
	if b.MaxTTL > 0 && b.DefaultTTL > b.MaxTTL {
		return nil, invalid("grant policy: the default %s is above the maximum %s", b.DefaultTTL, b.MaxTTL)
	}
	if !b.ExpiresAt.IsZero() && !fixedEnd {
		return nil, invalid("grant policy: a connect session has no fixed end")
	}
	if b == (GrantBounds{}) {
		return nil, nil //nolint:nilnil // no bounds is an answer
	}
	out := &boundsBody{MaxTTL: int64(b.MaxTTL / time.Second), DefaultTTL: int64(b.DefaultTTL / time.Second)}
	if !b.ExpiresAt.IsZero() {
		out.ExpiresAt = b.ExpiresAt.UTC().Format(time.RFC3339)
	}
	return out, nil
}

func (r *RequestedGrant) check() error {
	if r == nil {
		return nil
	}
	return checkLabel(r.Label)
}

func checkLabel(label string) error {
	if label == "" || utf8.RuneCountInString(label) > maxLabel {
		return invalid("label %q: want 1 to %d characters", cut(label), maxLabel)
	}
	return nil
}

func (r *RequestedGrant) body() *requestedBody {
	if r == nil {
		return nil
	}
	b := &requestedBody{Label: r.Label}
	if len(r.Methods)+len(r.Endpoints) > 0 {
		b.Restrictions = &restrictionsBody{r.Methods, r.Endpoints}
	}
	return b
}

// checkScopeConstraint refuses what would not narrow: nil is no constraint, an
// empty one would leave nothing.
func checkScopeConstraint(scopes []string) error {
	if scopes == nil {
		return nil
	}
	if len(scopes) == 0 || len(scopes) > maxAtoms {
		return invalid("scope constraint of %d scopes: want 1 to %d", len(scopes), maxAtoms)
	}
	for _, s := range scopes {
		if !isScope(s) || s == "*" || len(s) > maxAtom {
			return invalid("scope constraint %q: want a scope of at most %d characters (RFC 6749 section 3.3), not *", cut(s), maxAtom)
		}
	}
	return nil
}

// isScope reports whether s is a scope-token (RFC 6749 section 3.3).
func isScope(s string) bool {
	return s != "" && isPrintable([]byte(s)) && !strings.ContainsAny(s, ` "\`)
}
