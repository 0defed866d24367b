package altermcp

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/alter-mcp/caddy-alter-mcp/mcphandler"
)

// unmarshalTool reads `tool <name> [<type>]`: a declared tool, or a guest that
// parses the rest itself, with the name as its first argument.
func (h *Handler) unmarshalTool(d *caddyfile.Dispenser) error {
	if d.CountRemainingArgs() == 0 {
		return d.Err("tool takes a name, and a type if it is not a declared one")
	}
	kind := "declared"
	if d.CountRemainingArgs() > 1 {
		args := slices.Collect(peekArgs(d))
		kind = args[1]
	}
	id := "http.alter_mcp.tools." + kind
	if _, err := caddy.GetModule(id); err != nil {
		return d.Errf("tool of type %q: there are %s", kind, moduleNames("http.alter_mcp.tools"))
	}
	mod, err := caddyfile.UnmarshalModule(d, id)
	if err != nil {
		return err // already carries file and line
	}
	h.ToolsRaw = append(h.ToolsRaw, caddyconfig.JSONModuleObject(mod, "type", kind, nil))
	return nil
}

// peekArgs yields the arguments on the line without consuming them.
func peekArgs(d *caddyfile.Dispenser) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		ahead := *d
		for ahead.NextArg() {
			if !yield(ahead.Val()) {
				return
			}
		}
	}
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Syntax:
//
//	tool <name> {
//	    title         <text>
//	    description   <text>
//	    provider      <name>
//	    scopes        <scope>...
//	    label         <text>
//	    account       <text>
//	    agent         <name>
//	    mode          auto|retrieve|proxy
//	    reason        <text>
//	    constraints   <scope>...
//	    vault_rule    json_match|content_match <json>
//	    signed_identity <audience> [<header>]
//	    input         <name> <type> [<description>] { ... }
//	    input_schema  <file>
//	    output_schema <file>
//	    respond       <text>
//	    get | post | put | patch | delete | head <url> { ... }
//	    result        <jq program>
//	    read_only
//	    destructive
//	    idempotent
//	    closed_world
//	    timeout       <duration>
//	    max_response  <size>
//	    allow         email|domain|group|subject <value>... or any
//	    deny          email|domain|group|subject <value>...
//	}
func (t *DeclaredTool) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // subdirective
	d.NextArg()
	t.Name = d.Val()
	if d.NextArg() && d.Val() != "declared" || d.NextArg() {
		return d.ArgErr()
	}
	seen := make(once)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if parse := t.repeatable(d.Val()); parse != nil {
			if err := parse(d); err != nil {
				return err
			}
			continue
		}
		if err := seen.check(d); err != nil {
			return err
		}
		if err := t.unmarshalSetting(d); err != nil {
			return err
		}
	}
	return nil
}

// repeatable returns what parses a setting that may come more than once.
func (t *DeclaredTool) repeatable(name string) func(*caddyfile.Dispenser) error {
	switch name {
	case "input":
		return t.unmarshalInput
	case "allow", "deny":
		return t.unmarshalRule
	}
	return nil
}

func (t *DeclaredTool) unmarshalSetting(d *caddyfile.Dispenser) error {
	texts := map[string]*string{
		"title": &t.Title, "description": &t.Description, "provider": &t.Provider, "respond": &t.Respond,
		"label": &t.Label, "account": &t.Account, "agent": &t.Agent, "reason": &t.Reason,
		"result": &t.Result, "input_schema": &t.InputSchemaFile, "output_schema": &t.OutputSchemaFile,
	}
	flags := map[string]*bool{
		"read_only": &t.ReadOnly, "destructive": &t.Destructive, "idempotent": &t.Idempotent, "closed_world": &t.ClosedWorld,
	}
	switch name := d.Val(); name {
	case "mode":
		return word(d, &t.Mode, mcphandler.GrantModeAuto, mcphandler.GrantModeRetrieve, mcphandler.GrantModeProxy)
	case "constraints":
		return manyArgs(d, &t.Constraints)
	case "vault_rule":
		return t.unmarshalVaultRule(d)
	case "signed_identity":
		return signedIdentity(d, &t.SignedIdentity)
	case "scopes":
		return manyArgs(d, &t.Scopes)
	case "timeout":
		return positive(d, &t.CallTimeout)
	case "max_response":
		return size(d, &t.MaxResponse)
	case "get", "post", "put", "patch", "delete", "head":
		return t.unmarshalRequest(d)
	default:
		if dst := texts[name]; dst != nil {
			return oneArg(d, dst)
		}
		if dst := flags[name]; dst != nil {
			return noArgs(d, dst)
		}
	}
	return unknown(d, "tool", "account", "agent", "allow", "closed_world", "constraints", "delete", "deny", "description", "destructive", "get", "head", "idempotent", "input",
		"input_schema", "label", "max_response", "mode", "output_schema", "patch", "post", "provider", "put", "read_only", "reason", "respond",
		"result", "scopes", "signed_identity", "timeout", "title", "vault_rule")
}

// signedIdentity reads whom to tell who calls, and in which header.
func signedIdentity(d *caddyfile.Dispenser, dst **mcphandler.SignedIdentity) error {
	args := d.RemainingArgs()
	if len(args) == 0 || len(args) > 2 {
		return d.Errf("signed_identity takes an audience, and then a header, found %d values", len(args))
	}
	s := &mcphandler.SignedIdentity{Audience: args[0]}
	if len(args) == 2 {
		s.Header = args[1]
	}
	if err := s.Check(); err != nil {
		return d.Errf("signed_identity: %v", err)
	}
	*dst = s
	return nil
}

