package mcphandler

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// templateValue is what fills a placeholder.
type templateValue struct {
	decoded any             // numbers are json.Number
	raw     json.RawMessage // the same as JSON; nil for a string, which decoded holds
}

// templateValues is what the placeholders of one call stand for.
type templateValues struct {
	arguments map[string]templateValue
	caller    *Caller

	// lenient takes what is not known of the person as empty. A request must
	// not be built so: without a value that narrows it, it might do more than
	// was meant.
	lenient bool
}

// lookup returns the value of p. present is false for an optional argument
// that is absent. The error is for the caller of the tool.
func (v *templateValues) lookup(p *placeholder) (value templateValue, present bool, err error) {
	switch p.from {
	case fromArgument:
		value, present = v.arguments[p.name]
		return value, present, nil
	case fromClient:
		if p.name == "id" {
			return templateValue{decoded: v.caller.ClientID}, true, nil
		}
		return templateValue{decoded: v.caller.ClientName}, true, nil
	case fromClaims:
		value, present, err = claimValue(v.caller.Claims, p.name)
	default:
		value = templateValue{decoded: v.userField(p.name)}
		present = value.decoded != ""
	}
	if err != nil {
		return templateValue{}, false, p.refuse("cannot be read: %v", err)
	}
	if !present && !v.lenient {
		return templateValue{}, false, p.refuse("is needed by this tool, but your login does not carry it")
	}
	if !present {
		value = templateValue{decoded: ""}
	}
	return value, true, nil
}

func (v *templateValues) userField(name string) string {
	switch name {
	case "email":
		return v.caller.Email
	case "name":
		return v.caller.Name
	}
	return v.caller.UserID
}

// claimValue finds a claim by path. The names of claims may hold dots
// themselves, as in https://example.com/roles: the longest name that exists
// wins at every step.
func claimValue(object json.RawMessage, path string) (templateValue, bool, error) {
	if len(object) == 0 || object[0] != '{' {
		return templateValue{}, false, nil
	}
	var claims map[string]json.RawMessage
	if err := json.Unmarshal(object, &claims); err != nil {
		return templateValue{}, false, err
	}
	for end := len(path); end > 0; end = strings.LastIndexByte(path[:end], '.') {
		claim, ok := claims[path[:end]]
		if !ok {
			continue
		}
		if end == len(path) {
			decoded, err := decodeJSON(claim)
			if err != nil {
				return templateValue{}, false, err
			}
			value, err := newTemplateValue(decoded)
			return value, decoded != nil && decoded != "", err
		}
		if value, ok, err := claimValue(claim, path[end+1:]); ok || err != nil {
			return value, ok, err
		}
	}
	return templateValue{}, false, nil
}

// newTemplateValue takes a value of any type that marshals to JSON.
func newTemplateValue(v any) (templateValue, error) {
	if s, ok := v.(string); ok {
		return templateValue{decoded: s}, nil
	}
	raw, err := encodeJSON(v)
	if err != nil {
		return templateValue{}, err
	}
	decoded, err := decodeJSON(raw)
	return templateValue{decoded, raw}, err
}

// text returns v as text: a string as it is, anything else as compact JSON.
func (v templateValue) text() string {
	switch decoded := v.decoded.(type) {
	case nil:
		return ""
	case string:
		return decoded
	}
	return string(v.raw)
}

// json returns v as JSON.
func (v templateValue) json() (json.RawMessage, error) {
	if v.raw != nil {
		return v.raw, nil
	}
	return encodeJSON(v.decoded)
}

// refuse returns the error for a value that cannot stand where p is: of type
// [*ArgumentsError] when the model chose it, else of type [*ToolError].
func (p *placeholder) refuse(format string, args ...any) error {
	reason := fmt.Sprintf(format, args...)
	if p.from == fromArgument {
		return &ArgumentsError{Message: fmt.Sprintf("argument %s %s", p.name, reason)}
	}
	return &ToolError{Message: p.source + " " + reason}
}

// text fills t. present is false if t has placeholders and all of them are
// arguments that are absent; an absent one beside others is empty text.
func (t *template) text(values *templateValues) (text string, present bool, err error) {
	if literal, ok := t.literal(); ok {
		return literal, true, nil
	}
	var b strings.Builder
	for _, p := range t.parts {
		if p.ref == nil {
			b.WriteString(p.text)
			continue
		}
		value, ok, err := values.lookup(p.ref)
		if err != nil {
			return "", false, err
		}
		if ok && value.decoded != nil {
			present = true
			b.WriteString(value.text())
		}
	}
	return b.String(), present, nil
}

// encodeJSON is json.Marshal without the escapes that only HTML needs.
func encodeJSON(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
