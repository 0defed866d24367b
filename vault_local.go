package altermcp

import (
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/local"
)

func init() {
	caddy.RegisterModule(LocalVault{})
}

// vaultModule is a guest of http.alter_mcp.vaults: where grants are kept.
type vaultModule interface {
	open(cfg local.Config) (vault, error)
}

// vault is an open vault with its pages.
type vault interface {
	vaultclient.Vault
	// ConnectURL returns the page where the person of req connects or widens a
	// grant.
	ConnectURL(endpoint string, req vaultclient.Request) (string, error)

	ServeConnect(w http.ResponseWriter, r *http.Request)
	ServeCallback(w http.ResponseWriter, r *http.Request)
	ServeAccount(w http.ResponseWriter, r *http.Request)
}

// LocalVault keeps grants sealed in the endpoint's own store. It is the
// embedded default.
type LocalVault struct{}

// CaddyModule implements caddy.Module.
func (LocalVault) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.alter_mcp.vaults.local",
		New: func() caddy.Module { return new(LocalVault) },
	}
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Syntax:
//
//	vault local
func (v *LocalVault) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // module name
	if d.NextArg() {
		return d.ArgErr()
	}
	if d.NextBlock(d.Nesting()) {
		return d.Errf("vault local has no setting %q", d.Val())
	}
	return nil
}

func (v *LocalVault) open(cfg local.Config) (vault, error) { return local.New(cfg) }

// Interface guards
var (
	_ caddyfile.Unmarshaler = (*LocalVault)(nil)
	_ vaultModule           = (*LocalVault)(nil)
)
