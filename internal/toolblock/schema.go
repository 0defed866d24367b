package toolblock

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// schema is as much of a JSON Schema (2020-12, or what OpenAPI 3.0 and Swagger 2
// have for it) as an `input` can say.
type schema struct {
	Description string
	Format      string
	Pattern     string
	Enum        []json.RawMessage
	Minimum     *float64
	Maximum     *float64
	MinLength   *int
	MaxLength   *int
	MinItems    *int
	MaxItems    *int
	ReadOnly    bool
	Required    []string
	Properties  json.RawMessage

	raw   json.RawMessage
	kind  string // an input's type; "" where there is none
	types string // what it is then
	items *schema
}

// maxRefs bounds how often a reference leads to another.
const maxRefs = 16

// readSchema reads a schema. What it refers to is looked for in doc. One that
// cannot be read is of any type.
func readSchema(raw, doc json.RawMessage) schema {
	for range maxRefs {
		var ref struct {
			Ref   string `json:"$ref"`
			AllOf []json.RawMessage
			AnyOf []json.RawMessage
			OneOf []json.RawMessage
		}
		if json.Unmarshal(raw, &ref) != nil {
			break
		}
		only := onlyBranch(slices.Concat(ref.AllOf, ref.AnyOf, ref.OneOf))
		if ref.Ref != "" {
			only = pointed(doc, ref.Ref)
		}
		if only == nil {
			break
		}
		raw = only
	}
	var s schema
	_ = json.Unmarshal(raw, &s) // a member of another type than ours is none
	s.raw = raw
	s.readType(doc)
	return s
}

// onlyBranch is the one alternative beside null, or nil.
func onlyBranch(branches []json.RawMessage) json.RawMessage {
	branches = slices.DeleteFunc(branches, func(b json.RawMessage) bool {
		var s struct{ Type any }
		return json.Unmarshal(b, &s) == nil && s.Type == "null"
	})
	if len(branches) == 1 {
		return branches[0]
	}
	return nil
}

// pointed follows a reference within the document (RFC 6901).
func pointed(doc json.RawMessage, ref string) json.RawMessage {
	path, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		return nil
	}
	for part := range strings.SplitSeq(path, "/") {
		var members map[string]json.RawMessage
		if json.Unmarshal(doc, &members) != nil {
			return nil
		}
		doc = members[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)]
	}
	return doc
}

func (s *schema) readType(doc json.RawMessage) {
	var t struct {
		Type  json.RawMessage
		Items json.RawMessage
	}
	_ = json.Unmarshal(s.raw, &t) // what is none has no type
	var types []string
	var one string
	if json.Unmarshal(t.Type, &one) == nil && one != "" {
		types = []string{one}
	} else {
		_ = json.Unmarshal(t.Type, &types)
	}
	types = slices.DeleteFunc(types, func(name string) bool { return name == "null" })
	if len(types) == 0 && allTexts(s.Enum) {
		types = []string{"string"}
	}
	if len(types) == 0 && s.Properties != nil {
		types = []string{"object"}
	}
	if len(types) != 1 {
		return
	}
	switch s.types = types[0]; s.types {
	case "string", "integer", "number", "boolean":
		s.kind = s.types
	case "array":
		items := readSchema(t.Items, doc)
		s.items = &items
		if items.kind != "" && !strings.HasSuffix(items.kind, "[]") {
			s.kind = items.kind + "[]"
		}
	}
}

func allTexts(values []json.RawMessage) bool {
	return len(values) > 0 && !slices.ContainsFunc(values, func(v json.RawMessage) bool {
		return string(v) != "null" && !bytes.HasPrefix(v, []byte(`"`))
	})
}

// what names a schema that is of no input's type.
func (s *schema) what() string {
	switch s.types {
	case "object":
		return "an object"
	case "array":
		return "a list of objects"
	}
	return "of more than one type"
}

// member is a member of a JSON object, in its order.
type member struct {
	name  string
	value json.RawMessage
}

// membersOf returns the members of an object as they are written.
func membersOf(object json.RawMessage) []member {
	d := json.NewDecoder(bytes.NewReader(object))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	var out []member
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil
		}
		m := member{name: name.(string)}
		if d.Decode(&m.value) != nil {
			return nil
		}
		out = append(out, m)
	}
	return out
}
