package alter_test

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
)

// catalogueSteps are those that read what providers there are.
func catalogueSteps() map[string]step {
	return map[string]step{
		"catalogue of providers": {do: catalogue},
		"descriptions of APIs":   {do: descriptions},
		"operations of an API":   {do: operations},
		"operation of an API":    {do: operation},
	}
}

func catalogue(w *world) (any, error) {
	list, err := w.Catalogue(w.ctx)
	var told []any
	for _, p := range list {
		told = append(told, []any{
			p.ID, p.Title, append([]string{}, p.DefaultScopes...), slices.Sorted(maps.Keys(p.Scopes)), p.Status,
		})
	}
	return told, err
}

func descriptions(w *world) (any, error) {
	var told []any
	for _, kind := range []alter.SpecKind{"", alter.SpecOAuth, alter.SpecManaged} {
		list, err := w.Specs(w.ctx, kind)
		if err != nil {
			return nil, err
		}
		seen := []any{}
		for _, s := range list {
			seen = append(seen, []any{s.Kind, s.Provider, s.Operations})
		}
		told = append(told, seen)
	}
	_, err := w.Operations(w.ctx, alter.SpecManaged, "github", alter.OperationFilter{Limit: 100})
	return append(told, outcomeOf(w, any(nil), err)), nil
}

func operations(w *world) (any, error) {
	var told []any
	for _, f := range []alter.OperationFilter{{Limit: 1}, {Limit: 1, Offset: 1}, {Limit: 100, Search: "create an"}} {
		page, err := w.Operations(w.ctx, alter.SpecOAuth, "github", f)
		if err != nil {
			return nil, err
		}
		var seen []any
		for _, o := range page.Operations {
			seen = append(seen, []any{o.ID, o.Method, o.Path, o.Summary})
		}
		told = append(told, append(seen, page.Total, page.More))
	}
	return told, nil
}

func operation(w *world) (any, error) {
	o, err := w.OperationByID(w.ctx, alter.SpecOAuth, "github", "issues/create")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, raw := range o.Parameters {
		var p struct{ Name string }
		parse(w.t, raw, &p)
		names = append(names, p.Name)
	}
	var body struct{ Properties map[string]json.RawMessage }
	parse(w.t, o.Request, &body)
	_, unknown := w.OperationByID(w.ctx, alter.SpecOAuth, "github", "issues/x?y#z")
	_, undescribed := w.OperationByID(w.ctx, alter.SpecOAuth, "gitlab", "issues/create")
	return []any{
		[]any{o.ID, o.Spec.Provider, names, slices.Sorted(maps.Keys(body.Properties)), o.Response},
		outcomeOf(w, any(nil), unknown), outcomeOf(w, any(nil), undescribed),
	}, nil
}
