package mcphandler

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of an argument that the operator gives none for.
const (
	defaultMaxLength = 65536
	defaultMaxItems  = 1000
	maxInputName     = 64 // characters
)

// inputs is what a tool takes: the schema as clients see it, and what a call
// needs of it.
type inputs struct {
	doc      json.RawMessage
	schema   *jsonSchema
	kinds    map[string]argumentKind
	order    []string
	defaults map[string]json.RawMessage

	// What arguments returns for {}, which many calls have: it is always the same.
	none    map[string]templateValue
	noneErr error
}

// newInputs takes the arguments as the operator declared them, in either way.
func newInputs(cfg *DeclaredConfig) (*inputs, error) {
	switch {
	case len(cfg.InputSchema) == 0:
		return declaredInputs(cfg.Inputs)
	case len(cfg.Inputs) > 0:
		return nil, errors.New("inputs and input_schema exclude each other; set one of them")
	}
	in, err := givenInputs(cfg.InputSchema)
	if err != nil {
		return nil, fmt.Errorf("input_schema: %w", err)
	}
	return in, nil
}

// givenInputs reads from a schema what templates and defaults need: the
// properties at its top. Whatever else it says is only checked.
func givenInputs(doc json.RawMessage) (*inputs, error) {
	var shape struct {
		Type       any                        `json:"type"`
		Properties map[string]json.RawMessage `json:"properties"`
		Required   []string                   `json:"required"`
	}
	if _, err := decodeJSON(doc); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(doc, &shape); err != nil {
		return nil, fmt.Errorf("found %s; accepted is a JSON Schema of type object", shorten(string(doc), 100))
	}
	if shape.Type != "object" {
		found, err := encodeJSON(shape.Type)
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("found type %s; accepted is a JSON Schema of type object", found)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, doc); err != nil {
		return nil, err
	}
	in := &inputs{doc: compact.Bytes(), kinds: map[string]argumentKind{}, defaults: map[string]json.RawMessage{}}
	for name, property := range shape.Properties {
		in.addGiven(name, property, slices.Contains(shape.Required, name))
	}
	slices.Sort(in.order)
	return in, in.compile()
}

func (in *inputs) addGiven(name string, property json.RawMessage, required bool) {
	var shape struct {
		Type  any `json:"type"`
		Items struct {
			Type any `json:"type"`
		} `json:"items"`
		Default json.RawMessage `json:"default"`
	}
	// A property may be true or false, and items too: no type is known then.
	_ = json.Unmarshal(property, &shape)
	kind := argumentKind{optional: !required && shape.Default == nil}
	kind.typ, _ = shape.Type.(string)
	kind.items, _ = shape.Items.Type.(string)
	in.order = append(in.order, name)
	in.kinds[name] = kind
	if shape.Default != nil {
		in.defaults[name] = shape.Default
	}
}

func declaredInputs(declared []Input) (*inputs, error) {
	in := &inputs{kinds: map[string]argumentKind{}, defaults: map[string]json.RawMessage{}}
	var properties objectWriter
	required := []string{}
	for i := range declared {
		input := &declared[i]
		if err := checkInputName(input.Name); err != nil {
			return nil, fmt.Errorf("inputs[%d]: %w", i, err)
		}
		if _, ok := in.kinds[input.Name]; ok {
			return nil, fmt.Errorf("inputs[%d]: name %q is already taken", i, input.Name)
		}
		kind, property, err := input.schema()
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", input.Name, err)
		}
		properties.raw(input.Name, property)
		in.order = append(in.order, input.Name)
		in.kinds[input.Name] = kind
		if len(input.Default) > 0 {
			in.defaults[input.Name] = input.Default
		} else if !input.Optional {
			required = append(required, input.Name)
		}
	}
	var doc objectWriter
	doc.value("type", "object")
	doc.raw("properties", properties.bytes())
	if len(required) > 0 {
		doc.value("required", required)
	}
	doc.value("additionalProperties", false)
	in.doc = doc.bytes()
	return in, errors.Join(properties.err, doc.err, in.compile())
}

// compile compiles the schema, and checks the defaults against it.
func (in *inputs) compile() error {
	var err error
	if in.schema, err = compileSchema(in.doc); err != nil {
		return err
	}
	for _, name := range in.order {
		fallback, ok := in.defaults[name]
		if !ok {
			continue
		}
		property, err := in.schema.property(name)
		if err != nil {
			return fmt.Errorf("input %s: %w", name, err)
		}
		decoded, err := decodeJSON(fallback)
		if err != nil {
			return fmt.Errorf("input %s: default %s: %w", name, fallback, err)
		}
		if places := property.check(decoded); places != nil {
			return fmt.Errorf("input %s: default %s %s", name, fallback, strings.Join(places, "; "))
		}
	}
	in.none, in.noneErr = in.check(json.RawMessage("{}"))
	return nil
}

func checkInputName(name string) error {
	valid := name != "" && len(name) <= maxInputName
	for _, c := range []byte(name) {
		valid = valid && (c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z')
	}
	if !valid {
		return fmt.Errorf("name %q; accepted are 1 to %d letters, digits and underscores", name, maxInputName)
	}
	return nil
}

// arguments checks the arguments of a call and fills in the defaults. The
// error is an [*ArgumentsError]. The map is not the caller's to change.
func (in *inputs) arguments(raw json.RawMessage) (map[string]templateValue, error) {
	if len(raw) == 0 || string(raw) == "{}" {
		return in.none, in.noneErr
	}
	return in.check(raw)
}

func (in *inputs) check(raw json.RawMessage) (map[string]templateValue, error) {
	if !utf8.Valid(raw) {
		return nil, &ArgumentsError{Message: "not valid UTF-8"}
	}
	if !validJSON(raw) || !isObject(raw) {
		return nil, &ArgumentsError{Message: "must be a JSON object"}
	}
	values, decoded := make(map[string]templateValue), make(map[string]any)
	given := membersOf(raw)
	for given.next() {
		if err := addArgument(values, decoded, string(given.name), given.value); err != nil {
			return nil, err
		}
	}
	if given.repeated {
		return nil, &ArgumentsError{Message: shorten(string(given.name), 100) + ": stands there twice"}
	}
	for name, fallback := range in.defaults {
		if _, ok := values[name]; ok {
			continue
		}
		if err := addArgument(values, decoded, name, fallback); err != nil {
			return nil, err
		}
	}
	if places := in.schema.check(decoded); places != nil {
		return nil, &ArgumentsError{Message: in.explain(places)}
	}
	for name, value := range values {
		canonical, err := in.kinds[name].canonical(value)
		if err != nil {
			return nil, fmt.Errorf("encoding argument %s: %w", name, err)
		}
		values[name] = canonical
	}
	return values, nil
}

func addArgument(values map[string]templateValue, decoded map[string]any, name string, text json.RawMessage) error {
	v, err := decodeValue(text)
	if err != nil {
		return &ArgumentsError{Message: fmt.Sprintf("%s: %v", shorten(name, 100), err)}
	}
	decoded[name] = v
	values[name] = templateValue{v, text}
	return nil
}

// explain lists the failing places for the model, and what the tool takes.
func (in *inputs) explain(places []string) string {
	takes := "no arguments"
	if len(in.order) > 0 {
		takes = strings.Join(in.order, ", ")
	}
	return strings.Join(places, "; ") + ". The tool takes " + takes + "."
}
