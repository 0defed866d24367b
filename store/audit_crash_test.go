package store

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

// auditURLEnv tells a child where the vault is.
const auditURLEnv = "STORE_TEST_AUDIT_URL"

const auditGrant = "11111111-2222-4333-8444-555555555555"

func auditKey() vaultclient.Secret { return vaultclient.NewSecret(altertest.DefaultAPIKey) }

// auditQueue returns a queue with the database as its spool, and the client that
// it sends with. Its clock is ahead by that much.
func auditQueue(db *DB, url string, ahead time.Duration) (*alter.AuditQueue, *alter.Client, error) {
	c, err := alter.New(alter.Config{APIKey: auditKey(), BaseURL: url, Vault: new(http.Transport)})
	if err != nil {
		return nil, nil, err
	}
	q, err := alter.NewAuditQueue(alter.AuditQueueConfig{
		Spool: db.Realm("realm").AuditSpool(alter.AuditScope(auditKey())), Poll: 20 * time.Millisecond,
		Now: func() time.Time { return time.Now().Add(ahead) },
	})
	return q, c, err
}

// auditForever adds and sends until the process is killed. Each record that was
// acknowledged is printed.
func auditForever(ctx context.Context, db *DB, round string) error {
	q, c, err := auditQueue(db, os.Getenv(auditURLEnv), 0)
	if err != nil {
		return err
	}
	errs := make(chan error, 9)
	var wg sync.WaitGroup
	wg.Go(func() { errs <- q.Run(ctx, c) })
	for g := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("%s %d %d", round, g, i)
				if err := q.Add(ctx, alter.AuditEntry{Body: auditBody(name)}); err != nil {
					errs <- err
					return
				}
				fmt.Println(name)
			}
		})
	}
	return <-errs
}

func auditBody(name string) json.RawMessage {
	return fmt.Appendf(nil, `{"grant_id":%q,"provider_id":"google","token_generation":null,`+
		`"method":"GET","url":"https://api.example.com/inbox","request_headers":{},"request_body":null,`+
		`"response_status":200,"response_headers":{},"response_body":null,"latency_ms":12,"reason":%q,"context":null}`,
		auditGrant, name)
}

// TestAuditKilled kills processes that add and send audit records, at random
// moments, some of them while the vault is away: in the end all that was
// acknowledged has arrived.
func TestAuditKilled(t *testing.T) {
	v := altertest.Start(t, altertest.Config{Grants: []altertest.Grant{{ID: auditGrant, Provider: "google", Person: "alice"}}})
	t.Setenv(auditURLEnv, v.URL)
	path := filepath.Join(t.TempDir(), "alter.db")
	var acknowledged []string
	for round := range 12 {
		if round%3 == 2 {
			v.AddFault(altertest.Fault{Path: "/sdk/oauth/audit/api-call", Times: -1, Status: 503})
		}
		acknowledged = append(acknowledged, killedAfter(t, path, fmt.Sprint("audit ", round), randomBelow(600))...)
		v.ClearFaults()
	}
	before := auditArrived(t, v)

	db := openTest(t, path)
	usage, err := db.Realm("realm").AuditSpool(alter.AuditScope(auditKey())).Usage(t.Context())
	must(t, "Usage", err)
	q, c, err := auditQueue(db, v.URL, time.Hour) // all leases of the killed have ended
	must(t, "NewAuditQueue", err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- q.Run(ctx, c) }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for s := q.Stats(); s.Sent < uint64(usage.Entries) && ctx.Err() == nil; s = q.Stats() {
		<-tick.C
	}
	cancel()
	must(t, "Run", <-done)

	after, twice := auditArrived(t, v), 0
	for _, name := range acknowledged {
		if after[name] == 0 {
			t.Errorf("%s was acknowledged and did not arrive", name)
		}
		if after[name] > 1 {
			twice++
		}
	}
	if len(acknowledged) < 12 || len(before) == 0 || usage.Entries == 0 {
		t.Errorf("%d acknowledged, %d arrived before, %d left behind; want some of each", len(acknowledged), len(before), usage.Entries)
	}
	t.Logf("%d acknowledged; %d arrived before the last kill, %d were left behind, %d came more than once",
		len(acknowledged), len(before), usage.Entries, twice)
}

// auditArrived counts what the vault took, by name.
func auditArrived(t *testing.T, v *altertest.Vault) map[string]int {
	t.Helper()
	got := map[string]int{}
	for _, call := range v.Calls() {
		var body struct {
			Reason string `json:"reason"`
		}
		must(t, "reading what was sent", json.Unmarshal(call.Body, &body))
		if call.Status == http.StatusCreated {
			got[body.Reason]++
		}
	}
	return got
}
