package toolblock

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Limits of an `input`, as mcphandler has them.
const (
	maxLength  = 65536
	maxItems   = 1000
	maxPattern = 200 // characters
)

// lines are lines of a Caddyfile, indented.
type lines struct {
	text  strings.Builder
	depth int
}

func (l *lines) add(parts ...string) {
	l.text.WriteString(strings.Repeat("\t", l.depth) + strings.Join(parts, " ") + "\n")
}

// block adds a line with a block, or without one if inside adds nothing.
func (l *lines) block(head string, inside func(*lines)) {
	in := &lines{depth: l.depth + 1}
	inside(in)
	if in.text.Len() == 0 {
		l.add(head)
		return
	}
	l.add(head, "{")
	l.text.WriteString(in.text.String())
	l.add("}")
}

// write makes the block of what was collected.
func (t *tool) write() (*Block, error) {
	out := new(Block)
	var l lines
	l.block("tool "+t.name(), func(l *lines) {
		for _, what := range t.left {
			l.add("# left out:", what)
		}
		l.add("description", quoted(t.describe()))
		if t.options.Provider != "" {
			l.add("provider", word(plain(t.options.Provider)))
		}
		if t.options.SchemaFile != "" {
			l.add("input_schema", quoted(t.options.SchemaFile))
		} else {
			for _, a := range t.arguments {
				a.write(l)
			}
		}
		l.block(t.method+" "+t.url, t.writeRequest)
		for _, hint := range hints(t.method) {
			l.add(hint)
		}
	})
	out.Text = l.text.String()
	if t.options.SchemaFile == "" {
		return out, nil
	}
	if strings.ContainsAny(t.options.SchemaFile, "{}`\r\n") {
		return nil, fmt.Errorf("schema file %q: its name has braces, backticks or breaks", t.options.SchemaFile)
	}
	var err error
	out.Schema, err = t.schema()
	return out, err
}

// name is the tool's: of the characters that clients accept everywhere.
func (t *tool) name() string {
	const longest = 64
	name := t.options.Name
	if name == "" {
		name = t.op.ID
	}
	if name = strings.ToLower(words(name, "_")); name == "" {
		name = "operation"
	}
	return strings.TrimRight(name[:min(len(name), longest)], "_")
}

func (t *tool) describe() string {
	if text := plain(t.op.Summary); text != "" {
		return text
	}
	return plain(strings.ToUpper(t.method) + " " + t.op.Path)
}

// hints are what a method says of a request (RFC 9110 section 9.2).
func hints(method string) []string {
	switch method {
	case "get", "head":
		return []string{"read_only"}
	case "put":
		return []string{"idempotent"}
	case "delete":
		return []string{"destructive", "idempotent"}
	}
	return nil
}

func (t *tool) writeRequest(l *lines) {
	for _, place := range []string{inQuery, inHeader, inForm} {
		for _, a := range t.arguments {
			if a.place == place {
				l.add(place, word(a.wire[0]), a.placeholder())
			}
		}
	}
	var members []*argument
	for _, a := range t.arguments {
		switch a.place {
		case isBody:
			l.add("json", "`\""+a.placeholder()+"\"`")
		case inBody:
			members = append(members, a)
		}
	}
	if len(members) > 0 {
		l.block("json", func(l *lines) { writeMembers(l, members, 0) })
	}
}

// writeMembers writes the members of a JSON object at a depth; those of an object
// within it follow each other.
func writeMembers(l *lines, members []*argument, depth int) {
	for len(members) > 0 {
		first := members[0].wire
		if len(first) == depth+1 {
			l.add(word(first[depth]), members[0].placeholder())
			members = members[1:]
			continue
		}
		n := slices.IndexFunc(members, func(a *argument) bool { return len(a.wire) <= depth+1 || a.wire[depth] != first[depth] })
		if n < 0 {
			n = len(members)
		}
		inner := members[:n]
		l.block(word(first[depth]), func(l *lines) { writeMembers(l, inner, depth+1) })
		members = members[n:]
	}
}

func (a *argument) placeholder() string { return "{arg." + a.name + "}" }

// write writes the `input` of an argument.
func (a *argument) write(l *lines) {
	head := []string{"input", a.name, a.schema.kind}
	if text := plain(a.description); text != "" {
		head = append(head, quoted(text))
	}
	l.block(strings.Join(head, " "), func(l *lines) {
		if !a.required {
			l.add("optional")
		}
		s := &a.schema
		if s.items != nil {
			writeRange(l, "items", s.MinItems, s.MaxItems, maxItems)
			s = s.items
		}
		s.writeValue(l)
	})
}

