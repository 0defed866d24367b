package toolblock

import (
	"fmt"
	"slices"
	"strings"
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
