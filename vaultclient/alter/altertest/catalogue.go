package altertest

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// CatalogueItem is an OAuth provider of the app.
type CatalogueItem struct {
	ID, Title, Category string
	Scopes, Defaults    []string
	// Operations of its API; none: the vault has no description of it.
	Operations []APIOperation
}

// APIOperation is an operation of a provider's API. Parameters, Request and
// Response are JSON; "" for null.
type APIOperation struct {
	ID, Method, Path, Summary     string
	Parameters, Request, Response string
}

// DefaultCatalogue are the providers of an app that no [Config] names any for.
func DefaultCatalogue() []CatalogueItem {
	return []CatalogueItem{
		{
			ID: "github", Title: "GitHub", Category: "development", Scopes: []string{"repo", "read:user"}, Defaults: []string{"read:user"},
			Operations: []APIOperation{
				{
					ID: "issues/list-for-repo", Method: "GET", Path: "/repos/{owner}/{repo}/issues", Summary: "List repository issues",
					Parameters: `[
						{"name": "owner", "in": "path", "required": true, "description": "The account owner of the repository.", "schema": {"type": "string"}},
						{"name": "repo", "in": "path", "required": true, "schema": {"type": "string"}},
						{"name": "state", "in": "query", "description": "Which issues.", "schema": {"type": "string", "enum": ["open", "closed", "all"], "default": "open"}},
						{"name": "per_page", "in": "query", "description": "Results per page (max \"100\").", "schema": {"type": "integer", "minimum": 1, "maximum": 100}}
					]`,
					Response: `{"type": "array", "items": {"type": "object"}}`,
				},
				{
					ID: "issues/create", Method: "POST", Path: "/repos/{owner}/{repo}/issues", Summary: "Create an issue",
					Parameters: `[
						{"name": "owner", "in": "path", "required": true, "schema": {"type": "string"}},
						{"name": "repo", "in": "path", "required": true, "schema": {"type": "string"}}
					]`,
					Request: `{"type": "object", "required": ["title"], "properties": {
						"title": {"type": "string", "description": "The title of the issue."},
						"body": {"type": "string"}, "labels": {"type": "array", "items": {"type": "string"}},
						"milestone": {"type": ["integer", "null"]}, "assignees": {"type": "array", "items": {"type": "object"}}
					}}`,
				},
			},
		},
		{
			ID: "google", Title: "Google", Category: "productivity", Scopes: []string{"openid", "gmail.readonly"}, Defaults: []string{"openid"},
			Operations: []APIOperation{{
				ID: "gmail.users.messages.list", Method: "GET", Path: "https://gmail.googleapis.com/gmail/v1/users/{userId}/messages",
				Parameters: `[{"name": "userId", "in": "path", "required": true, "schema": {"type": "string"}}, {"name": "q", "in": "query", "schema": {"type": "string"}}]`,
			}},
		},
		{ID: "notion", Title: "Notion", Scopes: []string{"read_content"}},
	}
}

func (v *Vault) catalogue() []CatalogueItem {
	if v.config.Catalogue == nil {
		return DefaultCatalogue()
	}
	return v.config.Catalogue
}

func (v *Vault) providerCatalogue(*request) (reply, *refusal) {
	all := map[string]any{}
	for _, p := range v.catalogue() {
		scopes := map[string]any{}
		for _, s := range p.Scopes {
			scopes[s] = map[string]any{
				"description": "Scope " + s, "required": false, "is_default": slices.Contains(p.Defaults, s), "requires": []string{},
			}
		}
		all[p.ID] = map[string]any{
			"id": p.ID, "name": p.ID, "display_name": p.Title, "category": nullable(p.Category), "description": nil, "logo_url": nil,
			"supports_refresh": true, "supports_pkce": true, "available_scopes": scopes,
			"default_scopes": append([]string{}, p.Defaults...), "required_scopes": []string{}, "status": Active,
		}
	}
	return reply{body: map[string]any{"providers": all}}, nil
}

