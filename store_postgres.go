package altermcp

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/alter-mcp/caddy-alter-mcp/store"
)

func init() {
	caddy.RegisterModule(Postgres{})
}

// maxSchemaName is the longest name of PostgreSQL, in bytes; it would cut off the
// rest.
const maxSchemaName = 63

// Postgres keeps everything in a PostgreSQL database, version 13 or newer, which
// any number of nodes share. They need the same `encryption_key`.
type Postgres struct {
	// The URL of the database, such as
	// `postgres://user:password@host:5432/database?sslmode=verify-full`;
	// placeholders are allowed. Several hosts, with commas between them, are tried
	// in that order until one takes writes. It is connected to directly or through
	// a pooler in session mode.
	URL string `json:"url,omitempty"`

	// How many connections this node opens at most, from 2 to 1000: one writes,
	// the others read. Default: 10.
	Connections int `json:"connections,omitempty"`

	// The schema that holds the tables, made if need be; placeholders are allowed.
	// Default: the first of the role's search_path, such as `public`.
	Schema string `json:"schema,omitempty"`

	url, schema string
}

// CaddyModule implements caddy.Module.
func (Postgres) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.alter_mcp.stores.postgres",
		New: func() caddy.Module { return new(Postgres) },
	}
}

// Provision resolves and checks the settings. It makes no connection.
func (p *Postgres) Provision(caddy.Context) error {
	var err error
	if p.url, err = expandSecret("store postgres", p.URL); err != nil {
		return err
	}
	if err := store.CheckPostgresURL(p.url); err != nil {
		return fmt.Errorf("store postgres: %w", err)
	}
	if p.Connections == 0 {
		p.Connections = store.DefaultConnections
	}
	if p.Connections < store.MinConnections || p.Connections > store.MaxConnections {
		return fmt.Errorf("store postgres: connections %d: want %d to %d", p.Connections, store.MinConnections, store.MaxConnections)
	}
	if p.schema, err = expand("store postgres: schema", p.Schema); err != nil {
		return err
	}
	if p.Schema != "" && p.schema == "" || len(p.schema) > maxSchemaName {
		return fmt.Errorf("store postgres: schema: want a name of 1 to %d bytes", maxSchemaName)
	}
	return nil
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Syntax:
//
//	store postgres <url> {
//	    connections <n>
//	    schema      <name>
//	}
func (p *Postgres) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // module name
	if !d.Args(&p.URL) {
		return d.Err("store postgres needs the URL of the database, as in `store postgres {env.DATABASE_URL}`")
	}
	if d.NextArg() { // an error that shows it might show a password
		return d.Err("store postgres takes one value, the URL of the database; quote one with blanks")
	}
	seen := once{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := seen.check(d); err != nil {
			return err
		}
		var err error
		switch d.Val() {
		case "connections":
			err = p.unmarshalConnections(d)
		case "schema":
			err = oneArg(d, &p.Schema)
		default:
			err = unknown(d, "store postgres", "connections", "schema")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *Postgres) unmarshalConnections(d *caddyfile.Dispenser) error {
	var text string
	if err := oneArg(d, &text); err != nil {
		return err
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < store.MinConnections || n > store.MaxConnections {
		return d.Errf("connections %q: want %d to %d", text, store.MinConnections, store.MaxConnections)
	}
	p.Connections = n
	return nil
}

// dsn has all settings: a configuration with others opens connections of its own.
func (p *Postgres) dsn() string {
	return fmt.Sprintf("postgres|%d|%q|%s", p.Connections, p.schema, p.url)
}

func (p *Postgres) isShared() bool { return true }

// exists is not asked: a shared store has a configured key.
func (p *Postgres) exists() (bool, error) {
	return false, errors.New("store postgres: encryption_key is missing")
}

func (p *Postgres) open(ctx context.Context, o store.Options) (*store.DB, error) {
	return store.OpenPostgres(ctx, p.url, store.PostgresOptions{Options: o, Connections: p.Connections, Schema: p.schema})
}

// Interface guards
var (
	_ caddy.Provisioner     = (*Postgres)(nil)
	_ caddyfile.Unmarshaler = (*Postgres)(nil)
	_ storeModule           = (*Postgres)(nil)
)
