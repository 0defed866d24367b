package altermcp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/alter-mcp/caddy-alter-mcp/internal/similar"
	"github.com/alter-mcp/caddy-alter-mcp/internal/toolblock"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
)

// table aligns columns.
type table struct{ *tabwriter.Writer }

func newTable(out io.Writer, head ...string) table {
	t := table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	t.add(head...)
	return t
}

// add adds a row. What the vault says is printed without what a terminal would
// obey.
func (t table) add(cells ...string) {
	for i, cell := range cells {
		cells[i] = cmp.Or(withoutControls(cell), "-")
	}
	_, _ = fmt.Fprintln(t, strings.Join(cells, "\t")) // Flush tells
}

// listProviders lists the providers with a text in what they are called.
func listProviders(ctx context.Context, c *alter.Client, out, log io.Writer, search string) error {
	providers, err := c.Catalogue(ctx)
	if err != nil {
		return err
	}
	specs, err := c.Specs(ctx, "")
	if err != nil {
		if _, err := fmt.Fprintln(log, "The vault does not say which APIs it describes:", err); err != nil {
			return err
		}
	}
	described := make(map[string]string)
	for _, s := range specs {
		described[s.Provider] = strconv.FormatInt(s.Operations, 10)
	}
	t := newTable(out, "NAME", "TITLE", "DEFAULT SCOPES", "API HOSTS", "OPERATIONS")
	found := 0
	for _, p := range append(providers, managed(specs)...) {
		if !strings.Contains(strings.ToLower(p.ID+"\n"+p.Title+"\n"+p.Category), strings.ToLower(search)) {
			continue
		}
		preset, _ := vaultclient.Preset(p.ID)
		t.add(p.ID, p.Title, strings.Join(p.DefaultScopes, " "), strings.Join(preset.APIHosts, " "), described[p.ID])
		found++
	}
	if found == 0 {
		return fmt.Errorf("no provider has %q in its name, title or category; there are %d", search, len(providers))
	}
	return t.Flush()
}

// managed returns the providers of managed secrets, which no catalogue has, as far
// as the vault describes their APIs.
func managed(specs []alter.Spec) []alter.CatalogueProvider {
	var out []alter.CatalogueProvider
	for _, s := range specs {
		if s.Kind == alter.SpecManaged {
			out = append(out, alter.CatalogueProvider{ID: s.Provider, Title: s.Title, Category: "managed secret"})
		}
	}
	return out
}

// catalogued is a provider whose API the vault may describe.
type catalogued struct {
	kind     alter.SpecKind // "" for whichever there is
	provider string
}

// of asks for something of a provider, of the other kind if there is none of the
// first.
func (p catalogued) of(ctx context.Context, c *alter.Client, ask func(alter.SpecKind) error) error {
	kinds := []alter.SpecKind{alter.SpecOAuth, alter.SpecManaged}
	if p.kind != "" {
		kinds = []alter.SpecKind{p.kind}
	}
	for _, kind := range kinds {
		err := ask(kind)
		var refused *alter.Error
		if !errors.As(err, &refused) || refused.Code != "provider_spec_not_found" {
			return err
		}
	}
	return p.unknown(ctx, c)
}

// unknown says of which providers the vault has a description instead.
func (p catalogued) unknown(ctx context.Context, c *alter.Client) error {
	specs, err := c.Specs(ctx, p.kind)
	if err != nil {
		return err
	}
	var names []string
	for _, s := range specs {
		names = append(names, s.Provider)
	}
	return fmt.Errorf("the vault has no description of the API of %q%s", p.provider, didYouMean(p.provider, names))
}

// listOperations lists the operations with a text in what they are called.
func listOperations(ctx context.Context, c *alter.Client, out io.Writer, p catalogued, search string) error {
	t := newTable(out, "OPERATION", "METHOD", "PATH", "SUMMARY")
	found := 0
	err := p.of(ctx, c, func(kind alter.SpecKind) error {
		for offset := 0; ; offset += alter.MaxOperationPage {
			page, err := c.Operations(ctx, kind, p.provider, alter.OperationFilter{Search: search, Offset: offset})
			if err != nil {
				return err
			}
			for _, o := range page.Operations {
				t.add(o.ID, o.Method, o.Path, o.Summary)
				found++
			}
			if !page.More || len(page.Operations) == 0 {
				return nil
			}
		}
	})
	switch {
	case err != nil:
		return err
	case found == 0 && search != "":
		return fmt.Errorf("no operation of %s has %q in its id, path or summary", p.provider, search)
	}
	return t.Flush()
}

// toolOptions are the flags of `tool`.
type toolOptions struct{ name, baseURL, schemaFile string }

// writeTool writes the tool of an operation.
func writeTool(ctx context.Context, c *alter.Client, out io.Writer, p catalogued, operation string, o toolOptions) error {
	var op *alter.OperationDetail
	err := p.of(ctx, c, func(kind alter.SpecKind) error {
		var err error
		op, err = c.OperationByID(ctx, kind, p.provider, operation)
		if code := new(alter.Error); errors.As(err, &code) && code.Code == "operation_not_found" {
			return unknownOperation(ctx, c, kind, p.provider, operation)
		}
		return err
	})
	if err != nil {
		return err
	}
	block, err := toolBlock(op, p.provider, o)
	if errors.Is(err, toolblock.ErrNoHost) {
		return fmt.Errorf("%w by --base-url, such as https://api.example.com", err)
	}
	if err != nil {
		return err
	}
	if block.Schema != nil {
		if err := os.WriteFile(o.schemaFile, block.Schema, 0o644); err != nil { //nolint:gosec // it is configuration, which Caddy reads as another user
			return fmt.Errorf("writing the schema: %w", err)
		}
	}
	_, err = io.WriteString(out, block.Text)
	return err
}

func toolBlock(op *alter.OperationDetail, provider string, o toolOptions) (*toolblock.Block, error) {
	file := o.schemaFile
	if file != "" {
		var err error
		if file, err = filepath.Abs(file); err != nil { // Caddy may run elsewhere
			return nil, fmt.Errorf("schema file: %w", err)
		}
	}
	return toolblock.Write(toolblock.Operation{
		ID: op.ID, Method: op.Method, Path: op.Path, Summary: op.Summary, Parameters: op.Parameters, Body: op.Request,
	}, toolblock.Options{Name: o.name, Provider: provider, BaseURL: cmp.Or(o.baseURL, publicAPI(provider)), SchemaFile: file})
}

// publicAPI is what the providers' own API documents have before the paths, for
// those of one API; "" for any other.
func publicAPI(provider string) string {
	switch provider {
	case "github":
		return "https://api.github.com"
	case "slack":
		return "https://slack.com/api"
	}
	return ""
}

// unknownOperation says which operations are called alike.
func unknownOperation(ctx context.Context, c *alter.Client, kind alter.SpecKind, provider, operation string) error {
	var ids []string
	for offset := 0; ; offset += alter.MaxOperationPage {
		page, err := c.Operations(ctx, kind, provider, alter.OperationFilter{Offset: offset})
		if err != nil {
			return err
		}
		for _, o := range page.Operations {
			ids = append(ids, o.ID)
		}
		if !page.More || len(page.Operations) == 0 {
			return fmt.Errorf("%s has no operation %q%s", provider, operation, didYouMean(operation, ids))
		}
	}
}

// didYouMean proposes names for one that there is none of, or "" if none is like
// it.
func didYouMean(name string, names []string) string {
	near := similar.Names(name, names)
	if len(near) == 0 {
		return ""
	}
	return "; did you mean " + withoutControls(strings.Join(near, ", ")) + "?"
}