// spec is what the fake says of the description of a provider's API.
func (p *CatalogueItem) spec() map[string]any {
	since := rfc3339(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC))
	return map[string]any{
		"provider_kind": "oauth", "provider_id": p.ID, "version": 3, "provenance": "openapi", "source_url": nil,
		"content_hash": uuidOf("spec " + p.ID), "operation_count": len(p.Operations), "fetched_at": since, "changed_at": since,
		"title": p.Title + " API", "spec_version": nil,
	}
}

func (v *Vault) listSpecs(r *request) (reply, *refusal) {
	items := []map[string]any{}
	kind := r.URL.Query().Get("kind")
	if kind != "" && kind != "oauth" && kind != "managed" {
		return reply{}, refuse(422, "validation_error", "kind is none")
	}
	for _, p := range v.catalogue() {
		if len(p.Operations) > 0 && kind != "managed" {
			items = append(items, p.spec())
		}
	}
	return reply{body: map[string]any{"items": items, "total": len(items)}}, nil
}

// described finds the provider of the path, if the fake has its operations.
func (v *Vault) described(r *request) (*CatalogueItem, *refusal) {
	for _, p := range v.catalogue() {
		if r.PathValue("kind") == "oauth" && p.ID == r.PathValue("provider") && len(p.Operations) > 0 {
			return &p, nil
		}
	}
	return nil, refuse(404, "provider_spec_not_found", "no active spec of this provider")
}

func (v *Vault) getSpec(r *request) (reply, *refusal) {
	p, bad := v.described(r)
	if bad != nil {
		return reply{}, bad
	}
	return reply{body: p.spec()}, nil
}

// summary is an operation as lists show it.
func (o *APIOperation) summary() map[string]any {
	return map[string]any{"operation_id": o.ID, "method": o.Method, "path_template": o.Path, "summary": nullable(o.Summary)}
}

func (v *Vault) listOperations(r *request) (reply, *refusal) {
	p, bad := v.described(r)
	if bad != nil {
		return reply{}, bad
	}
	limit, errLimit := wholeQuery(r, "limit", "100")
	offset, errOffset := wholeQuery(r, "offset", "0")
	search := strings.ToLower(r.URL.Query().Get("search"))
	if errLimit != nil || errOffset != nil || limit < 1 || limit > 500 || offset < 0 || len(search) > 200 {
		return reply{}, refuse(422, "validation_error", "limit, offset or search is out of bounds")
	}
	items := []map[string]any{}
	for _, o := range p.Operations {
		if strings.Contains(strings.ToLower(o.ID+"\n"+o.Path+"\n"+o.Summary), search) {
			items = append(items, o.summary())
		}
	}
	begin := min(offset, len(items))
	end := min(begin+limit, len(items))
	return reply{body: map[string]any{
		"items": items[begin:end], "total": len(items), "limit": limit, "offset": offset, "has_more": end < len(items), "spec": p.spec(),
	}}, nil
}

func wholeQuery(r *request, name, absent string) (int, error) {
	return strconv.Atoi(cmp.Or(r.URL.Query().Get(name), absent))
}

func (v *Vault) getOperation(r *request) (reply, *refusal) {
	p, bad := v.described(r)
	if bad != nil {
		return reply{}, bad
	}
	for _, o := range p.Operations {
		if o.ID != r.URL.Query().Get("operation_id") {
			continue
		}
		out := o.summary()
		out["params_schema"], out["request_schema"], out["response_schema"] = rawOrNull(o.Parameters), rawOrNull(o.Request), rawOrNull(o.Response)
		out["spec"] = p.spec()
		return reply{body: out}, nil
	}
	return reply{}, refuse(404, "operation_not_found", "no such operation")
}

func rawOrNull(text string) any {
	if text == "" {
		return nil
	}
	return json.RawMessage(text)
}
