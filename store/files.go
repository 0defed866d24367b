package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

const (
	folderMode = 0o700
	fileMode   = 0o600
)

// makeFolders creates dir and what is missing above it. Modes are set after
// creation, because the process's umask would take bits away from them.
func makeFolders(dir string) error {
	switch info, err := os.Stat(dir); {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return fmt.Errorf("creating folder %s: there is a file of that name", dir)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("creating folder: %w", err)
	}
	if err := makeFolders(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("creating folder: %w", err)
	}
	if err := os.Chmod(dir, folderMode); err != nil {
		return fmt.Errorf("creating folder: %w", err)
	}
	syncFolder(filepath.Dir(dir))
	return nil
}

// makePrivate creates the file if it is missing and takes all rights from
// others. SQLite gives the files that it adds the mode of the database.
func makePrivate(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return fmt.Errorf("opening database: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("opening database: %w", err)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Chmod(path+suffix, fileMode); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("setting mode of database: %w", err)
		}
	}
	syncFolder(filepath.Dir(path))
	return nil
}

// syncFolder makes new names in dir durable, where the platform can do that.
func syncFolder(dir string) {
	f, err := os.Open(dir)
	if err != nil {
		return
	}
	_ = f.Sync()
	_ = f.Close()
}

// lockBeside takes the lock file of the database at path, or returns
// [ErrLocked]. The file stays when the lock is given up: removing it would let
// two processes hold locks on different files of one name.
func lockBeside(path string) (*flock.Flock, error) {
	l := flock.New(path + ".lock")
	ok, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("locking database: %w", err)
	}
	if !ok {
		return nil, fmt.Errorf("database %s: %w", path, ErrLocked)
	}
	if err := os.Chmod(l.Path(), fileMode); err != nil {
		return nil, errors.Join(fmt.Errorf("locking database: %w", err), l.Close())
	}
	return l, nil
}
