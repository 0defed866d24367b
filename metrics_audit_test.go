package altermcp

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

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
	shown := func() []string {
		return slices.DeleteFunc(series(registry), func(line string) bool { return strings.Contains(line, "oldest") })
	}
	want := []string{
		`caddy_alter_mcp_audit_records_total{outcome="dropped"} 0`,
		`caddy_alter_mcp_audit_records_total{outcome="failed"} 0`,
		`caddy_alter_mcp_audit_records_total{outcome="refused"} 1`,
		`caddy_alter_mcp_audit_records_total{outcome="sent"} 0`,
		`caddy_alter_mcp_audit_waiting 1`,
	}
	if diff := cmp.Diff(want, shown()); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
	queues.remove(queue)
	want[4] = `caddy_alter_mcp_audit_waiting 0`
	if diff := cmp.Diff(want, shown()); diff != "" {
		t.Errorf("series after the end of the queue (-want +got):\n%s", diff)
	}
}
