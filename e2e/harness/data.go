package harness

import (
	"io/fs"
	"os"
	"path/filepath"
)

// database is the file of the store below Caddy's data folder.
const database = "alter_mcp.db"

// Database returns where the server keeps its store.
func (d *Daemon) Database() string {
	d.t.Helper()
	var found string
	err := filepath.WalkDir(d.dir, func(path string, _ fs.DirEntry, err error) error {
		if filepath.Base(path) == database {
			found = path
		}
		return err
	})
	if err != nil || found == "" {
		d.t.Fatalf("finding %s: %q, %v", database, found, err)
	}
	return found
}

// RestoreDatabase puts another file in the place of the store while the server is
// down, as an operator does with a backup.
func (d *Daemon) RestoreDatabase(from string) {
	d.t.Helper()
	to := d.Database()
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.RemoveAll(to + suffix); err != nil {
			d.t.Fatalf("removing the old store: %v", err)
		}
	}
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, content, 0o600)
	}
	if err != nil {
		d.t.Fatalf("restoring the store: %v", err)
	}
}
