package mcphandler

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// GrantConfig says which of a person's grants a tool's request carries, and how
// the vault is to use it. All of it needs a provider; what the vault of the
// endpoint cannot do is refused.
type GrantConfig struct {
	// The label of the grant, to tell several of a person at the
	// provider apart. At most 64 bytes.
	Label string `json:"label,omitempty"`

	// The account at the provider whose grant is meant, such as an e-mail
	// address. It may be a placeholder, such as `{arg.account}`, so that the
	// model chooses; where that argument is absent, none is named.
	Account string `json:"account,omitempty"`

	// The managed agent, by name or UUID, in whose name the call is made and to
	// whom people delegate.
	Agent string `json:"agent,omitempty"`

	// Who makes the request: `retrieve` for this server, `proxy` for the vault,
	// `auto` for this server as long as the grant allows it. Default: what the
	// vault says.
	Mode string `json:"mode,omitempty"`

	// Why the call is made, for the vault's record. It may hold placeholders.
	Reason string `json:"reason,omitempty"`

	// Scopes of the vault's API key to which the call is narrowed.
	Constraints []string `json:"constraints,omitempty"`

	// A rule of the vault that each request of the tool has to pass.
	VaultRule *VaultRule `json:"vault_rule,omitempty"`
}

// VaultRule is a rule that the vault checks, in its own words.
type VaultRule struct {
	// `json_match` or `content_match`.
	Type string `json:"type,omitempty"`
	// The rule, a JSON object as the vault documents it for the type.
	Body json.RawMessage `json:"body,omitempty"`
}

// maxLabel bounds the label of a grant, in bytes.
const maxLabel = 64

// Modes of a [GrantConfig].
const (
	GrantModeAuto     = "auto"
	GrantModeRetrieve = "retrieve"
	GrantModeProxy    = "proxy"
)

func (g *GrantConfig) isZero() bool {
	return g.Label == "" && g.Account == "" && g.Agent == "" && g.Mode == "" && g.Reason == "" && len(g.Constraints) == 0 && g.VaultRule == nil
}

// check refuses settings without effect.
func (g *GrantConfig) check(provider string) error {
	switch {
	case g.isZero():
		return nil
	case provider == "":
		return errors.New("label, account, agent, mode, reason, constraints and vault_rule: accepted only with provider")
	case g.Mode != "" && !slices.Contains([]string{GrantModeAuto, GrantModeRetrieve, GrantModeProxy}, g.Mode):
		return fmt.Errorf("mode %q: accepted are auto, retrieve and proxy", g.Mode)
	}
	if len(g.Label) > maxLabel {
		return fmt.Errorf("label: accepted are at most %d bytes", maxLabel)
	}
	for _, s := range g.Constraints {
		if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == ',' }) {
			return fmt.Errorf("constraints %q: accepted are scopes without blanks and commas", s)
		}
	}
	return nil
}

// grantTemplate is the part of a [GrantConfig] that a call fills in.
type grantTemplate struct {
	account, reason *template // nil for none
}

func (v *vocabulary) compileGrant(g *GrantConfig) (*grantTemplate, error) {
	t := new(grantTemplate)
	var err error
	if g.Account != "" {
		if t.account, err = v.compile(g.Account); err != nil {
			return nil, fmt.Errorf("account: %w", err)
		}
	}
	if g.Reason != "" {
		if t.reason, err = v.compile(g.Reason); err != nil {
			return nil, fmt.Errorf("reason: %w", err)
		}
	}
	return t, nil
}

// fill completes what a call needs.
func (t *grantTemplate) fill(need *Need, values *templateValues) error {
	var err error
	if t.account != nil {
		if need.Account, _, err = t.account.text(values); err != nil {
			return err
		}
	}
	if t.reason != nil {
		need.Reason, _, err = t.reason.text(values)
	}
	return err
}
