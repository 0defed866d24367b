package alter

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxCatalogue bounds the answers of this file, in bytes: hundreds of providers
// with all their scopes, or the schemas of one operation.
const maxCatalogue = 16 << 20

// CatalogueProvider is an OAuth provider that people of the app can connect.
type CatalogueProvider struct {
	// ID is the name by which tools and grants name it.
	ID    string
	Name  string
	Title string // for people
	// Category and Description may be empty.
	Category, Description string
	Refresh, PKCE         bool // as the provider supports them
	// Scopes by name, DefaultScopes that are asked for where nobody says
	// otherwise, RequiredScopes without which it does not work.
	Scopes                        map[string]CatalogueScope
	DefaultScopes, RequiredScopes []string
	Status                        string
}

// CatalogueScope is a scope of a provider.
type CatalogueScope struct {
	Description       string
	Required, Default bool
	Requires          []string // other scopes
}

// Catalogue returns the OAuth providers that the app knows, by their ids in
// order: GET /sdk/oauth/provider-catalog. Errors: [ErrOperator] when the key may
// not read it (its scope is providers:read), [ErrRateLimited], [ErrUnavailable].
func (c *Client) Catalogue(ctx context.Context) ([]CatalogueProvider, error) {
	k := call{method: http.MethodGet, path: "/sdk/oauth/provider-catalog", repeatable: true, limit: maxCatalogue}
	o, a, err := c.object(ctx, k)
	if err != nil {
		return nil, err
	}
	o.need("providers")
	var list []CatalogueProvider
	if all := o.maybeObject("providers"); all != nil {
		for _, id := range slices.Sorted(maps.Keys(all.members)) {
			all.need(id)
			if p := all.maybeObject(id); p != nil {
				list = append(list, p.catalogueProvider())
			}
		}
	}
	if err := o.err(&k, a); err != nil {
		return nil, err
	}
	return list, nil
}

func (o *object) catalogueProvider() CatalogueProvider {
	p := CatalogueProvider{
		ID: o.text("id"), Name: o.text("name"), Title: o.text("display_name"), Category: o.maybeText("category"),
		Description: o.maybeText("description"), Refresh: o.flag("supports_refresh"), PKCE: o.flag("supports_pkce"),
		DefaultScopes: o.maybeTexts("default_scopes"), RequiredScopes: o.maybeTexts("required_scopes"), Status: o.text("status"),
	}
	for _, name := range []string{"available_scopes", "default_scopes", "required_scopes"} {
		o.need(name)
	}
	if all := o.maybeObject("available_scopes"); all != nil {
		p.Scopes = make(map[string]CatalogueScope, len(all.members))
		for name := range all.members {
			if s := all.maybeObject(name); s != nil {
				p.Scopes[name] = CatalogueScope{
					Description: s.maybeText("description"), Required: s.maybeFlag("required"), Default: s.maybeFlag("is_default"),
					Requires: s.maybeTexts("requires"),
				}
			}
		}
	}
	return p
}

// SpecKind is the family of a provider whose API the vault describes.
type SpecKind string

// Kinds of specs. There are no others.
const (
	SpecOAuth   SpecKind = "oauth"
	SpecManaged SpecKind = "managed" // of managed secrets
)

// Spec says of which provider's API the vault has a description, and since when.
type Spec struct {
	Kind     SpecKind
	Provider string
	Version  int64
	// Provenance is where it came from, SourceURL the document, if it is known.
	Provenance, SourceURL string
	Hash                  string
	Operations            int64 // how many
	FetchedAt, ChangedAt  time.Time
	Title, SpecVersion    string // may be empty
}

func (o *object) spec() Spec {
	return Spec{
		Kind: SpecKind(o.text("provider_kind")), Provider: o.text("provider_id"), Version: o.number("version"),
		Provenance: o.text("provenance"), SourceURL: o.maybeText("source_url"), Hash: o.text("content_hash"),
		Operations: o.number("operation_count"), FetchedAt: o.time("fetched_at"), ChangedAt: o.time("changed_at"),
		Title: o.maybeText("title"), SpecVersion: o.maybeText("spec_version"),
	}
}

