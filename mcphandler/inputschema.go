package mcphandler

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// schema returns the JSON Schema of one input. What it says of a value stands
// at the items of a list.
func (in *Input) schema() (argumentKind, json.RawMessage, error) {
	typ, list := strings.CutSuffix(in.Type, "[]")
	if !slices.Contains([]string{"string", "integer", "number", "boolean"}, typ) {
		return argumentKind{}, nil, fmt.Errorf("type %q; accepted are string, integer, number, boolean, and each of them followed by [] for a list", in.Type)
	}
	if err := in.checkLimits(typ, list); err != nil {
		return argumentKind{}, nil, err
	}
	kind := argumentKind{typ: typ, optional: in.Optional && len(in.Default) == 0}

	var doc objectWriter
	if list {
		kind.typ, kind.items = "array", typ
		doc.value("type", "array")
	} else {
		doc.value("type", typ)
	}
	if in.Description != "" {
		doc.value("description", in.Description)
	}
	if list {
		var items objectWriter
		items.value("type", typ)
		in.constrain(&items, typ)
		doc.raw("items", items.bytes())
		doc.err = errors.Join(doc.err, items.err)
		doc.number("minItems", in.MinItems)
		doc.value("maxItems", orDefault(in.MaxItems, defaultMaxItems))
	} else {
		in.constrain(&doc, typ)
	}
	if len(in.Default) > 0 {
		if _, err := decodeJSON(in.Default); err != nil {
			return argumentKind{}, nil, fmt.Errorf("default %s: %w", in.Default, err)
		}
		doc.raw("default", in.Default)
	}
	return kind, doc.bytes(), doc.err
}

// constrain writes what restricts one value of type typ.
func (in *Input) constrain(doc *objectWriter, typ string) {
	if len(in.Enum) > 0 {
		doc.value("enum", in.Enum)
	}
	if in.Min != nil {
		doc.value("minimum", *in.Min)
	}
	if in.Max != nil {
		doc.value("maximum", *in.Max)
	}
	if typ != "string" {
		return
	}
	doc.number("minLength", in.MinLength)
	if len(in.Enum) == 0 || in.MaxLength != nil {
		doc.value("maxLength", orDefault(in.MaxLength, defaultMaxLength))
	}
	if in.Pattern != "" {
		doc.value("pattern", in.Pattern)
	}
	if in.Format != "" {
		doc.value("format", in.Format)
	}
}

// checkLimits refuses what makes no sense for the type, instead of leaving it
// without effect.
func (in *Input) checkLimits(typ string, list bool) error {
	isNumber := typ == "integer" || typ == "number"
	for _, limit := range []struct {
		name     string
		set      bool
		accepted bool
		types    string
	}{
		{"min", in.Min != nil, isNumber, "integer and number"},
		{"max", in.Max != nil, isNumber, "integer and number"},
		{"min_length", in.MinLength != nil, typ == "string", "string"},
		{"max_length", in.MaxLength != nil, typ == "string", "string"},
		{"pattern", in.Pattern != "", typ == "string", "string"},
		{"format", in.Format != "", typ == "string", "string"},
		{"min_items", in.MinItems != nil, list, "lists, such as string[]"},
		{"max_items", in.MaxItems != nil, list, "lists, such as string[]"},
	} {
		if limit.set && !limit.accepted {
			return fmt.Errorf("%s is set for type %s; accepted for %s", limit.name, in.Type, limit.types)
		}
	}
	if in.Min != nil && in.Max != nil && *in.Min > *in.Max {
		return fmt.Errorf("min %v is greater than max %v", *in.Min, *in.Max)
	}
	if err := checkRange("length", in.MinLength, in.MaxLength, defaultMaxLength); err != nil {
		return err
	}
	if err := checkRange("items", in.MinItems, in.MaxItems, defaultMaxItems); err != nil {
		return err
	}
	if in.Format != "" && !slices.Contains(assertedFormats(), in.Format) {
		return fmt.Errorf("format %q; accepted are %s", in.Format, strings.Join(assertedFormats(), ", "))
	}
	if in.Pattern != "" {
		if err := checkPattern(in.Pattern); err != nil {
			return err
		}
	}
	return checkEnum(in.Enum, typ)
}

// assertedFormats are those that values are checked for.
func assertedFormats() []string {
	return []string{
		"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "iri", "iri-reference",
		"json-pointer", "regex", "relative-json-pointer", "time", "uri", "uri-reference", "uri-template", "uuid",
	}
}

func checkRange(what string, least, most *int, defaultMost int) error {
	top := orDefault(most, defaultMost)
	if top < 0 {
		return fmt.Errorf("max_%s %d; accepted is 0 or more", what, top)
	}
	if least != nil && (*least < 0 || *least > top) {
		return fmt.Errorf("min_%s %d; accepted is 0 to max_%s, which is %d", what, *least, what, top)
	}
	return nil
}

func checkEnum(values []json.RawMessage, typ string) error {
	schema, err := compileSchema(json.RawMessage(`{"type":"` + typ + `"}`))
	if err != nil {
		return err
	}
	var seen []string
	for _, value := range values {
		decoded, err := decodeJSON(value)
		if err != nil {
			return fmt.Errorf("enum value %s: %w", value, err)
		}
		if places := schema.check(decoded); places != nil {
			return fmt.Errorf("enum value %s %s", value, strings.Join(places, "; "))
		}
		if slices.Contains(seen, string(value)) {
			return fmt.Errorf("enum value %s is listed twice", value)
		}
		seen = append(seen, string(value))
	}
	return nil
}

// checkPattern compiles a pattern as the schema library will: by Go's engine,
// whose time is linear in the text.
func checkPattern(pattern string) error {
	if _, err := regexp.Compile(pattern); err != nil {
		return fmt.Errorf("pattern %q does not compile; accepted are regular expressions without look-around and back references", pattern)
	}
	return nil
}

func orDefault(value *int, fallback int) int {
	if value == nil {
		return fallback
	}
	return *value
}

// objectWriter writes the members of a JSON object in order. The first error
// stays.
type objectWriter struct {
	b   bytes.Buffer
	err error
}

func (w *objectWriter) value(name string, v any) {
	raw, err := encodeJSON(v)
	if err != nil {
		w.err = errors.Join(w.err, fmt.Errorf("%s: %w", name, err))
		return
	}
	w.raw(name, raw)
}

func (w *objectWriter) number(name string, v *int) {
	if v != nil {
		w.value(name, *v)
	}
}

func (w *objectWriter) raw(name string, raw json.RawMessage) {
	key, err := encodeJSON(name)
	if err != nil {
		w.err = errors.Join(w.err, err)
		return
	}
	if w.b.Len() > 0 {
		w.b.WriteByte(',')
	}
	w.b.Write(key)
	w.b.WriteByte(':')
	if err := json.Compact(&w.b, raw); err != nil {
		w.err = errors.Join(w.err, fmt.Errorf("%s %s: invalid JSON: %w", name, raw, err))
	}
}

func (w *objectWriter) bytes() json.RawMessage {
	return slices.Concat([]byte("{"), w.b.Bytes(), []byte("}"))
}
