// Package toolblock writes the Caddyfile's `tool` block of an operation of an HTTP
// API: its arguments from the operation's schemas, each put where the operation
// wants it.
//
// It owns what of OpenAPI and JSON Schema an `input` can say. It does not know
// Caddy, vaults, or where operations come from. What it is given is another's
// text: nothing of it becomes a line of the Caddyfile by itself.
package toolblock

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Operation is an operation of an HTTP API, as a catalogue has it.
type Operation struct {
	ID      string
	Method  string
	Path    string // a template, such as /repos/{owner}/{repo}, or a whole URL
	Summary string // may be empty
	// Parameters are objects as OpenAPI has them: name, in, required, schema. Those
	// of Swagger 2 are understood, too.
	Parameters []json.RawMessage
	// Body is the schema of the request's body, or OpenAPI's object with its
	// content; nil for none.
	Body json.RawMessage
}

// Options say what the operation does not.
type Options struct {
	// Name of the tool. Default: made of the operation's id.
	Name string
	// Provider whose grant the request carries; empty for none.
	Provider string
	// BaseURL stands before a path that is no whole URL.
	BaseURL string
	// SchemaFile is where the arguments' schema will be, in place of `input` lines,
	// which say less. Default: lines.
	SchemaFile string
}

// Block is a tool for a Caddyfile.
type Block struct {
	// Text ends in a newline and is formatted as `caddy fmt` has it.
	Text string
	// Schema belongs into Options.SchemaFile; nil without one.
	Schema json.RawMessage
}

// ErrNoHost reports a path without a host, and no base URL.
var ErrNoHost = errors.New("the operation has a path and no host: a base URL is wanted")

// Write makes the block of an operation. The error says what about the operation
// has no place in a tool.
func Write(op Operation, o Options) (*Block, error) {
	t := &tool{op: &op, options: &o, names: make(map[string]bool)}
	if err := t.collect(); err != nil {
		return nil, fmt.Errorf("operation %s: %w", plain(op.ID), err)
	}
	return t.write()
}

// tool is a block under way.
type tool struct {
	op      *Operation
	options *Options
	method  string
	url     string // with placeholders

	arguments []*argument
	left      []string        // what was left out, and why
	names     map[string]bool // of arguments, taken
	defs      map[string]json.RawMessage
}

func (t *tool) collect() error {
	t.method = strings.ToLower(t.op.Method)
	switch t.method {
	case "get", "post", "put", "patch", "delete", "head":
	default:
		return fmt.Errorf("method %q: a tool makes GET, POST, PUT, PATCH, DELETE or HEAD requests", plain(t.op.Method))
	}
	for i, raw := range t.op.Parameters {
		if err := t.addParameter(raw); err != nil {
			return fmt.Errorf("parameter %d: %w", i, err)
		}
	}
	if err := t.addBody(); err != nil {
		return err
	}
	return t.buildURL()
}

// buildURL puts the base before the path, and arguments into it.
func (t *tool) buildURL() error {
	path := t.op.Path
	if !strings.Contains(path, "://") {
		if t.options.BaseURL == "" {
			return ErrNoHost
		}
		path = strings.TrimRight(t.options.BaseURL, "/") + "/" + strings.TrimLeft(path, "/")
	}
	path, query, _ := strings.Cut(path, "?")
	var b strings.Builder
	for {
		literal, rest, open := strings.Cut(path, "{")
		b.WriteString(literal)
		if !open {
			break
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed || name == "" {
			return fmt.Errorf("path %q: a brace is not closed", plain(t.op.Path))
		}
		b.WriteString("{arg." + t.inPath(name) + "}")
		path = after
	}
	if query != "" {
		b.WriteString("?" + query)
	}
	t.url = b.String()
	if u, err := url.Parse(strings.NewReplacer("{", "x", "}", "x").Replace(t.url)); err != nil || u.Host == "" || strings.ContainsAny(t.url, " \"`\\<>#^|") || !isASCII(t.url) {
		return fmt.Errorf("path %q: it makes no URL", plain(t.op.Path))
	}
	return nil
}

// inPath returns the argument of a part of the path. A provider's {+name}, which
// may hold slashes, becomes one segment.
func (t *tool) inPath(name string) string {
	bare := strings.TrimLeft(name, "+")
	if bare != name {
		t.left = append(t.left, "slashes within "+plain(bare)+", which the service takes for parts of the path")
	}
	for _, a := range t.arguments {
		if a.place == inPath && a.wire[0] == bare {
			return a.name
		}
	}
	a := &argument{place: inPath, wire: []string{bare}, required: true, schema: schema{raw: json.RawMessage(`{"type":"string"}`), kind: "string"}}
	t.add(a)
	return a.name
}

func (t *tool) add(a *argument) {
	a.name = t.argumentName(a.wire)
	t.arguments = append(t.arguments, a)
}

// argumentName makes a name that is free: letters, digits and underscores.
func (t *tool) argumentName(wire []string) string {
	const longest = 60
	name := words(strings.Join(wire, "_"), "_")
	if name == "" || name[0] >= '0' && name[0] <= '9' {
		name = "arg_" + name
	}
	name = strings.TrimRight(name[:min(len(name), longest)], "_")
	unique := name
	for n := 2; t.names[unique]; n++ {
		unique = fmt.Sprintf("%s_%d", name, n)
	}
	t.names[unique] = true
	return unique
}

// words keeps letters, digits and underscores of a text, and what is between as
// one separator.
func words(text, between string) string {
	var b strings.Builder
	gap := false
	for _, r := range text {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			if gap && b.Len() > 0 {
				b.WriteString(between)
			}
			b.WriteRune(r)
			gap = false
			continue
		}
		gap = true
	}
	return b.String()
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
