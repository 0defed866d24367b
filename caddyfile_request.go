package altermcp

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/alter-mcp/caddy-alter-mcp/mcphandler"
)

// unmarshalRequest reads the tool's HTTP request. Syntax:
//
//	get | post | put | patch | delete | head <url> {
//	    query  <name> <value>
//	    header <name> <value>
//	    json   <document> | { <member> <value> | { ... } }
//	    form   <name> <value>
//	    body   <text> [<content type>]
//	}
func (t *DeclaredTool) unmarshalRequest(d *caddyfile.Dispenser) error {
	method := d.Val()
	if t.Request != nil {
		return d.Errf("a tool makes one request; %s comes after %s", method, strings.ToLower(t.Request.Method))
	}
	req := &mcphandler.RequestConfig{Method: strings.ToUpper(method)}
	if err := oneArg(d, &req.URL); err != nil {
		return err
	}
	t.Request = req
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := unmarshalRequestSetting(d, req); err != nil {
			return err
		}
	}
	return nil
}

func unmarshalRequestSetting(d *caddyfile.Dispenser, req *mcphandler.RequestConfig) error {
	switch d.Val() {
	case "query":
		return pair(d, &req.Query)
	case "header":
		return pair(d, &req.Headers)
	case "form":
		return pair(d, &req.Form)
	case "json":
		return unmarshalJSONBody(d, req)
	case "body":
		if req.Body != "" {
			return d.Err("body is already set")
		}
		args := d.RemainingArgs()
		if len(args) == 0 || len(args) > 2 {
			return d.Errf("body takes a text and a content type, found %d values", len(args))
		}
		req.Body = args[0]
		if len(args) == 2 {
			req.ContentType = args[1]
		}
		return nil
	}
	return unknown(d, "request", "body", "form", "header", "json", "query")
}

// pair reads a name and a value.
func pair(d *caddyfile.Dispenser, dst *[]mcphandler.Pair) error {
	setting := d.Val()
	args := d.RemainingArgs()
	if len(args) != 2 {
		return d.Errf("%s takes a name and a value, found %d values; quote a text with blanks", setting, len(args))
	}
	*dst = append(*dst, mcphandler.Pair{Name: args[0], Value: args[1]})
	return nil
}

// unmarshalJSONBody reads a JSON body: a document as one value, best between
// backticks or as a heredoc, or a block of members whose values are texts.
func unmarshalJSONBody(d *caddyfile.Dispenser, req *mcphandler.RequestConfig) error {
	if req.JSON != nil {
		return d.Err("json is already set")
	}
	switch args := d.RemainingArgs(); {
	case len(args) > 1:
		return d.Errf("json takes one document, found %d values; put it between backticks, or its members into a block", len(args))
	case len(args) == 1:
		if err := json.Unmarshal([]byte(args[0]), new(any)); err != nil {
			return d.Errf("json: want a JSON document, with placeholders inside its strings: %w", err)
		}
		req.JSON = json.RawMessage(args[0])
		return nil
	}
	object, err := jsonBlock(d)
	req.JSON = object
	return err
}

// jsonBlock makes an object of a block, in the order of its lines.
func jsonBlock(d *caddyfile.Dispenser) (json.RawMessage, error) {
	var members []string
	seen := make(once)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := seen.check(d); err != nil {
			return nil, err
		}
		name, err := json.Marshal(d.Val())
		if err != nil {
			return nil, d.WrapErr(err)
		}
		var value []byte
		switch args := d.RemainingArgs(); len(args) {
		case 0:
			value, err = jsonBlock(d)
		case 1:
			value, err = json.Marshal(args[0])
		default:
			err = d.Errf("json member %s takes one value or a block, found %d values", name, len(args))
		}
		if err != nil {
			return nil, err
		}
		members = append(members, fmt.Sprintf("%s:%s", name, value))
	}
	return json.RawMessage("{" + strings.Join(members, ",") + "}"), nil
}
