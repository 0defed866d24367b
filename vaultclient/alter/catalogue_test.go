package alter

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

func TestCatalogue(t *testing.T) {
	_, c := startVault(t, altertest.Config{Catalogue: []altertest.CatalogueItem{
		{ID: "b", Title: "B", Category: "mail", Scopes: []string{"read", "write"}, Defaults: []string{"read"}}, {ID: "a", Title: "A"},
	}})
	got, err := c.Catalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []CatalogueProvider{
		{ID: "a", Name: "a", Title: "A", Refresh: true, PKCE: true, Scopes: map[string]CatalogueScope{}, Status: "active"},
		{
			ID: "b", Name: "b", Title: "B", Category: "mail", Refresh: true, PKCE: true, DefaultScopes: []string{"read"}, Status: "active",
			Scopes: map[string]CatalogueScope{"read": {Description: "Scope read", Default: true}, "write": {Description: "Scope write"}},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("catalogue (-want +got):\n%s", diff)
	}
}

// Reading is repeated where an answer was lost or is to come later.
func TestCatalogueAgain(t *testing.T) {
	v, c := startVault(t, altertest.Config{})
	v.AddFault(altertest.Fault{Path: "/sdk/provider-specs/*", Cut: altertest.CutDone, Times: 2})
	v.AddFault(altertest.Fault{Path: "/sdk/provider-specs/*", Status: 503})
	page, err := c.Operations(t.Context(), SpecOAuth, "github", OperationFilter{})
	if err != nil || len(page.Operations) != 2 || page.Total != 2 || page.More || page.Spec.Provider != "github" {
		t.Errorf("%+v, %v", page, err)
	}
}

func TestCatalogueMalformed(t *testing.T) {
	const (
		spec    = `{"provider_kind":"oauth","provider_id":"x","version":1,"provenance":"p","content_hash":"h","operation_count":1,"fetched_at":"2026-01-01T00:00:00Z","changed_at":"2026-01-01T00:00:00Z"}`
		op      = `"operation_id":"o","method":"GET","path_template":"/"`
		page    = `"total":1,"limit":1,"offset":0,"has_more":false`
		entries = `{"id":"x","name":"x","display_name":"X","supports_refresh":true,"supports_pkce":true,"available_scopes":{},"default_scopes":[],"required_scopes":[],"status":"active"}`
	)
	calls := map[string]func(*Client) error{
		"catalogue": func(c *Client) error { _, err := c.Catalogue(t.Context()); return err },
		"specs":     func(c *Client) error { _, err := c.Specs(t.Context(), ""); return err },
		"operations": func(c *Client) error {
			_, err := c.Operations(t.Context(), SpecOAuth, "x", OperationFilter{})
			return err
		},
		"operation": func(c *Client) error { _, err := c.OperationByID(t.Context(), SpecOAuth, "x", "o"); return err },
	}
	for name, test := range map[string]struct {
		call, body string
		good       bool
	}{
		"a catalogue":                   {"catalogue", `{"providers":{"x":` + entries + `}}`, true},
		"an empty catalogue":            {"catalogue", `{"providers":{}}`, true},
		"no catalogue":                  {"catalogue", `{}`, false},
		"a list for a catalogue":        {"catalogue", `{"providers":[]}`, false},
		"a provider that is null":       {"catalogue", `{"providers":{"x":null}}`, false},
		"a provider without a title":    {"catalogue", `{"providers":{"x":` + strings.Replace(entries, `"X"`, `""`, 1) + `}}`, false},
		"a provider without scopes":     {"catalogue", `{"providers":{"x":` + strings.Replace(entries, `"available_scopes":{},`, "", 1) + `}}`, false},
		"specs":                         {"specs", `{"items":[` + spec + `],"total":1}`, true},
		"no specs":                      {"specs", `{"total":1}`, false},
		"a spec of nothing":             {"specs", `{"items":[{}],"total":1}`, false},
		"operations":                    {"operations", `{"items":[{` + op + `}],` + page + `,"spec":` + spec + `}`, true},
		"operations without a spec":     {"operations", `{"items":[{` + op + `}],` + page + `}`, false},
		"an operation without a method": {"operations", `{"items":[{"operation_id":"o","path_template":"/"}],` + page + `,"spec":` + spec + `}`, false},
		"an operation":                  {"operation", `{` + op + `,"params_schema":[{"name":"q"}],"request_schema":null,"spec":` + spec + `}`, true},
		"parameters that are no list":   {"operation", `{` + op + `,"params_schema":{},"spec":` + spec + `}`, false},
		"a parameter that is null":      {"operation", `{` + op + `,"params_schema":[null],"spec":` + spec + `}`, false},
		"a body that is no schema":      {"operation", `{` + op + `,"request_schema":"x","spec":` + spec + `}`, false},
		"a page of HTML":                {"operation", `<html>`, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := calls[test.call](newTestClient(t, Config{Vault: canned{http.StatusOK, []byte(test.body)}}))
			if test.good {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantKind(t, err, ErrMalformed)
		})
	}
}

// What the vault could not tell from another path is not asked for.
func TestCatalogueInvalid(t *testing.T) {
	c := newTestClient(t, Config{Vault: canned{http.StatusOK, nil}})
	for name, call := range map[string]func() error{
		"a kind":              func() error { _, err := c.Specs(t.Context(), "ouath"); return err },
		"a provider of parts": func() error { _, err := c.OperationByID(t.Context(), SpecOAuth, "a/b", "o"); return err },
		"a provider of dots":  func() error { _, err := c.OperationByID(t.Context(), SpecOAuth, "..", "o"); return err },
		"no operation":        func() error { _, err := c.OperationByID(t.Context(), SpecOAuth, "a", " "); return err },
		"a long operation": func() error {
			_, err := c.OperationByID(t.Context(), SpecOAuth, "a", strings.Repeat("x", 513))
			return err
		},
		"a long search": func() error {
			_, err := c.Operations(t.Context(), SpecOAuth, "a", OperationFilter{Search: strings.Repeat("x", 201)})
			return err
		},
		"a large page": func() error {
			_, err := c.Operations(t.Context(), SpecOAuth, "a", OperationFilter{Limit: 501})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) { wantKind(t, call(), ErrInvalid) })
	}
}

func TestOperationSchemas(t *testing.T) {
	_, c := startVault(t, altertest.Config{})
	o, err := c.OperationByID(t.Context(), SpecOAuth, "github", "issues/create")
	if err != nil {
		t.Fatal(err)
	}
	if o.Method != "POST" || o.Path != "/repos/{owner}/{repo}/issues" || len(o.Parameters) != 2 || !json.Valid(o.Request) || o.Response != nil {
		t.Errorf("%+v", o)
	}
}
