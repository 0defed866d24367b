package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// fillDisk lets the files of a database grow no further, as a full disk does,
// then lets them grow again. The limit holds for the whole process.
func fillDisk(ctx context.Context, db *DB) error {
	signal.Ignore(syscall.SIGXFSZ) // so that writes fail with EFBIG
	r := db.Realm("realm")
	large := strings.Repeat("x", 64<<10)
	add := func(id string) error {
		return r.AddClient(ctx, &authserver.Client{ID: id, Name: large}, 1<<30)
	}
	if err := add("before"); err != nil {
		return err
	}

	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		return err
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 1 << 20, Max: old.Max}); err != nil {
		return err
	}
	failed := map[string]bool{}
	for i := 0; len(failed) < 5; i++ {
		id := fmt.Sprint("during", i)
		if err := add(id); err != nil {
			failed[id] = true
		}
		if i > 100 {
			return errors.New("writes go on with a full disk")
		}
	}
	if _, err := r.Client(ctx, "before"); err != nil {
		return fmt.Errorf("reading with a full disk: %w", err)
	}

	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		return err
	}
	if err := add("after"); err != nil {
		return fmt.Errorf("writing when there is room again: %w", err)
	}
	for id := range failed {
		if _, err := r.Client(ctx, id); !errors.Is(err, authserver.ErrNotFound) {
			return fmt.Errorf("client %s of a failed write: %v, want ErrNotFound", id, err)
		}
	}
	return db.Close()
}

// openBare opens a database while the process's umask takes every right away,
// writes, and ends without closing it, so that the files stay as they are.
func openBare(ctx context.Context, path string) error {
	syscall.Umask(0o777)
	db, err := OpenSQLite(ctx, path, testOptions())
	if err != nil {
		return err
	}
	return db.Realm("realm").EndSession(ctx, "id", at())
}

// Security VAULT-07.
func TestUmaskDoesNotMatter(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a")
	path := filepath.Join(dir, "b", "alter.db")
	must(t, "child", childCommand(t, "bare", path).Run())
	for name, want := range map[string]fs.FileMode{
		dir: 0o700, filepath.Dir(path): 0o700,
		path: 0o600, path + "-wal": 0o600, path + "-shm": 0o600, path + ".lock": 0o600,
	} {
		info, err := os.Stat(name)
		must(t, "Stat", err)
		if got := info.Mode().Perm(); got != want {
			t.Errorf("mode of %s = %o, want %o", name, got, want)
		}
	}
}

// Security CRASH-06.
func TestDiskFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alter.db")
	must(t, "child", childCommand(t, "full", path).Run())
	r := openTest(t, path).Realm("realm")
	for _, id := range []string{"before", "during0", "after"} {
		if _, err := r.Client(t.Context(), id); err != nil {
			t.Errorf("client %s after the disk was full: %v", id, err)
		}
	}
}