// writeValue writes what restricts a value. What an input cannot say is left to
// the service.
func (s *schema) writeValue(l *lines) {
	if values := s.enum(); len(values) > 0 {
		l.add(append([]string{"enum"}, values...)...)
		return
	}
	switch s.kind {
	case "integer", "number":
		if s.Minimum != nil && s.Maximum != nil && *s.Minimum > *s.Maximum {
			return
		}
		for _, limit := range []struct {
			name  string
			value *float64
		}{{"min", s.Minimum}, {"max", s.Maximum}} {
			if limit.value != nil {
				l.add(limit.name, strconv.FormatFloat(*limit.value, 'f', -1, 64))
			}
		}
	case "string":
		writeRange(l, "length", s.MinLength, s.MaxLength, maxLength)
		if isPattern(s.Pattern) {
			l.add("pattern", "`"+s.Pattern+"`")
		}
		if slices.Contains([]string{"date", "date-time", "email", "uri", "uuid"}, s.Format) {
			l.add("format", s.Format)
		}
	}
}

// writeRange writes bounds as far as they are within those that hold anyway.
func writeRange(l *lines, what string, least, most *int, top int) {
	if most != nil && *most >= 1 && *most < top {
		top = *most
	} else {
		most = nil
	}
	if least != nil && *least > 0 && *least <= top {
		l.add("min_"+what, strconv.Itoa(*least))
	}
	if most != nil {
		l.add("max_"+what, strconv.Itoa(*most))
	}
}

// enum returns the values as words, nil if one of them cannot be.
func (s *schema) enum() []string {
	var values []string
	for _, raw := range s.Enum {
		if string(raw) == "null" {
			continue
		}
		var value any
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		if d.Decode(&value) != nil {
			return nil
		}
		text, isText := value.(string)
		switch {
		case isText != (s.kind == "string"), isText && (text != plain(text) || text == ""):
			return nil
		case !isText:
			text = string(raw)
		}
		if value := word(text); !slices.Contains(values, value) {
			values = append(values, value)
		}
	}
	return values
}

// isPattern reports whether a pattern can be written, and is one to us, too.
func isPattern(pattern string) bool {
	_, err := regexp.Compile(pattern)
	return pattern != "" && len(pattern) <= maxPattern && err == nil && !strings.ContainsFunc(pattern, isControl) &&
		!strings.ContainsRune(pattern, '`') && !letterAfterBrace(pattern)
}

// letterAfterBrace finds what a Caddyfile would take for a placeholder, which the
// repetitions of a pattern are not.
func letterAfterBrace(pattern string) bool {
	for i, r := range pattern {
		if r == '{' && strings.Trim(pattern[i+1:min(i+2, len(pattern))], "0123456789,") != "" {
			return true
		}
	}
	return false
}

// schema is the JSON Schema of all arguments.
func (t *tool) schema() (json.RawMessage, error) {
	properties, required := make(map[string]any), []string{}
	for _, a := range t.arguments {
		property := map[string]any{}
		if json.Unmarshal(a.schema.raw, &property) != nil || property == nil {
			property = map[string]any{} // of any type
		}
		if a.place != inBody && a.place != isBody && property["type"] == nil {
			property["type"] = "string"
		}
		for _, own := range []string{"name", "in", "required", "schema"} { // of Swagger 2's parameters
			if a.place != inBody && a.place != isBody {
				delete(property, own)
			}
		}
		if a.description != "" {
			property["description"] = plain(a.description)
		}
		properties[a.name] = modern(property)
		if a.required {
			required = append(required, a.name)
		}
	}
	doc := map[string]any{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
	for name, value := range t.defs {
		var defs any
		if json.Unmarshal(value, &defs) == nil {
			doc[name] = modern(defs)
		}
	}
	out, err := json.MarshalIndent(doc, "", "\t")
	if err != nil {
		return nil, fmt.Errorf("writing the schema: %w", err)
	}
	return append(out, '\n'), nil
}

// modern takes out what was right in OpenAPI 3.0 and is wrong in JSON Schema
// 2020-12: bounds that are exclusive by a boolean.
func modern(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for _, name := range []string{"exclusiveMinimum", "exclusiveMaximum"} {
			if _, old := v[name].(bool); old {
				delete(v, name)
			}
		}
		for name, inner := range v {
			v[name] = modern(inner)
		}
	case []any:
		for i, inner := range v {
			v[i] = modern(inner)
		}
	}
	return value
}
