package alter

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// Constraints narrow what a client's calls may do, below what its key allows.
// They are signed with each call.
type Constraints struct {
	// Scopes that are left of the key's.
	Scopes []string
	// Rule that each request has to pass.
	Rule *Rule
}

// Rule is one that the vault checks for each request. A rule on a retrieve-mode
// call counts for any method: limits by method need proxy mode.
type Rule struct {
	// Type is json_match or content_match.
	Type string `json:"rule_type"`
	// Body of that type, as the vault documents it.
	Body json.RawMessage `json:"rule_body"`
}

const maxRuleHeader = 4096

// WithConstraints returns a client whose calls carry the constraints. They do
// not nest.
func (c *Client) WithConstraints(con Constraints) (*Client, error) {
	if c.constraints != "" || c.rule != "" {
		return nil, invalid("the client is constrained already")
	}
	if len(con.Scopes) == 0 && con.Rule == nil {
		return nil, invalid("constraints without scopes and rule")
	}
	for _, s := range con.Scopes {
		if s == "" || strings.ContainsAny(s, ", ") || !isPrintable([]byte(s)) {
			return nil, invalid("constraint scope %q: want printable ASCII without blanks and commas", cut(s))
		}
	}
	out := *c
	out.constraints = strings.Join(con.Scopes, ",")
	if con.Rule == nil {
		return &out, nil
	}
	if con.Rule.Type != "json_match" && con.Rule.Type != "content_match" {
		return nil, invalid("rule type %q: want json_match or content_match", cut(con.Rule.Type))
	}
	var body map[string]json.RawMessage
	if json.Unmarshal(con.Rule.Body, &body) != nil || body == nil {
		return nil, invalid("the rule's body is no JSON object")
	}
	text, err := encode(con.Rule)
	if err != nil {
		return nil, err
	}
	if out.rule = base64.RawURLEncoding.EncodeToString(text); len(out.rule) > maxRuleHeader {
		return nil, invalid("rule of %d bytes: at most %d", len(out.rule), maxRuleHeader)
	}
	return &out, nil
}
