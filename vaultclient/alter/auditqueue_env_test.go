package alter_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead/subtle"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/alter-mcp/caddy-alter-mcp/store"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

const (
	auditPath  = "/sdk/oauth/audit/api-call"
	auditGrant = "11111111-2222-4333-8444-555555555555"
	auditLimit = 20 * time.Second // of waiting for anything
)

// auditSealer seals with AES-GCM, as the real one does.
type auditSealer struct{ aead *subtle.AESGCM }

func newAuditSealer(t testing.TB) auditSealer {
	t.Helper()
	sum := sha256.Sum256([]byte("key"))
	aead, err := subtle.NewAESGCM(sum[:])
	auditMust(t, "NewAESGCM", err)
	return auditSealer{aead}
}

func (s auditSealer) Seal(plaintext, ad []byte) ([]byte, error) { return s.aead.Encrypt(plaintext, ad) }

func (s auditSealer) Open(sealed, ad []byte) ([]byte, error) { return s.aead.Decrypt(sealed, ad) }

func auditMust(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// newAuditSpool returns a spool in a new SQLite database.
func newAuditSpool(t testing.TB) alter.AuditSpool {
	t.Helper()
	db, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "alter.db"),
		store.Options{Sealer: newAuditSealer(t), Fingerprint: "fingerprint"})
	auditMust(t, "OpenSQLite", err)
	t.Cleanup(func() { auditMust(t, "Close", db.Close()) })
	return db.Realm("https://mcp.example.com/mcp").AuditSpool(alter.AuditScope(vaultclient.NewSecret(altertest.DefaultAPIKey)))
}

func startAuditVault(t testing.TB) *altertest.Vault {
	t.Helper()
	return altertest.Start(t, altertest.Config{Grants: []altertest.Grant{{ID: auditGrant, Provider: "google", Person: "alice"}}})
}

func newAuditClient(t testing.TB, url string) *alter.Client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := alter.New(alter.Config{
		APIKey: vaultclient.NewSecret(altertest.DefaultAPIKey), BaseURL: url, Vault: transport,
		Caller: alter.Caller{Name: "the client"},
	})
	auditMust(t, "New", err)
	return c
}

// auditRecord is a record that is found again by its name.
func auditRecord(name string) alter.AuditEntry {
	return alter.AuditEntry{Body: fmt.Appendf(nil, `{"grant_id":%q,"provider_id":"google","token_generation":null,`+
		`"method":"GET","url":"https://api.example.com/inbox","request_headers":{},"request_body":null,`+
		`"response_status":200,"response_headers":{},"response_body":null,"latency_ms":12,"reason":%q,"context":null}`,
		auditGrant, name)}
}

// auditQueue is a queue that runs, with its log.
type auditQueue struct {
	*alter.AuditQueue
	logs *observer.ObservedLogs
	// end ends Run and returns its error.
	end func() error
}

// newAuditQueue makes a queue with short waiting times that does not run.
func newAuditQueue(t testing.TB, cfg alter.AuditQueueConfig) *auditQueue {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	cfg.Logger = zap.New(core)
	for _, d := range []struct {
		set *time.Duration
		to  time.Duration
	}{{&cfg.Poll, 20 * time.Millisecond}, {&cfg.Backoff, 2 * time.Millisecond}, {&cfg.MaxPause, 20 * time.Millisecond}} {
		if *d.set == 0 {
			*d.set = d.to
		}
	}
	q, err := alter.NewAuditQueue(cfg)
	auditMust(t, "NewAuditQueue", err)
	return &auditQueue{AuditQueue: q, logs: logs}
}

// run starts Run until the test or end ends it.
func (q *auditQueue) run(t testing.TB, c *alter.Client) *auditQueue {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- q.Run(ctx, c) }()
	q.end = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(auditLimit):
			return errors.New("the end of Run does not come")
		}
	})
	t.Cleanup(func() { _ = q.end() }) // looked at where it is a test's matter
	return q
}

func (q *auditQueue) add(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		auditMust(t, "Add", q.Add(t.Context(), auditRecord(name)))
	}
}

// await waits until ok holds.
func auditAwait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(auditLimit)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%s did not happen", what)
		}
	}
}

// awaitSent waits until nothing is left, in the spool too.
func (q *auditQueue) awaitEmpty(t testing.TB) {
	t.Helper()
	auditAwait(t, "the end of all records", func() bool {
		s := q.Stats()
		return s.Waiting == 0 && s.InFlight == 0 && s.Bytes == 0
	})
}

// arrived counts what the vault took, by name.
func auditArrived(t testing.TB, v *altertest.Vault) map[string]int {
	t.Helper()
	got := map[string]int{}
	for _, call := range v.Calls() {
		if call.Path == auditPath && call.Status == http.StatusCreated {
			got[auditName(t, call)]++
		}
	}
	return got
}

func auditName(t testing.TB, call altertest.Call) string {
	t.Helper()
	var body struct {
		Reason string `json:"reason"`
	}
	auditMust(t, "reading what was sent", json.Unmarshal(call.Body, &body))
	return body.Reason
}

// names are n of them.
func auditNames(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint(prefix, i)
	}
	return out
}

func auditOnce(names ...string) map[string]int {
	want := map[string]int{}
	for _, name := range names {
		want[name] = 1
	}
	return want
}

// messages are those of the log, in order.
func (q *auditQueue) messages() []string {
	var out []string
	for _, entry := range q.logs.All() {
		out = append(out, entry.Message)
	}
	return out
}

// wantNoGoroutines fails the test if the queue has left one behind.
func wantNoAuditGoroutines(t *testing.T) {
	t.Helper()
	buf := make([]byte, 1<<20)
	stacks := string(buf[:runtime.Stack(buf, true)])
	for stack := range strings.SplitSeq(stacks, "\n\n") {
		if strings.Contains(stack, "alter.(*auditRun)") || strings.Contains(stack, "alter.(*AuditQueue)") {
			t.Errorf("a goroutine is left:\n%s", stack)
		}
	}
}

func auditKey() vaultclient.Secret { return vaultclient.NewSecret(altertest.DefaultAPIKey) }
