package altertest

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
)

// Known headers of a signed call. Others that begin like these are refused.
var alterHeaders = map[string]bool{
	"X-Alter-Timestamp": true, "X-Alter-Nonce": true, "X-Alter-Content-Sha256": true,
	"X-Alter-Signature": true, "X-Alter-Signature-V2": true,
	"X-Alter-Caller": true, "X-Alter-Caller-Type": true, "X-Alter-Actor-Id": true, "X-Alter-Context": true,
	"X-Alter-Scope-Constraints": true, "X-Alter-Request-Rule": true,
}

// checkHeaders holds the rules of the headers besides the signature. The
// caller holds the lock.
func (v *Vault) checkHeaders(h http.Header, body []byte) *refusal {
	for name := range h {
		if strings.HasPrefix(name, "X-Alter-") && !alterHeaders[name] {
			return violation(400, "header_unknown", name)
		}
		if strings.HasPrefix(name, "X-Alter-") && !printable(h.Get(name)) {
			return violation(400, "header_invalid", name+" is empty or not printable ASCII")
		}
	}
	switch contentType := h["Content-Type"]; {
	case len(body) > 0 && (len(contentType) != 1 || contentType[0] != "application/json"):
		return violation(415, "content_type", "a body that is not application/json")
	case len(body) == 0 && len(contentType) > 0:
		return violation(415, "content_type", "a content type without a body")
	}
	for _, check := range []func(http.Header) *refusal{v.checkCaller, checkContext, checkConstraints, checkRule} {
		if bad := check(h); bad != nil {
			return bad
		}
	}
	return nil
}

func printable(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

func (v *Vault) checkCaller(h http.Header) *refusal {
	caller, kind := h.Get("X-Alter-Caller"), h.Get("X-Alter-Caller-Type")
	if (caller == "") != (kind == "") {
		return violation(400, "caller_invalid", "caller and caller type come together")
	}
	if len(caller) > 255 {
		return violation(400, "caller_invalid", "a caller above 255 characters")
	}
	if kind != "" && kind != "service" && kind != "agent" {
		return violation(400, "caller_invalid", "caller type "+kind)
	}
	actor := h.Get("X-Alter-Actor-Id")
	if actor != "" && actor != v.actors[kind+"/"+caller] {
		return violation(400, "actor_invalid", "an actor id that was not given to this caller")
	}
	if uuidText.MatchString(caller) && v.agent(caller) == nil {
		return refuse(404, "caller_agent_unresolved", "no managed agent has that id")
	}
	return nil
}

func checkContext(h http.Header) *refusal {
	text := h.Get("X-Alter-Context")
	if text == "" {
		return nil
	}
	var context map[string]string
	if err := json.Unmarshal([]byte(text), &context); err != nil || context == nil || !compactASCII([]byte(text)) {
		return violation(400, "context_invalid", "the context is not a compact JSON object of strings")
	}
	if len(text) > 4096 || len(context) > 20 {
		return violation(400, "context_invalid", "the context is too large")
	}
	for key, value := range context {
		if key == "" || len(key) > 64 || len(value) > 512 {
			return violation(400, "context_invalid", "a key or value of the context is too long")
		}
	}
	return nil
}

func checkConstraints(h http.Header) *refusal {
	text := h.Get("X-Alter-Scope-Constraints")
	if text == "" {
		return nil
	}
	for scope := range strings.SplitSeq(text, ",") {
		if scope == "" || strings.Contains(scope, " ") {
			return violation(400, "constraints_invalid", "a scope is empty or holds a blank")
		}
	}
	return nil
}

func checkRule(h http.Header) *refusal {
	text := h.Get("X-Alter-Request-Rule")
	if text == "" {
		return nil
	}
	decoded, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(text) > 4096 {
		return violation(400, "rule_invalid", "the rule is too long or no base64url without padding")
	}
	var rule map[string]json.RawMessage
	if err := json.Unmarshal(decoded, &rule); err != nil || len(rule) != 2 || rule["rule_body"] == nil {
		return violation(400, "rule_invalid", "the rule is not an object of rule_type and rule_body")
	}
	switch string(rule["rule_type"]) {
	case `"json_match"`, `"content_match"`:
		return nil
	}
	return violation(400, "rule_invalid", "rule type "+string(rule["rule_type"]))
}
