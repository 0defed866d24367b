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
	var err error
	if out.rule, err = con.Rule.header(); err != nil {
		return nil, err
	}
	return &out, nil
}

// Check returns an error for a rule that cannot be sent: one of another type,
// whose body is no JSON object, or that is larger than some 3 KB.
func (r *Rule) Check() error {
	_, err := r.header()
	return err
}

func (r *Rule) header() (string, error) {
	if r.Type != "json_match" && r.Type != "content_match" {
		return "", invalid("rule type %q: want json_match or content_match", cut(r.Type))
	}
	var body map[string]json.RawMessage
	if json.Unmarshal(r.Body, &body) != nil || body == nil {
		return "", invalid("the rule's body is no JSON object")
	}
	text, err := encode(r)
	if err != nil {
		return "", err
	}
	header := base64.RawURLEncoding.EncodeToString(text)
	if len(header) > maxRuleHeader {
		return "", invalid("rule of %d bytes: at most %d", len(header), maxRuleHeader)
	}
	return header, nil
}