// Specs returns the descriptions of APIs that the vault has, of one kind or, for
// "", of all: GET /sdk/provider-specs. Errors: those of [Client.Catalogue].
func (c *Client) Specs(ctx context.Context, kind SpecKind) ([]Spec, error) {
	k := call{method: http.MethodGet, path: "/sdk/provider-specs", repeatable: true, limit: maxCatalogue}
	if kind != "" {
		if err := kind.check(); err != nil {
			return nil, err
		}
		k.query = url.Values{"kind": {string(kind)}}
	}
	o, a, err := c.object(ctx, k)
	if err != nil {
		return nil, err
	}
	o.need("items")
	o.number("total")
	var list []Spec
	for _, item := range o.maybeObjects("items") {
		list = append(list, item.spec())
	}
	if err := o.err(&k, a); err != nil {
		return nil, err
	}
	return list, nil
}

func (k SpecKind) check() error {
	if k != SpecOAuth && k != SpecManaged {
		return invalid("kind %q of a provider: want oauth or managed", cut(string(k)))
	}
	return nil
}

// Operation is one operation of a provider's API.
type Operation struct {
	ID      string
	Method  string
	Path    string // a template, such as /repos/{owner}/{repo}
	Summary string // may be empty
}

func (o *object) operation() Operation {
	return Operation{ID: o.text("operation_id"), Method: o.text("method"), Path: o.text("path_template"), Summary: o.maybeText("summary")}
}

// Limits of [OperationFilter].
const (
	MaxOperationPage = 500
	maxSearch        = 200 // characters
	maxOperationID   = 512 // characters
)

// OperationFilter says which operations to list.
type OperationFilter struct {
	// Search is a part of an id, a path or a summary; "" for all. At most 200
	// characters.
	Search string
	// Limit of one page, at most [MaxOperationPage]; 0 means that.
	Limit  int
	Offset int
}

// OperationPage is a page of a provider's operations.
type OperationPage struct {
	Operations []Operation
	Total      int64
	More       bool
	Spec       Spec
}

// Operations returns a page of the operations of a provider's API: GET
// /sdk/provider-specs/{kind}/{provider}/operations. Errors: those of
// [Client.Catalogue], and [ErrGrantNotFound], as the vault's 404 is called, when
// it has no description of that provider.
func (c *Client) Operations(ctx context.Context, kind SpecKind, provider string, f OperationFilter) (*OperationPage, error) {
	base, err := specPath(kind, provider)
	if err != nil {
		return nil, err
	}
	if f.Limit == 0 {
		f.Limit = MaxOperationPage
	}
	if f.Limit < 0 || f.Limit > MaxOperationPage || f.Offset < 0 || utf8.RuneCountInString(f.Search) > maxSearch {
		return nil, invalid("operations: want a search of at most %d characters, a limit from 1 to %d and an offset of 0 or more", maxSearch, MaxOperationPage)
	}
	k := call{
		method: http.MethodGet, path: base + "/operations", repeatable: true, limit: maxCatalogue,
		query: url.Values{"limit": {strconv.Itoa(f.Limit)}, "offset": {strconv.Itoa(f.Offset)}},
	}
	if f.Search != "" {
		k.query.Set("search", f.Search)
	}
	o, a, err := c.object(ctx, k)
	if err != nil {
		return nil, err
	}
	page := &OperationPage{Total: o.number("total"), More: o.flag("has_more")}
	for _, name := range []string{"items", "limit", "offset", "spec"} {
		o.need(name)
	}
	for _, item := range o.maybeObjects("items") {
		page.Operations = append(page.Operations, item.operation())
	}
	if s := o.maybeObject("spec"); s != nil {
		page.Spec = s.spec()
	}
	if err := o.err(&k, a); err != nil {
		return nil, err
	}
	return page, nil
}

// specPath is the path of what the vault knows of a provider's API. No part of it
// is escaped: what is signed is the decoded path.
func specPath(kind SpecKind, provider string) (string, error) {
	if err := kind.check(); err != nil {
		return "", err
	}
	if strings.TrimSpace(provider) == "" || provider == "." || provider == ".." || strings.ContainsAny(provider, "/?#%\\") || hasControl(provider) {
		return "", invalid("provider %q: want its id, such as google", cut(provider))
	}
	return "/sdk/provider-specs/" + string(kind) + "/" + provider, nil
}
