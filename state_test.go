package altermcp

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const keyed = "http://localhost:PORT {\nalter_mcp {\nstore sqlite DIR/db/mcp.db\nencryption_key MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n" + identityAlice + "}\n}\n"

// The key is made once, for the user of the process alone, and a lost one is
// never replaced. Security VAULT-07.
func TestEncryptionKeyOfItsOwnMaking(t *testing.T) {
	const own = "http://localhost:PORT {\nalter_mcp {\nstore sqlite DIR/db/mcp.db\n" + identityAlice + "}\n}\n"
	s := serve(t, own)
	path := filepath.Join(s.dir, "storage", filepath.FromSlash(keyStorageKey))
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("key file = %v, %v, want mode 0600", info, err)
	}
	key, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.load("", "http://localhost:PORT {\nrespond \"without endpoint\"\n}\n"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := s.load("", own); err == nil || !strings.Contains(err.Error(), "is gone") {
		t.Errorf("start without the key: %v, want an error that says so", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a lost key was replaced")
	}
	if err := os.WriteFile(path, key, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.load("", own); err != nil {
		t.Errorf("start with the key restored: %v", err)
	}
}

// Security VAULT-06: another key refuses to start and changes nothing.
func TestOtherEncryptionKey(t *testing.T) {
	s := serve(t, keyed)
	other := strings.Replace(keyed, "MDEyM", "MDEyN", 1)
	if err := s.load("", other); err == nil || !strings.Contains(err.Error(), "encryption_key differs") {
		t.Errorf("reload with another key: %v", err)
	}
	if a := s.settled("/mcp"); a.status != 401 {
		t.Errorf("the old configuration = %d, want it to go on", a.status)
	}
	if err := s.load("", "http://localhost:PORT {\n}\n"); err != nil {
		t.Fatal(err)
	}
	if err := s.load("", other); err == nil || !strings.Contains(err.Error(), "another") {
		t.Errorf("start with another key: %v", err)
	}
	if err := s.load("", keyed); err != nil {
		t.Errorf("start with the first key after all: %v", err)
	}
}

// A path that cannot be opened stops the start, and the running configuration
// goes on.
// Security VAULT-05: a start with a new key before the old one, and then the new
// one alone.
func TestNewEncryptionKey(t *testing.T) {
	const key, next = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "MDEyNDQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	s := serve(t, keyed)
	stop := func() {
		t.Helper()
		if err := s.load("", "http://localhost:PORT {\n}\n"); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	both, alone := strings.Replace(keyed, key, next+" "+key, 1), strings.Replace(keyed, key, next, 1)
	if err := s.load("", alone); err == nil || !strings.Contains(err.Error(), "another encryption key") {
		t.Errorf("start without the old key: %v, want an error that says so", err)
	}
	if err := s.load("", both); err != nil {
		t.Fatal(err)
	}
	if a := s.settled("/mcp"); a.status != 401 {
		t.Errorf("endpoint = %d, want it to serve", a.status)
	}
	// It is sealed anew in the background, which a stop ends: nothing outside tells
	// when, so it gets more time with each try.
	for pause := time.Millisecond; ; pause *= 2 {
		time.Sleep(pause)
		stop()
		err := s.load("", alone)
		if err == nil {
			break
		}
		if pause > 10*time.Second {
			t.Fatalf("start with the new key alone: %v", err)
		}
		if err := s.load("", both); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStoreThatCannotBeOpened(t *testing.T) {
	s := serve(t, keyed)
	if err := os.WriteFile(filepath.Join(s.dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := s.load("", strings.Replace(keyed, "DIR/db/", "DIR/file/", 1))
	if err == nil || !strings.Contains(err.Error(), "alter_mcp /mcp") {
		t.Errorf("load = %v, want an error that names the endpoint", err)
	}
	if a := s.settled("/mcp"); a.status != 401 {
		t.Errorf("the old configuration = %d, want it to go on", a.status)
	}
}

// Security LOG-03: `caddy adapt` keeps references to secrets as they are.
func TestAdaptShowsNoSecret(t *testing.T) {
	t.Setenv("HUSH", "hush-hush")
	cfg, err := adaptJSON("http://localhost {\nalter_mcp {\nencryption_key {env.HUSH}\nidentity local {\nuser alice {env.HUSH}\n}\nprovider google {\nclient_id {env.HUSH}\nclient_secret {env.HUSH}\n}\ntool a {\ndescription d\nget https://a.example/ {\nheader X-Key {env.HUSH}\n}\n}\n}\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(cfg, []byte("hush-hush")) || bytes.Count(cfg, []byte("{env.HUSH}")) != 5 {
		t.Errorf("adapted JSON: %s", cfg)
	}
}

// settled asks after a configuration that was refused: until its listener is
// closed, it may still get a connection, and answers 503.
func (s *testServer) settled(path string) answer {
	s.Helper()
	a := s.do("GET", "localhost:PORT", path)
	for range 100 {
		if a.status != 503 {
			break
		}
		s.http.CloseIdleConnections()
		a = s.do("GET", "localhost:PORT", path)
	}
	return a
}
