package alter

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// SecretConnectOptions say which managed secret a person is asked for, and on
// what terms. Empty members are left to the vault.
type SecretConnectOptions struct {
	// Provider is the slug of the managed secret. Required.
	Provider string
	// UserToken names the person. Required.
	UserToken vaultclient.Secret
	// Agent, by id or name, that the use is delegated to.
	Agent string
	// Delegable asks the person whether the agent may pass the use on.
	Delegable bool
	// RequestedTTL of the grant in whole seconds; not with Policy.
	RequestedTTL time.Duration

	// ReturnURL is where the person goes at the end, AllowedOrigin whom the page
	// tells the result.
	ReturnURL     string
	AllowedOrigin string
	// NoUserRules keeps the person from adding rules of their own.
	NoUserRules bool
	// Label of the grant that is made: at most 255 characters.
	Label string
	// Policy bounds the grant's life.
	Policy GrantBounds
	// Direct leaves out the consent screens.
	Direct bool
	// RepairGrantID replaces the key behind a grant. It goes with neither Agent
	// nor Label.
	RepairGrantID string

	// Caller in place of the client's own; nil for that.
	Caller *Caller
}

// secretConnectBody has its members in the order that the vault's own clients
// send and sign.
type secretConnectBody struct {
	Provider      string         `json:"provider"`
	Agent         string         `json:"agent,omitempty"`
	UserToken     string         `json:"user_token"`
	RequestedTTL  int64          `json:"requested_ttl_seconds,omitempty"`
	AllowedOrigin string         `json:"allowed_origin,omitempty"`
	ReturnURL     string         `json:"return_url,omitempty"`
	UserRules     *bool          `json:"allow_user_policy_rules,omitempty"`
	Delegable     bool           `json:"delegable,omitempty"`
	Requested     *requestedBody `json:"requested_grant,omitempty"`
	Policy        *boundsBody    `json:"grant_policy,omitempty"`
	Direct        bool           `json:"direct,omitempty"`
	RepairGrantID string         `json:"repair_grant_id,omitempty"`
}

func (o *SecretConnectOptions) body() (*secretConnectBody, error) {
	switch {
	case strings.TrimSpace(o.Provider) == "":
		return nil, invalid("secret: the provider is empty")
	case o.UserToken.IsZero():
		return nil, invalid("secret: the user token is empty")
	case o.RequestedTTL != 0 && o.Policy != (GrantBounds{}):
		return nil, invalid("secret: either a requested life or a policy")
	case o.RepairGrantID != "" && !isUUID(o.RepairGrantID):
		return nil, invalid("secret: grant to repair %q: want a UUID in lower case", cut(o.RepairGrantID))
	case o.RepairGrantID != "" && (o.Agent != "" || o.Label != ""):
		return nil, invalid("secret: repairing a grant goes with no agent and no label")
	case o.RequestedTTL < 0 || o.RequestedTTL%time.Second != 0 || o.RequestedTTL/time.Second > maxPolicyLength:
		return nil, invalid("secret: delegation of %s: want whole seconds, not negative", o.RequestedTTL)
	}
	policy, err := o.Policy.body(false)
	if err != nil {
		return nil, err
	}
	b := &secretConnectBody{
		Provider: o.Provider, Agent: o.Agent, UserToken: o.UserToken.Reveal(),
		RequestedTTL: int64(o.RequestedTTL / time.Second), AllowedOrigin: o.AllowedOrigin, ReturnURL: o.ReturnURL,
		UserRules: unlessAllowed(o.NoUserRules), Delegable: o.Delegable, Policy: policy,
		Direct: o.Direct, RepairGrantID: o.RepairGrantID,
	}
	if o.Label != "" {
		b.Requested = &requestedBody{Label: o.Label}
		err = checkLabel(o.Label)
	}
	return b, err
}

