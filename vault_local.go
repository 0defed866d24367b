package altermcp

import (
	"fmt"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/alter-mcp/caddy-alter-mcp/mcphandler"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/local"
)

func init() {
	caddy.RegisterModule(LocalVault{})
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

func (v *LocalVault) ownsClients() bool { return false }

// checkGrant implements vaultModule: a label tells a person's grants apart, all
// else is of a vault that is a service.
func (v *LocalVault) checkGrant(g *mcphandler.GrantConfig) error {
	for _, s := range []struct {
		name string
		set  bool
	}{
		{"account", g.Account != ""},
		{"agent", g.Agent != ""},
		{"mode", g.Mode != ""},
		{"reason", g.Reason != ""},
		{"constraints", len(g.Constraints) > 0},
		{"vault_rule", g.VaultRule != nil},
	} {
		if s.set {
			return fmt.Errorf("%s: vault local has no such thing, only vault alter; to tell a person's accounts apart use label", s.name)
		}
	}
	return nil
}

func (v *LocalVault) open(h *vaultHouse) (vault, error) {
	vault, err := local.New(local.Config{
		Endpoint: endpointOf, Providers: h.providers, Store: h.realm, Sealer: h.state.sealer,
		Browser: h.browser(), Renewals: &h.state.renewals, Pages: h.pages, HTTP: h.base,
		LinkLifetime: h.lifetime, Record: metrics.countVault, Logger: h.logger,
	})
	if err != nil {
		return nil, err
	}
	out := &localVault{Vault: vault, transports: make(map[string]*vaultclient.Transport, len(h.providers))}
	for name, p := range h.providers {
		out.transports[name] = &vaultclient.Transport{Provider: p, Vault: vault, Base: h.base}
	}
	return out, nil
}

// localVault is the embedded vault of an endpoint that serves.
type localVault struct {
	*local.Vault
	transports map[string]*vaultclient.Transport
}

// close implements vault: what runs is the state's.
func (v *localVault) close() {}

// Send implements vault.
func (v *localVault) Send(caller *mcphandler.Caller, need mcphandler.Need, req *http.Request) (*http.Response, error) {
	transport := v.transports[need.Provider]
	grant := vaultclient.Request{UserID: caller.UserID, Provider: need.Provider, Label: need.Label, Scopes: need.Scopes}
	resp, err := transport.Send(req, grant)
	if err != nil {
		return nil, vaultError(err, transport.Provider, func() (string, error) { return v.ConnectURL(caller.Endpoint, grant) })
	}
	return resp, nil
}

// Interface guards
var (
	_ caddyfile.Unmarshaler = (*LocalVault)(nil)
	_ vaultModule           = (*LocalVault)(nil)
	_ vault                 = (*localVault)(nil)
)
