package mcphandler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// maxToolName is the longest name of a tool, in bytes.
const maxToolName = 128

// StaticSource is a [Source] of the same tools for everyone.
type StaticSource struct {
	tools  []Tool
	byName map[string]Tool
}

// NewStaticSource returns a source of tools, in their order. Each is asked once
// to describe itself; the tools that the source hands out are wrapped, so that
// this stays so. The error names a tool whose name is not allowed or not unique,
// whose input schema is no object of type object, or whose x-mcp-header
// annotations break the rules of MCP 2026-07-28.
func NewStaticSource(tools []Tool) (*StaticSource, error) {
	s := &StaticSource{
		tools:  make([]Tool, 0, len(tools)),
		byName: make(map[string]Tool, len(tools)),
	}
	for i, tool := range tools {
		if tool == nil {
			return nil, fmt.Errorf("tool %d: is nil", i)
		}
		d, err := describe(tool)
		if err == nil {
			err = d.encode()
		}
		if err != nil {
			return nil, fmt.Errorf("tool %d (%q): %w", i, tool.Describe().Name, err)
		}
		if s.byName[d.Name] != nil {
			return nil, fmt.Errorf("tool %d (%q): another tool has this name", i, d.Name)
		}
		s.tools = append(s.tools, d)
		s.byName[d.Name] = d
	}
	return s, nil
}

// List implements [Source]. The slice must not be changed.
func (s *StaticSource) List(context.Context, *Caller) ([]Tool, error) { return s.tools, nil }

// Lookup implements [Source].
func (s *StaticSource) Lookup(_ context.Context, _ *Caller, name string) (Tool, error) {
	return s.byName[name], nil
}

// described is a tool with what its description comes to: once for a tool of a
// static source, for each request otherwise.
type described struct {
	Tool
	Description

	params []headerParam
	// entries of tools/list, for each kind of entry; nil when not encoded yet.
	entries [3][]byte
}

// Kinds of entries in tools/list.
const (
	entryStateless  = iota // 2026-07-28
	entryStructured        // 2025-06-18 and 2025-11-25: output schemas of type object
	entryPlain             // 2025-03-26: neither titles nor output schemas
)

// describe returns tool with its description, checked.
func describe(tool Tool) (*described, error) {
	if d, ok := tool.(*described); ok {
		return d, nil
	}
	d := &described{Tool: tool, Description: tool.Describe()}
	if !isToolName(d.Name) {
		return nil, errors.New("the name is not 1 to 128 characters of A-Z a-z 0-9 _ . -")
	}
	if !isObjectSchema(d.InputSchema) {
		return nil, errors.New("the input schema is not a JSON object of type object")
	}
	if len(d.OutputSchema) > 0 && !json.Valid(d.OutputSchema) {
		return nil, errors.New("the output schema is not JSON")
	}
	var err error
	d.params, err = headerParams(d.InputSchema)
	return d, err
}

// Describe implements [Tool].
func (d *described) Describe() Description { return d.Description }

func isToolName(name string) bool {
	for i := range len(name) {
		c := name[i]
		alnum := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !alnum && c != '_' && c != '.' && c != '-' {
			return false
		}
	}
	return name != "" && len(name) <= maxToolName
}

func isObjectSchema(schema json.RawMessage) bool {
	if !json.Valid(schema) {
		return false
	}
	kind := member(schema, "type")
	return kind != nil && isString(kind) && decodeString(kind) == "object"
}

// encode prepares the entries for every revision.
func (d *described) encode() error {
	for kind := range d.entries {
		entry, err := d.newEntry(kind)
		if err != nil {
			return err
		}
		d.entries[kind] = entry
	}
	return nil
}

// entry returns what tools/list says of the tool in revision r.
func (d *described) entry(r revision) ([]byte, error) {
	kind := entryPlain
	switch {
	case r.isStateless():
		kind = entryStateless
	case r.hasStructuredContent():
		kind = entryStructured
	}
	if d.entries[kind] != nil {
		return d.entries[kind], nil
	}
	return d.newEntry(kind)
}

func (d *described) newEntry(kind int) ([]byte, error) {
	desc := d.Description
	switch {
	case kind == entryPlain:
		desc.Title, desc.OutputSchema = "", nil
	case kind == entryStructured && !isObjectSchema(desc.OutputSchema):
		desc.OutputSchema = nil
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(desc); err != nil {
		return nil, fmt.Errorf("encoding the description: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
