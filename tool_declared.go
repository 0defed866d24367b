package altermcp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/alter-mcp/caddy-alter-mcp/mcphandler"
)

func init() {
	caddy.RegisterModule(DeclaredTool{})
}

// DeclaredTool is a tool that is made of words: its inputs, and either a text to
// respond with or one HTTP request.
type DeclaredTool struct {
	mcphandler.DeclaredConfig

	// Who may see and call the tool.
	Rules

	// How long a call may take. At most 10m. Default: 30s.
	CallTimeout caddy.Duration `json:"timeout,omitempty"`

	// A file with the JSON Schema for the arguments, in place of `input_schema`.
	InputSchemaFile string `json:"input_schema_file,omitempty"`

	// A file with the JSON Schema for the result, in place of `output_schema`.
	OutputSchemaFile string `json:"output_schema_file,omitempty"`

	tool *mcphandler.Declared
}

// CaddyModule implements caddy.Module.
func (DeclaredTool) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.alter_mcp.tools.declared",
		New: func() caddy.Module { return new(DeclaredTool) },
	}
}

// Provision reads the schema files.
func (t *DeclaredTool) Provision(caddy.Context) error {
	t.Timeout = time.Duration(t.CallTimeout)
	for _, f := range []struct {
		setting, file string
		schema        *json.RawMessage
	}{
		{"input_schema", t.InputSchemaFile, &t.InputSchema},
		{"output_schema", t.OutputSchemaFile, &t.OutputSchema},
	} {
		if f.file == "" {
			continue
		}
		if len(*f.schema) > 0 {
			return fmt.Errorf("tool %s: both %s and %s_file are set", t.Name, f.setting, f.setting)
		}
		path, err := expandSecret(f.setting, f.file)
		if err != nil {
			return fmt.Errorf("tool %s: %w", t.Name, err)
		}
		if *f.schema, err = os.ReadFile(path); err != nil {
			return fmt.Errorf("tool %s: %s: %w", t.Name, f.setting, err)
		}
	}
	return nil
}

// Target returns scheme and host of the tool's requests, or nil.
func (t *DeclaredTool) Target() *url.URL { return t.tool.Target() }

// ToolName implements providerUser.
func (t *DeclaredTool) ToolName() string { return t.Name }

// NeededProvider implements providerUser.
func (t *DeclaredTool) NeededProvider() string { return t.Provider }

// GrantNeeds implements grantUser.
func (t *DeclaredTool) GrantNeeds() *mcphandler.GrantConfig { return &t.GrantConfig }

// IdentityNeed implements identityUser.
func (t *DeclaredTool) IdentityNeed() *mcphandler.SignedIdentity { return t.SignedIdentity }

// ToolRules implements ruledTool.
func (t *DeclaredTool) ToolRules() *Rules { return &t.Rules }

// UseUpstream implements upstreamUser: only now can the tool be made.
func (t *DeclaredTool) UseUpstream(up mcphandler.Upstream) error {
	var err error
	t.tool, err = mcphandler.NewDeclared(t.DeclaredConfig, up, mcphandler.DeclaredOptions{Expand: expandName})
	return err
}

// Describe implements [mcphandler.Tool].
func (t *DeclaredTool) Describe() mcphandler.Description { return t.tool.Describe() }

// Call implements [mcphandler.Tool].
func (t *DeclaredTool) Call(ctx context.Context, c *mcphandler.Call) (*mcphandler.Result, error) {
	return t.tool.Call(ctx, c)
}

// Interface guards
var (
	_ caddy.Provisioner     = (*DeclaredTool)(nil)
	_ caddyfile.Unmarshaler = (*DeclaredTool)(nil)
	_ mcphandler.Tool       = (*DeclaredTool)(nil)
	_ upstreamUser          = (*DeclaredTool)(nil)
	_ providerUser          = (*DeclaredTool)(nil)
	_ grantUser             = (*DeclaredTool)(nil)
	_ identityUser          = (*DeclaredTool)(nil)
	_ ruledTool             = (*DeclaredTool)(nil)
	_ targetedTool          = (*DeclaredTool)(nil)
)
