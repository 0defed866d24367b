package toolblock

import (
	"encoding/json"
	"slices"
)

// maxNesting bounds objects within objects.
const maxNesting = 8

// addBody adds the arguments of the request's body.
func (t *tool) addBody() error {
	if len(t.op.Body) == 0 || string(t.op.Body) == "null" {
		return nil
	}
	var body struct {
		Content map[string]struct{ Schema json.RawMessage }
	}
	if json.Unmarshal(t.op.Body, &body) != nil || body.Content == nil {
		return t.addJSON(t.op.Body, t.op.Body)
	}
	if c, ok := body.Content["application/json"]; ok {
		return t.addJSON(c.Schema, t.op.Body)
	}
	if c, ok := body.Content["application/x-www-form-urlencoded"]; ok {
		return t.addMembers(inForm, nil, readSchema(c.Schema, t.op.Body), t.op.Body, true)
	}
	return t.leaveOut(&argument{wire: []string{"body"}}, "neither JSON nor a form")
}

// addJSON adds the arguments of a JSON body. doc is the document of its schema.
func (t *tool) addJSON(raw, doc json.RawMessage) error {
	if doc == nil {
		doc = raw
	}
	if t.method == "get" || t.method == "head" {
		return t.leaveOut(&argument{wire: []string{"body"}}, "a body of a "+t.method+" request")
	}
	t.keepDefs(doc)
	s := readSchema(raw, doc)
	if s.types == "object" && s.Properties != nil {
		return t.addMembers(inBody, nil, s, doc, true)
	}
	return t.addArgument(&argument{place: isBody, wire: []string{"body"}, required: true}, s.raw, doc)
}

// addMembers adds the members of an object. Those of an object within it that has
// to be there become arguments of their own, where lines say them.
func (t *tool) addMembers(place string, around []string, s schema, doc json.RawMessage, required bool) error {
	for _, m := range membersOf(s.Properties) {
		inner := readSchema(m.value, doc)
		if inner.ReadOnly {
			continue
		}
		a := &argument{place: place, wire: append(slices.Clone(around), m.name), required: required && slices.Contains(s.Required, m.name)}
		if place == inBody && a.required && inner.types == "object" && inner.Properties != nil && t.options.SchemaFile == "" && isMember(m.name) && len(a.wire) < maxNesting {
			if err := t.addMembers(place, a.wire, inner, doc, true); err != nil {
				return err
			}
			continue
		}
		a.description = s.describe(m.value)
		if err := t.addArgument(a, m.value, doc); err != nil {
			return err
		}
	}
	return nil
}

// describe is what a member says of itself beside a reference.
func (s *schema) describe(member json.RawMessage) string {
	var own struct{ Description string }
	_ = json.Unmarshal(member, &own) // what is none says nothing
	return own.Description
}

// keepDefs keeps what the schemas of arguments may refer to.
func (t *tool) keepDefs(doc json.RawMessage) {
	t.defs = make(map[string]json.RawMessage)
	for _, m := range membersOf(doc) {
		if m.name == "$defs" || m.name == "definitions" || m.name == "components" {
			t.defs[m.name] = m.value
		}
	}
}
