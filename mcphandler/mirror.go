package mcphandler

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
)

// paramPrefix begins the header fields that mirror arguments.
const paramPrefix = "Mcp-Param-"

// matchHeader checks that the field name, canonical, says the same as the body. A proxy in front
// may have decided by the field, so a second one, or another, is refused.
func matchHeader(header http.Header, name, want string) *failure {
	values := header[name]
	switch {
	case len(values) == 0:
		return headerMismatch("the " + name + " header is missing")
	case len(values) > 1 || values[0] != want:
		return headerMismatch("the " + name + " header is not the value in the body")
	}
	return nil
}

// matchEncoded is matchHeader for a field whose value may be in Base64.
func matchEncoded(header http.Header, name, want string) *failure {
	value, f := encodedHeader(header, name)
	if f != nil {
		return f
	}
	if value == nil {
		return headerMismatch("the " + name + " header is missing")
	}
	if *value != want {
		return headerMismatch("the " + name + " header is not the value in the body")
	}
	return nil
}

// encodedHeader returns the decoded value of a field, or nil when it is absent.
func encodedHeader(header http.Header, name string) (*string, *failure) {
	values := header[name]
	if len(values) == 0 {
		return nil, nil
	}
	value, ok := decodeHeader(values[0])
	if len(values) > 1 || !ok {
		return nil, headerMismatch("the " + name + " header is malformed")
	}
	return &value, nil
}

// decodeHeader undoes the encoding of a value that is not plain visible ASCII:
// =?base64?…?=, written exactly so.
func decodeHeader(value string) (string, bool) {
	for i := range len(value) {
		if c := value[i]; (c < ' ' && c != '\t') || c > '~' {
			return "", false
		}
	}
	encoded, ok := strings.CutPrefix(value, "=?base64?")
	if !ok {
		return value, true
	}
	encoded, ok = strings.CutSuffix(encoded, "?=")
	if !ok {
		return value, true
	}
	decoded, err := base64.StdEncoding.Strict().DecodeString(encoded)
	return string(decoded), err == nil
}

// headerParam is an argument that the client repeats in a header field.
type headerParam struct {
	header  string   // the whole field name, canonical
	path    []string // of members, from the arguments down
	integer bool
}

// matchParams checks each Mcp-Param-* field that the tool knows against the
// arguments. Others are none of our business.
func matchParams(header http.Header, params []headerParam, arguments json.RawMessage) *failure {
	for _, p := range params {
		got, f := encodedHeader(header, p.header)
		if f != nil {
			return f
		}
		want, ok := p.valueIn(arguments)
		switch {
		case !ok && got == nil:
		case !ok:
			return headerMismatch("the " + p.header + " header has no value in the body")
		case got == nil:
			return headerMismatch("the " + p.header + " header is missing")
		case *got != want && !(p.integer && sameNumber(*got, want)):
			return headerMismatch("the " + p.header + " header is not the value in the body")
		}
	}
	return nil
}

// valueIn returns the argument as a client writes it into a field, and whether
// there is one. Null counts as absent, and so does what no field can hold.
func (p *headerParam) valueIn(arguments json.RawMessage) (string, bool) {
	value := arguments
	for _, name := range p.path {
		if value = member(value, name); value == nil {
			return "", false
		}
	}
	switch {
	case isString(value):
		return decodeString(value), true
	case isObject(value), isArray(value), isNull(value):
		return "", false
	}
	return string(value), true
}

// sameNumber compares two decimal numbers exactly. Exponents, which could make a
// short text a long number, are left to the comparison of texts.
func sameNumber(a, b string) bool {
	x, okX := decimal(a)
	y, okY := decimal(b)
	return okX && okY && x.Cmp(y) == 0
}

func decimal(s string) (*big.Rat, bool) {
	const longest = 40
	if len(s) > longest || strings.Trim(s, "-.0123456789") != "" || !json.Valid([]byte(s)) {
		return nil, false
	}
	return new(big.Rat).SetString(s)
}

const annotation = "x-mcp-header"

// headerParams reads the x-mcp-header annotations of an input schema. The rules
// are those of MCP 2026-07-28, whose clients drop a tool that breaks them.
func headerParams(schema json.RawMessage) ([]headerParam, error) {
	if !bytes.Contains(schema, []byte(annotation)) {
		return nil, nil
	}
	var root map[string]any
	if err := json.Unmarshal(schema, &root); err != nil {
		return nil, fmt.Errorf("reading the input schema: %w", err)
	}
	params, err := paramsOf(root, nil)
	if err != nil {
		return nil, err
	}
	if countAnnotations(root) != len(params) {
		return nil, fmt.Errorf("%s stands where only properties of properties may carry it", annotation)
	}
	seen := make(map[string]bool)
	for _, p := range params {
		if seen[p.header] {
			return nil, fmt.Errorf("%s %q stands there twice", annotation, p.header[len(paramPrefix):])
		}
		seen[p.header] = true
	}
	slices.SortFunc(params, func(a, b headerParam) int { return strings.Compare(a.header, b.header) })
	return params, nil
}

// paramsOf collects the annotations that are reached by properties alone.
func paramsOf(schema map[string]any, path []string) ([]headerParam, error) {
	var params []headerParam
	if name, ok := schema[annotation]; ok {
		p, err := newHeaderParam(name, schema["type"], path)
		if err != nil {
			return nil, err
		}
		params = append(params, p)
	}
	properties, _ := schema["properties"].(map[string]any)
	for name, property := range properties {
		sub, ok := property.(map[string]any)
		if !ok {
			continue
		}
		more, err := paramsOf(sub, append(path[:len(path):len(path)], name))
		if err != nil {
			return nil, err
		}
		params = append(params, more...)
	}
	return params, nil
}

func newHeaderParam(name, kind any, path []string) (headerParam, error) {
	if len(path) == 0 {
		return headerParam{}, errors.New(annotation + " stands at the root of the schema")
	}
	text, ok := name.(string)
	if !ok || !isToken(text) {
		return headerParam{}, fmt.Errorf("%s %v of %q is not the name of a header field", annotation, name, path)
	}
	switch kind {
	case "string", "integer", "boolean":
	default:
		return headerParam{}, fmt.Errorf("%s %q is of type %v, not string, integer or boolean", annotation, text, kind)
	}
	return headerParam{header: http.CanonicalHeaderKey(paramPrefix + text), path: path, integer: kind == "integer"}, nil
}

// countAnnotations counts the annotations anywhere in a schema. Names of
// properties and values are no keywords.
func countAnnotations(schema any) int {
	count := 0
	switch s := schema.(type) {
	case []any:
		for _, sub := range s {
			count += countAnnotations(sub)
		}
	case map[string]any:
		for keyword, value := range s {
			switch keyword {
			case annotation:
				count++
			case "const", "enum", "default", "examples":
			case "properties", "patternProperties", "$defs", "definitions", "dependentSchemas":
				named, _ := value.(map[string]any)
				for _, sub := range named {
					count += countAnnotations(sub)
				}
			default:
				count += countAnnotations(value)
			}
		}
	}
	return count
}
