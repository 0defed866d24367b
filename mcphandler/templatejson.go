package mcphandler

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// jsonTemplate is a JSON document whose strings are templates. It keeps the
// order of members, and the JSON type of a value that is all of a string.
type jsonTemplate struct {
	literal json.RawMessage // number, boolean, null, or a string without placeholders
	text    *template       // string with placeholders
	items   []*jsonTemplate // array
	members []jsonMember    // object
	kind    byte            // '[', '{', or 0
}

type jsonMember struct {
	name  json.RawMessage // encoded
	value *jsonTemplate
}

// compileJSON takes a document apart. Names of members hold no placeholders.
func (v *vocabulary) compileJSON(doc json.RawMessage) (*jsonTemplate, error) {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	t, err := v.compileJSONValue(dec)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("more than one JSON value, found a second at byte %d", dec.InputOffset())
	}
	return t, nil
}

func (v *vocabulary) compileJSONValue(dec *json.Decoder) (*jsonTemplate, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, fmt.Errorf("invalid JSON: %w", err)
	}
	switch token := token.(type) {
	case json.Delim:
		if token == '{' {
			return v.compileJSONObject(dec)
		}
		return v.compileJSONArray(dec)
	case string:
		return v.compileJSONString(token)
	default:
		literal, err := encodeJSON(token)
		return &jsonTemplate{literal: literal}, err
	}
}

func (v *vocabulary) compileJSONString(text string) (*jsonTemplate, error) {
	t, err := v.compile(text)
	if err != nil {
		return nil, err
	}
	if text, ok := t.literal(); ok {
		literal, err := encodeJSON(text)
		return &jsonTemplate{literal: literal}, err
	}
	return &jsonTemplate{text: t}, nil
}

func (v *vocabulary) compileJSONArray(dec *json.Decoder) (*jsonTemplate, error) {
	t := &jsonTemplate{kind: '['}
	for dec.More() {
		item, err := v.compileJSONValue(dec)
		if err != nil {
			return nil, err
		}
		t.items = append(t.items, item)
	}
	return t, closeJSON(dec)
}

func (v *vocabulary) compileJSONObject(dec *json.Decoder) (*jsonTemplate, error) {
	t := &jsonTemplate{kind: '{'}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("invalid JSON: %w", err)
		}
		name, ok := token.(string)
		if !ok {
			return nil, fmt.Errorf("invalid JSON: name of a member at byte %d is no string", dec.InputOffset())
		}
		if _, word, _ := nextPlaceholder(name); word != "" {
			return nil, fmt.Errorf("name of a member %q: placeholders are accepted in values only", name)
		}
		encoded, err := encodeJSON(name)
		if err != nil {
			return nil, err
		}
		value, err := v.compileJSONValue(dec)
		if err != nil {
			return nil, err
		}
		t.members = append(t.members, jsonMember{encoded, value})
	}
	return t, closeJSON(dec)
}

func closeJSON(dec *json.Decoder) error {
	if _, err := dec.Token(); err != nil {
		return fmt.Errorf("invalid JSON: %w", err)
	}
	return nil
}

// build appends t with its placeholders filled. present is false, and nothing
// is appended, for a string that is exactly an argument that is absent.
func (t *jsonTemplate) build(b *bytes.Buffer, values *templateValues) (present bool, err error) {
	switch {
	case t.kind == '{':
		return true, t.buildObject(b, values)
	case t.kind == '[':
		return true, t.buildArray(b, values)
	case t.text == nil:
		b.Write(t.literal)
		return true, nil
	case t.text.exact() != nil:
		return buildExact(b, t.text.exact(), values)
	}
	text, _, err := t.text.text(values)
	if err != nil {
		return false, err
	}
	encoded, err := encodeJSON(text)
	b.Write(encoded)
	return true, err
}

func buildExact(b *bytes.Buffer, p *placeholder, values *templateValues) (bool, error) {
	value, present, err := values.lookup(p)
	if err != nil || !present {
		return false, err
	}
	raw, err := value.json()
	b.Write(raw)
	return true, err
}

func (t *jsonTemplate) buildArray(b *bytes.Buffer, values *templateValues) error {
	b.WriteByte('[')
	first := b.Len()
	for _, item := range t.items {
		before := b.Len()
		if before > first {
			b.WriteByte(',')
		}
		present, err := item.build(b, values)
		if err != nil {
			return err
		}
		if !present {
			b.Truncate(before)
		}
	}
	b.WriteByte(']')
	return nil
}

func (t *jsonTemplate) buildObject(b *bytes.Buffer, values *templateValues) error {
	b.WriteByte('{')
	first := b.Len()
	for _, member := range t.members {
		before := b.Len()
		if before > first {
			b.WriteByte(',')
		}
		b.Write(member.name)
		b.WriteByte(':')
		present, err := member.value.build(b, values)
		if err != nil {
			return err
		}
		if !present {
			b.Truncate(before)
		}
	}
	b.WriteByte('}')
	return nil
}