func (t *DeclaredTool) unmarshalVaultRule(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) != 2 {
		return d.Errf("vault_rule takes json_match or content_match, and the rule as JSON, found %d values", len(args))
	}
	if err := oneWord(d, "vault_rule", args[0], "json_match", "content_match"); err != nil {
		return err
	}
	if !json.Valid([]byte(args[1])) {
		return d.Err("vault_rule: the rule is not JSON; quote it by backticks")
	}
	t.VaultRule = &mcphandler.VaultRule{Type: args[0], Body: json.RawMessage(args[1])}
	return nil
}

// unmarshalInput reads one argument of the tool. Syntax:
//
//	input <name> <type> [<description>] {
//	    optional
//	    default    <value>...
//	    enum       <value>...
//	    min        <number>
//	    max        <number>
//	    min_length <count>
//	    max_length <count>
//	    min_items  <count>
//	    max_items  <count>
//	    pattern    <regular expression>
//	    format     <name>
//	}
func (t *DeclaredTool) unmarshalInput(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) < 2 || len(args) > 3 {
		return d.Errf("input takes a name, a type and a description, found %d values; quote a text with blanks", len(args))
	}
	in := mcphandler.Input{Name: args[0], Type: args[1]}
	if len(args) == 3 {
		in.Description = args[2]
	}
	seen := make(once)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := seen.check(d); err != nil {
			return err
		}
		if err := unmarshalInputSetting(d, &in); err != nil {
			return err
		}
	}
	t.Inputs = append(t.Inputs, in)
	return nil
}

func unmarshalInputSetting(d *caddyfile.Dispenser, in *mcphandler.Input) error {
	switch d.Val() {
	case "optional":
		return noArgs(d, &in.Optional)
	case "default":
		return unmarshalDefault(d, in)
	case "enum":
		return unmarshalEnum(d, in)
	case "min":
		return number(d, &in.Min)
	case "max":
		return number(d, &in.Max)
	case "min_length":
		return wholeNumber(d, &in.MinLength)
	case "max_length":
		return wholeNumber(d, &in.MaxLength)
	case "min_items":
		return wholeNumber(d, &in.MinItems)
	case "max_items":
		return wholeNumber(d, &in.MaxItems)
	case "pattern":
		return oneArg(d, &in.Pattern)
	case "format":
		return oneArg(d, &in.Format)
	}
	return unknown(d, "input", "default", "enum", "format", "max", "max_items", "max_length", "min", "min_items",
		"min_length", "optional", "pattern")
}

func unmarshalDefault(d *caddyfile.Dispenser, in *mcphandler.Input) error {
	args := d.RemainingArgs()
	element, list := strings.CutSuffix(in.Type, "[]")
	if !list && len(args) != 1 {
		return d.Errf("default takes one value, found %d", len(args))
	}
	values := make([]json.RawMessage, len(args))
	for i, arg := range args {
		value, err := valueOf(d, "default", element, arg)
		if err != nil {
			return err
		}
		values[i] = value
	}
	if !list {
		in.Default = values[0]
		return nil
	}
	in.Default = slices.Concat([]byte("["), bytes.Join(rawBytes(values), []byte(",")), []byte("]"))
	return nil
}

func unmarshalEnum(d *caddyfile.Dispenser, in *mcphandler.Input) error {
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.Err("enum takes one value or more, found none")
	}
	for _, arg := range args {
		value, err := valueOf(d, "enum", strings.TrimSuffix(in.Type, "[]"), arg)
		if err != nil {
			return err
		}
		in.Enum = append(in.Enum, value)
	}
	return nil
}

// valueOf makes JSON of the type from a word of the Caddyfile.
func valueOf(d *caddyfile.Dispenser, setting, kind, word string) (json.RawMessage, error) {
	var value any = word
	var err error
	switch kind {
	case "integer":
		value, err = strconv.ParseInt(word, 10, 64)
	case "number":
		value, err = strconv.ParseFloat(word, 64)
	case "boolean":
		value, err = strconv.ParseBool(word)
	}
	if err != nil {
		return nil, d.Errf("%s %q: want a value of type %s", setting, word, kind)
	}
	raw, err := json.Marshal(value)
	if err != nil { // infinity is no JSON
		return nil, d.Errf("%s %q: want a value of type %s", setting, word, kind)
	}
	return raw, nil
}

func rawBytes(values []json.RawMessage) [][]byte {
	out := make([][]byte, len(values))
	for i, v := range values {
		out[i] = v
	}
	return out
}

func number(d *caddyfile.Dispenser, dst **float64) error {
	name, text := d.Val(), ""
	if err := oneArg(d, &text); err != nil {
		return err
	}
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return d.Errf("%s %q: want a number", name, text)
	}
	*dst = &value
	return nil
}

func wholeNumber(d *caddyfile.Dispenser, dst **int) error {
	name, text := d.Val(), ""
	if err := oneArg(d, &text); err != nil {
		return err
	}
	value, err := strconv.Atoi(text)
	if err != nil || value < 0 {
		return d.Errf("%s %q: want a whole number", name, text)
	}
	*dst = &value
	return nil
}
