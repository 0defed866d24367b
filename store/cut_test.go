package store

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// wholeFamilies is how many families the tests of broken files write.
const wholeFamilies = 40

// wholeFile returns a database file, as it is after Close, and its families.
func wholeFile(t *testing.T) ([]byte, []*authserver.Family) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "alter.db")
	db, err := OpenSQLite(t.Context(), path, testOptions())
	must(t, "OpenSQLite", err)
	var families []*authserver.Family
	for i := range wholeFamilies {
		families = append(families, familyFor(t, db.Realm("realm"), strconv.Itoa(i)))
	}
	must(t, "Close", db.Close())
	file, err := os.ReadFile(path)
	must(t, "ReadFile", err)
	return file, families
}

// tryOpen opens a file; if that is refused it must be as damaged, by name, and
// the file must be as it was.
func tryOpen(t *testing.T, file []byte) *DB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "alter.db")
	must(t, "WriteFile", os.WriteFile(path, file, 0o600))
	db, err := OpenSQLite(t.Context(), path, testOptions())
	if err == nil {
		t.Cleanup(func() { _ = db.Close() }) // SQLite may complain of the damage once more
		return db
	}
	if !errors.Is(err, ErrBroken) || !strings.Contains(err.Error(), path) {
		t.Errorf("OpenSQLite = %v, want ErrBroken and the path", err)
	}
	after, err := os.ReadFile(path)
	must(t, "ReadFile", err)
	if string(after) != string(file) {
		t.Error("the refused process changed the file")
	}
	return nil
}

// TestCutDatabase cuts the database file itself, as no crash does but a broken
// disk or a half copied backup: it is refused, never taken for a new one.
//
// Security CRASH-05.
func TestCutDatabase(t *testing.T) {
	whole, _ := wholeFile(t)
	if tryOpen(t, whole) == nil {
		t.Fatal("the whole file is refused")
	}
	cuts := []int{1, 15, 16, 17, 99, 100, 511, 512, 513, len(whole) - 1}
	for at := 1023; at < len(whole); at += 1023 { // within pages, and near their edges
		cuts = append(cuts, at)
	}
	for at := 4096; at < len(whole); at += 4096 {
		cuts = append(cuts, at)
	}
	for _, at := range cuts {
		if tryOpen(t, whole[:at]) != nil {
			t.Errorf("a database of %d bytes is opened when cut at %d, want ErrBroken", len(whole), at)
		}
	}
}

// TestLostPage loses one page of the database after the other: whatever is still
// read is right, and rows on other pages are read.
//
// Security CRASH-05.
func TestLostPage(t *testing.T) {
	whole, families := wholeFile(t)
	const page = 4096
	refused, read, lost, mixed := 0, 0, 0, 0
	for at := page; at < len(whole); at += page {
		file := append([]byte(nil), whole...)
		clear(file[at : at+page])
		db := tryOpen(t, file)
		if db == nil {
			refused++
			continue
		}
		good := 0
		for _, want := range families {
			got, err := db.Realm("realm").Family(t.Context(), want.ID)
			if err != nil {
				continue
			}
			good++
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("page at %d lost: family %s differs (-want +got):\n%s", at, want.ID, diff)
			}
		}
		read, lost = read+good, lost+len(families)-good
		if good > 0 && good < len(families) {
			mixed++
		}
	}
	t.Logf("%d starts refused; %d rows read, %d lost; %d times some of each", refused, read, lost, mixed)
	if read == 0 || lost == 0 || mixed == 0 {
		t.Error("no lost page took some rows and left the others, want so")
	}
}
