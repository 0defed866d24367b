package store

import (
	"errors"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/local"
)

// testKeyset seals by its first key and opens by all.
type testKeyset []testSealer

func (k testKeyset) Seal(plaintext, ad []byte) ([]byte, error) { return k[0].Seal(plaintext, ad) }

func (k testKeyset) Open(sealed, ad []byte) ([]byte, error) {
	var errs []error
	for _, key := range k {
		plain, err := key.Open(sealed, ad)
		if err == nil {
			return plain, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// keyed are the options for keys of these names, the current one first.
func keyed(current string, older ...string) Options {
	keys := testKeyset{newSealer(current)}
	for _, key := range older {
		keys = append(keys, newSealer(key))
	}
	return Options{Sealer: keys, Fingerprint: current, Older: older}
}

// wantSealed fails the test unless the database at path opens, and all in it.
func wantSealed(t *testing.T, path string, o Options) {
	t.Helper()
	db, err := OpenSQLite(t.Context(), path, o)
	must(t, "OpenSQLite", err)
	for row, err := range readSealed(t, db) {
		must(t, row, err)
	}
	must(t, "Close", db.Close())
}

// TestReseal changes the key while people write: with both keys all is readable,
// and after Reseal with the new one alone. Security VAULT-05.
func TestReseal(t *testing.T) {
	const people = 3 * resealPage / 2
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "alter.db")
	db, err := OpenSQLite(ctx, path, keyed("old"))
	must(t, "OpenSQLite", err)
	fillSealed(t, db)
	grants := make([]*local.Grant, people)
	for i := range grants {
		grants[i] = &local.Grant{UserID: strconv.Itoa(i), Provider: "google", AccessToken: vaultclient.NewSecret("0")}
		must(t, "PutGrant", db.Realm("crowd").PutGrant(ctx, grants[i]))
	}
	must(t, "Reseal without another key", db.Reseal(ctx))
	must(t, "Close", db.Close())

	wantSealed(t, path, keyed("new", "old"))
	wantSealed(t, path, keyed("old", "new")) // the operator had second thoughts
	for _, o := range []Options{keyed("new"), keyed("old"), keyed("third", "new")} {
		_, err := OpenSQLite(ctx, path, o)
		wantErr(t, "OpenSQLite without a key of the database", err, ErrOtherKeyset)
	}

	db, err = OpenSQLite(ctx, path, keyed("new", "old"))
	must(t, "OpenSQLite", err)
	var writers sync.WaitGroup
	for _, g := range grants {
		writers.Go(func() {
			for range 3 {
				g.AccessToken = vaultclient.NewSecret(strconv.FormatInt(g.Version, 10))
				if err := db.Realm("crowd").PutGrant(ctx, g); err != nil {
					t.Errorf("PutGrant during Reseal: %v", err)
				}
			}
		})
	}
	must(t, "Reseal", db.Reseal(ctx))
	writers.Wait()
	must(t, "Reseal again", db.Reseal(ctx))
	must(t, "Close", db.Close())

	wantSealed(t, path, keyed("new"))
	db, err = OpenSQLite(ctx, path, keyed("new"))
	must(t, "OpenSQLite", err)
	defer func() { must(t, "Close", db.Close()) }()
	for _, g := range grants {
		got, err := db.Realm("crowd").Grant(ctx, g.UserID, "google", "")
		if err != nil || got.Damaged != nil || got.Version != 4 || got.AccessToken.Reveal() != "3" {
			t.Fatalf("grant of %s = %+v, %v; want its third change", g.UserID, got, err)
		}
	}
}

// TestResealLeavesWhatIsDamaged: one row that does not open holds up nothing, and
// is not overwritten.
func TestResealLeavesWhatIsDamaged(t *testing.T) {
	ctx, path := t.Context(), filepath.Join(t.TempDir(), "alter.db")
	db, err := OpenSQLite(ctx, path, keyed("old"))
	must(t, "OpenSQLite", err)
	fillSealed(t, db)
	must(t, "Close", db.Close())
	editFile(t, path, `UPDATE users SET sealed = x'00' WHERE realm = 'a' AND id = 'bob'`)

	db, err = OpenSQLite(ctx, path, keyed("new", "old"))
	must(t, "OpenSQLite", err)
	must(t, "Reseal", db.Reseal(ctx))
	must(t, "Close", db.Close())
	db, err = OpenSQLite(ctx, path, keyed("new"))
	must(t, "OpenSQLite", err)
	defer func() { must(t, "Close", db.Close()) }()
	errs := readSealed(t, db)
	wantErr(t, "the damaged row", errs["a user bob"], ErrDamaged)
	if errors.Is(errs["a user bob"], authserver.ErrNotFound) {
		t.Error("the damaged row is gone")
	}
	delete(errs, "a user bob")
	for row, err := range errs {
		must(t, row, err)
	}
}