// SecretConnectSession is a page where a person enters a key, or agrees to the
// use of one.
type SecretConnectSession struct {
	ConnectSession
	// Path is fast_path for a key that is there, key_entry for a new one,
	// repair for another; empty when the vault does not say.
	Path string
	// ExistingGrantID of the person; may be empty.
	ExistingGrantID    string
	DelegableRequested bool
	Slug, TemplateSlug string
	AgentID            string // may be empty
}

// CreateSecretConnectSession asks a person for a managed secret, or for its use:
// POST /sdk/managed-secrets/connect/session, key scopes connect:initiate and
// secrets:write. The result is asked for like that of any connect session. It is
// not sent again when its answer was lost. Errors: those of
// [Client.CreateConnectSession]; [ErrUnsupported] when the vault is too old to
// know all options, which it would leave out without a word.
func (c *Client) CreateSecretConnectSession(ctx context.Context, o SecretConnectOptions) (*SecretConnectSession, error) {
	body, err := o.body()
	if err != nil {
		return nil, err
	}
	k := call{
		method: http.MethodPost, path: "/sdk/managed-secrets/connect/session", body: body, caller: o.Caller,
		// An old vault shows itself by what it complains of.
		want: func(status int) bool {
			return status >= 200 && status < 300 || status == http.StatusUnprocessableEntity
		},
	}
	in, a, err := c.object(ctx, k)
	if err != nil {
		return nil, err
	}
	if a.status == http.StatusUnprocessableEntity {
		return nil, refusalOfOld(k.op(), a)
	}
	s := in.secretConnectSession()
	if err := in.err(&k, a); err != nil {
		return nil, err
	}
	if err := s.checkEcho(&k, a, &o, in); err != nil {
		return nil, err
	}
	return s, nil
}

func (o *object) secretConnectSession() *SecretConnectSession {
	return &SecretConnectSession{
		ConnectSession:     *o.connectSession(),
		Path:               o.secretPath(),
		ExistingGrantID:    o.maybeText("existing_grant_id"),
		DelegableRequested: o.maybeFlag("delegable_requested"),
		Slug:               o.maybeText("secret_slug"), TemplateSlug: o.maybeText("template_slug"),
		AgentID: o.maybeText("agent_id"),
	}
}

func (o *object) secretPath() string {
	if !o.has("path") {
		return ""
	}
	return o.word("path", "", "fast_path", "key_entry", "repair")
}

// checkEcho compares what the vault says it was asked for with what it was.
func (s *SecretConnectSession) checkEcho(k *call, a *answer, o *SecretConnectOptions, in *object) error {
	old := &Error{Kind: ErrUnsupported, Op: k.op(), Status: a.status}
	_, current := in.members["path"]
	switch {
	case o.Delegable && !s.DelegableRequested:
		old.Message = "the vault does not know delegable"
		return old
	case !current:
		old.Message = "the vault does not know sessions by provider"
		return old
	case s.DelegableRequested && !o.Delegable:
		return k.malformed(a, "delegable_requested was not asked for")
	case s.Slug != o.Provider:
		return k.malformed(a, "secret_slug is that of another secret")
	}
	return nil
}

// refusalOfOld tells a vault that wants, or does not know, a member of the body
// from one that refuses a value.
func refusalOfOld(op string, a *answer) error {
	e := refusal(op, a.status, a.header, a.body)
	var wire struct {
		Detail []struct {
			Type string            `json:"type"`
			Loc  []json.RawMessage `json:"loc"`
		} `json:"detail"`
	}
	old := e.Code == "delegated_agent_id_required"
	if json.Unmarshal(a.body, &wire) == nil {
		for _, d := range wire.Detail {
			if len(d.Loc) != 2 || string(d.Loc[0]) != `"body"` {
				continue
			}
			wanted := slices.Contains([]string{`"template_slug"`, `"delegated_agent_id"`}, string(d.Loc[1]))
			old = old || d.Type == "extra_forbidden" || d.Type == "missing" && wanted
		}
	}
	if old {
		e.Kind = ErrUnsupported
	}
	return e
}
