package altermcp

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/alter-mcp/caddy-alter-mcp/store"
)

func init() {
	caddy.RegisterModule(SQLite{})
}

// SQLite keeps everything in one file. It is the embedded default: no service
// is needed, and one Caddy process at a time uses it.
type SQLite struct {
	// The database file; placeholders are allowed. It is made if need be, with
	// its folder, for the user of the process alone.
	// Default: `alter_mcp/alter_mcp.db` in Caddy's data directory.
	Path string `json:"path,omitempty"`

	file string
}

// CaddyModule implements caddy.Module.
func (SQLite) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.alter_mcp.stores.sqlite",
		New: func() caddy.Module { return new(SQLite) },
	}
}

// Provision resolves the path.
func (s *SQLite) Provision(caddy.Context) error {
	path := filepath.Join(caddy.AppDataDir(), "alter_mcp", "alter_mcp.db")
	if s.Path != "" {
		var err error
		if path, err = expandSecret("store sqlite", s.Path); err != nil {
			return err
		}
	}
	var err error
	s.file, err = filepath.Abs(path)
	return err
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Syntax:
//
//	store sqlite [<path>]
func (s *SQLite) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // module name
	if d.NextArg() {
		s.Path = d.Val()
	}
	if d.NextArg() {
		return d.ArgErr()
	}
	if d.NextBlock(d.Nesting()) {
		return d.Errf("store sqlite has no setting %q; want only a path", d.Val())
	}
	return nil
}

func (s *SQLite) dsn() string { return "sqlite|" + s.file }

func (s *SQLite) isShared() bool { return false }

func (s *SQLite) exists() (bool, error) {
	info, err := os.Stat(s.file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.Size() > 0, err
}

func (s *SQLite) open(ctx context.Context, o store.Options) (*store.DB, error) {
	return store.OpenSQLite(ctx, s.file, o)
}

// Interface guards
var (
	_ caddy.Provisioner     = (*SQLite)(nil)
	_ caddyfile.Unmarshaler = (*SQLite)(nil)
	_ storeModule           = (*SQLite)(nil)
)
