package store

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
	authtest "github.com/alter-mcp/caddy-alter-mcp/authserver/storetest"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/spooltest"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/local"
	vaulttest "github.com/alter-mcp/caddy-alter-mcp/vaultclient/local/storetest"
)

// childEnv makes the test binary a child process of a test. Its value is what
// the child does.
const childEnv = "STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if what := os.Getenv(childEnv); what != "" {
		if err := child(what, os.Getenv("STORE_TEST_PATH")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// testSealer seals with AES-GCM, as the real one does.
type testSealer struct{ aead *subtle.AESGCM }

func newSealer(key string) testSealer {
	sum := sha256.Sum256([]byte(key))
	aead, err := subtle.NewAESGCM(sum[:])
	if err != nil {
		panic(err)
	}
	return testSealer{aead}
}

func (s testSealer) Seal(plaintext, ad []byte) ([]byte, error) { return s.aead.Encrypt(plaintext, ad) }
func (s testSealer) Open(sealed, ad []byte) ([]byte, error)    { return s.aead.Decrypt(sealed, ad) }

func testOptions() Options {
	return Options{Sealer: newSealer("key"), Fingerprint: "fingerprint"}
}

// openTest opens the database at path until the test ends.
func openTest(t testing.TB, path string) *DB {
	t.Helper()
	db, err := OpenSQLite(t.Context(), path, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return db
}

// newTest opens an empty database.
func newTest(t testing.TB) *DB {
	t.Helper()
	return openTest(t, filepath.Join(t.TempDir(), "alter.db"))
}

// must fails the test at once if err is not nil.
func must(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// wantErr fails the test if err is not want.
func wantErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s = %v, want %v", what, err, want)
	}
}

// at is the time of tests, in the precision of the store.
func at() time.Time {
	return time.Now().UTC().Truncate(time.Millisecond)
}

func hashOf(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

// familyFor stores a family through a code, and returns it.
func familyFor(t testing.TB, r *Realm, id string) *authserver.Family {
	t.Helper()
	now := at()
	f := &authserver.Family{
		ID: id, UserID: "user", ClientID: "client", Resource: "https://mcp.example.com/mcp",
		Scopes: []string{"notes:read"}, CreatedAt: now, ExpiresAt: now.Add(90 * 24 * time.Hour),
		Generation: 1, Current: hashOf(id + " 1"),
	}
	c := &authserver.Code{Hash: hashOf("code of " + id), FamilyID: id, ExpiresAt: now.Add(time.Minute)}
	must(t, "AddCode", r.AddCode(t.Context(), c))
	must(t, "RedeemCode", r.RedeemCode(t.Context(), c.Hash, f))
	return f
}

func TestAuthserverStore(t *testing.T) {
	authtest.Run(t, func(t *testing.T) authserver.Store { return newTest(t).Realm("https://mcp.example.com/mcp") })
}

func TestLocalStore(t *testing.T) {
	vaulttest.Run(t, func(t *testing.T) local.Store { return newTest(t).Realm("https://mcp.example.com/mcp") })
}

func TestAuditSpool(t *testing.T) {
	spooltest.Run(t, func(t *testing.T) (a, b alter.AuditSpool) {
		r := newTest(t).Realm("https://mcp.example.com/mcp")
		return r.AuditSpool("a"), r.AuditSpool("b")
	})
}

// randomBelow returns a random number from 0 to n-1.
func randomBelow(n int) int {
	var b [2]byte
	_, _ = rand.Read(b[:]) // never fails
	return (int(b[0])<<8 | int(b[1])) % n
}
