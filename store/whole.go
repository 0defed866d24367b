package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// leastDatabase is the smallest database file, in bytes: one page of the least
// size that SQLite has.
const leastDatabase = 512

// checkWhole returns [ErrBroken] for a database file that was cut within a page.
// SQLite takes what is missing for zeros, and a file of a few bytes for a new
// one, in which everybody would be forgotten without a word. A file with a log
// beside it is SQLite's to mend: a crash may have cut it. An empty file is what
// a first start leaves that was interrupted.
func checkWhole(path string) error {
	for _, suffix := range []string{"-wal", "-journal"} {
		if info, err := os.Stat(path + suffix); err == nil && info.Size() > 0 {
			return nil
		}
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return err
	}
	if info.Size() < leastDatabase {
		return fmt.Errorf("%w: it has %d bytes", ErrBroken, info.Size())
	}
	header := make([]byte, 18) // SQLite file format, section 1.3
	if _, err := io.ReadFull(f, header); err != nil {
		return err
	}
	page := int64(binary.BigEndian.Uint16(header[16:]))
	if page == 1 {
		page = 65536
	}
	if page < leastDatabase || info.Size()%page != 0 {
		return fmt.Errorf("%w: it has %d bytes, which are no whole pages of %d", ErrBroken, info.Size(), page)
	}
	return nil
}

// diagnose adds [ErrBroken] to the error of a database that could not be opened
// if damage is why. SQLite may have met it as something else, such as a table
// that it cannot find and cannot make.
func diagnose(ctx context.Context, db *sql.DB, err error) error {
	var verdict string
	checkErr := db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&verdict)
	if isBroken(err) || isBroken(checkErr) || checkErr == nil && verdict != "ok" {
		return fmt.Errorf("%w: %w", ErrBroken, err)
	}
	return err
}

// isBroken reports whether an error of SQLite means damage.
func isBroken(err error) bool {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	code := e.Code() & 0xff // without the extension
	return code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB
}
