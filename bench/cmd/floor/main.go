// Command floor is Caddy with a handler that does the least that a multi-user
// MCP server has to do: what alter_mcp costs beyond it is its own.
package main

import (
	"errors"
	"net/http"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/peer"
)

func init() {
	caddy.RegisterModule(floor{})
	httpcaddyfile.RegisterHandlerDirective("bench_floor", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		f := new(floor)
		return f, f.UnmarshalCaddyfile(h.Dispenser)
	})
	httpcaddyfile.RegisterDirectiveOrder("bench_floor", httpcaddyfile.Before, "respond")
}

// floor answers tools/call with one request to the provider, for whoever has a
// good token. A verified token is kept.
type floor struct {
	Provider string `json:"provider,omitempty"` // origin
	Key      string `json:"key,omitempty"`      // PEM file

	handler http.Handler
}

// CaddyModule implements caddy.Module.
func (floor) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.bench_floor", New: func() caddy.Module { return new(floor) }}
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Syntax:
//
//	bench_floor <provider> <key file>
func (f *floor) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // directive name
	if !d.Args(&f.Provider, &f.Key) {
		return d.ArgErr()
	}
	return nil
}

// Provision implements caddy.Provisioner.
func (f *floor) Provision(caddy.Context) error {
	if f.Provider == "" || f.Key == "" {
		return errors.New("provider and key are required")
	}
	var err error
	f.handler, err = peer.HandWritten(f.Provider, f.Key, true)
	return err
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (f *floor) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	f.handler.ServeHTTP(w, r)
	return nil
}

func main() { caddycmd.Main() }

// Interface guards
var (
	_ caddy.Provisioner           = (*floor)(nil)
	_ caddyhttp.MiddlewareHandler = (*floor)(nil)
	_ caddyfile.Unmarshaler       = (*floor)(nil)
)
