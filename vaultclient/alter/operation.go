package alter

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// OperationDetail is an operation with its schemas, as the provider's own document
// has them. The vault says no more of their form.
type OperationDetail struct {
	Operation
	// Parameters are objects as OpenAPI has them: name, in, required, schema.
	Parameters []json.RawMessage
	// Request and Response are schemas of bodies; nil for none.
	Request, Response json.RawMessage
	Spec              Spec
}

// OperationByID returns an operation of a provider's API: GET
// /sdk/provider-specs/{kind}/{provider}/operation. Errors: those of
// [Client.Operations]; [ErrGrantNotFound] is also an operation that there is none
// of.
func (c *Client) OperationByID(ctx context.Context, kind SpecKind, provider, id string) (*OperationDetail, error) {
	base, err := specPath(kind, provider)
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(id) == "" || utf8.RuneCountInString(id) > maxOperationID || hasControl(id) {
		return nil, invalid("operation %q: want its id, of at most %d characters", cut(id), maxOperationID)
	}
	k := call{
		method: http.MethodGet, path: base + "/operation", repeatable: true, limit: maxCatalogue,
		query: url.Values{"operation_id": {id}},
	}
	o, a, err := c.object(ctx, k)
	if err != nil {
		return nil, err
	}
	out := &OperationDetail{Operation: o.operation()}
	o.need("spec")
	if s := o.maybeObject("spec"); s != nil {
		out.Spec = s.spec()
	}
	for _, p := range o.maybeObjects("params_schema") {
		raw, err := json.Marshal(p.members)
		if err != nil {
			return nil, k.malformed(a, "params_schema has an entry that is no object")
		}
		out.Parameters = append(out.Parameters, raw)
	}
	out.Request, out.Response = o.maybeRaw("request_schema"), o.maybeRaw("response_schema")
	if err := o.err(&k, a); err != nil {
		return nil, err
	}
	return out, nil
}

// maybeRaw is an object as it is, or nil.
func (o *object) maybeRaw(name string) json.RawMessage {
	if o.maybeObject(name) == nil {
		return nil
	}
	return o.members[name]
}
