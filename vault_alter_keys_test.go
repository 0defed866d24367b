package altermcp

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/store"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

// olderAPIKey is a key of the older form, which the fake vault does not take.
var olderAPIKey = "alter_key_" + strings.Repeat("old4", 10)

// reported adds a record of an API key to its spool, as a process that ended
// before the vault took it.
func reported(t *testing.T, realm *store.Realm, key, name string) {
	t.Helper()
	q, err := alter.NewAuditQueue(alter.AuditQueueConfig{Spool: realm.AuditSpool(alter.AuditScope(vaultclient.NewSecret(key)))})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Add(t.Context(), alter.AuditEntry{Body: []byte(`{"grant_id":"11111111-2222-4333-8444-555555555555","provider_id":"google","token_generation":null,` +
		`"method":"GET","url":"https://api.example.com/inbox","request_headers":{},"request_body":null,` +
		`"response_status":200,"response_headers":{},"response_body":null,"latency_ms":12,"reason":"` + name + `","context":null}`)}); err != nil {
		t.Fatal(err)
	}
}

// awaitReports returns the names of the n records that the vault took.
func awaitReports(t *testing.T, v *altertest.Vault, n int) []string {
	t.Helper()
	var names []string
	await(t, "the records to arrive", func() bool {
		names = nil
		for _, call := range v.Calls() {
			var body struct{ Reason string }
			if call.Path == "/sdk/oauth/audit/api-call" && call.Status == http.StatusCreated && json.Unmarshal(call.Body, &body) == nil {
				names = append(names, body.Reason)
			}
		}
		return len(names) >= n
	})
	slices.Sort(names)
	return names
}

// await waits until ok holds.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline, tick := time.NewTimer(20*time.Second), time.NewTicker(5*time.Millisecond)
	defer deadline.Stop()
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waiting for %s took too long", what)
		}
	}
}

// What an API key left is sent with its successor where the configuration says
// that it is one, and by nobody else.
func TestOlderAPIKeys(t *testing.T) {
	v := altertest.Start(t, altertest.Config{
		Grants: []altertest.Grant{{ID: "11111111-2222-4333-8444-555555555555", Provider: "google", Person: "alice"}},
	})
	db, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "alter.db"), store.Options{Sealer: plainSealer{}, Fingerprint: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	realm := db.Realm("test")
	reported(t, realm, olderAPIKey, "of the old key")
	reported(t, realm, v.APIKey(), "of the new key")

	t.Setenv("OLD_KEY", olderAPIKey)
	serveFor := func(want []string, older ...string) {
		t.Helper()
		module := &AlterVault{APIKey: v.APIKey(), BaseURL: v.URL, OlderAPIKeys: older}
		ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
		defer cancel()
		if err := module.Provision(ctx); err != nil {
			t.Fatal(err)
		}
		queues, err := module.auditQueues(realm, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		client, err := alter.New(module.config)
		if err != nil {
			t.Fatal(err)
		}
		open := &alterVault{client: client, endpoint: "https://mcp.example.com/mcp", queues: queues, log: zap.NewNop()}
		open.start()
		defer open.close()
		if got := awaitReports(t, v, len(want)); !slices.Equal(got, want) {
			t.Errorf("the vault took %q with the older keys %q, want %q", got, older, want)
		}
	}
	serveFor([]string{"of the new key"})
	waiting := func(key string) int {
		usage, err := realm.AuditSpool(alter.AuditScope(vaultclient.NewSecret(key))).Usage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return usage.Entries
	}
	if n := waiting(olderAPIKey); n != 1 {
		t.Errorf("%d records of the old key wait, want the one that nobody may send", n)
	}
	serveFor([]string{"of the new key", "of the old key"}, "{env.OLD_KEY}")
	for _, key := range []string{olderAPIKey, v.APIKey()} {
		if n := waiting(key); n != 0 {
			t.Errorf("%d records wait in the end, want none", n)
		}
	}
}

// plainSealer leaves what is stored as it is.
type plainSealer struct{}

func (plainSealer) Seal(plaintext, _ []byte) ([]byte, error) { return slices.Clone(plaintext), nil }
func (plainSealer) Open(sealed, _ []byte) ([]byte, error)    { return slices.Clone(sealed), nil }
