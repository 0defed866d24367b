package altermcp

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
)

// What a queue has counted stays after its end; what waited in it does not.
func TestAuditMetrics(t *testing.T) {
	queues := newAuditQueues()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(queues); err != nil {
		t.Fatal(err)
	}
	queue, err := alter.NewAuditQueue(alter.AuditQueueConfig{MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	queues.add(queue)
	entry := alter.AuditEntry{Body: []byte(`{"grant_id":"x"}`)}
	if err := queue.Add(t.Context(), entry); err != nil {
		t.Fatal(err)
	}
	if err := queue.Add(t.Context(), entry); err == nil {
		t.Fatal("a second record is taken, though there is place for one")
	}
	const refused = `
# HELP caddy_alter_mcp_audit_records_total Records for the vault's audit. Failed ones are sent again.
# TYPE caddy_alter_mcp_audit_records_total counter
caddy_alter_mcp_audit_records_total{outcome="dropped"} 0
caddy_alter_mcp_audit_records_total{outcome="failed"} 0
caddy_alter_mcp_audit_records_total{outcome="refused"} 1
caddy_alter_mcp_audit_records_total{outcome="sent"} 0
# HELP caddy_alter_mcp_audit_waiting Records that the vault's audit has not taken yet.
# TYPE caddy_alter_mcp_audit_waiting gauge
caddy_alter_mcp_audit_waiting `
	names := []string{"caddy_alter_mcp_audit_records_total", "caddy_alter_mcp_audit_waiting"}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(refused+"1\n"), names...); err != nil {
		t.Error(err)
	}
	queues.remove(queue)
	if err := testutil.GatherAndCompare(registry, strings.NewReader(refused+"0\n"), names...); err != nil {
		t.Errorf("after the end of the queue: %v", err)
	}
}
