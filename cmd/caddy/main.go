// Command caddy is Caddy with its standard modules, alter_mcp, and the demo
// provider.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/alter-mcp/caddy-alter-mcp"
	_ "github.com/alter-mcp/caddy-alter-mcp/demo"
)

func main() {
	caddycmd.Main()
}
