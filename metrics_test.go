package altermcp

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
	"github.com/alter-mcp/caddy-alter-mcp/mcphandler"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/local"
)

// Security LOG-05: the name of a tool is a label only when it is configured.
func TestMetrics(t *testing.T) {
	c := newCollectors()
	registry := prometheus.NewPedanticRegistry()
	for range 2 { // one registry may see two endpoints
		if err := c.register(registry); err != nil {
			t.Fatal(err)
		}
	}
	needs := map[string]string{"inbox": "mail", "whoami": ""}
	for tool, outcome := range map[string]string{"inbox": "ok", "whoami": "ok", "made up": "unknown_tool", "\"}evil": "failed"} {
		c.countCall(needs, &mcphandler.CallRecord{Tool: tool, Outcome: outcome, Duration: 30 * time.Millisecond})
	}
	c.countAuth(authserver.Event{Kind: authserver.EventTokens, GrantType: "refresh_token", Outcome: "ok"})
	c.countAuth(authserver.Event{Kind: authserver.EventRefreshReuse, Outcome: "ok"})
	c.countVault(local.Event{Kind: local.EventRenewal, Provider: "mail", Outcome: "refused"})
	want := []string{
		"caddy_alter_mcp_audit_oldest_seconds 0",
		`caddy_alter_mcp_audit_records_total{outcome="dropped"} 0`,
		`caddy_alter_mcp_audit_records_total{outcome="failed"} 0`,
		`caddy_alter_mcp_audit_records_total{outcome="refused"} 0`,
		`caddy_alter_mcp_audit_records_total{outcome="sent"} 0`,
		"caddy_alter_mcp_audit_waiting 0",
		`caddy_alter_mcp_grant_renewals_total{outcome="refused",provider="mail"} 1`,
		`caddy_alter_mcp_refresh_reuses_total 1`,
		`caddy_alter_mcp_token_requests_total{grant_type="refresh_token",outcome="ok"} 1`,
		`caddy_alter_mcp_tool_call_duration_seconds_count{provider="",tool="whoami"} 1`,
		`caddy_alter_mcp_tool_call_duration_seconds_count{provider="mail",tool="inbox"} 1`,
		`caddy_alter_mcp_tool_call_duration_seconds_count{provider="unknown",tool="unknown"} 2`,
		`caddy_alter_mcp_tool_calls_total{outcome="failed",provider="unknown",tool="unknown"} 1`,
		`caddy_alter_mcp_tool_calls_total{outcome="ok",provider="",tool="whoami"} 1`,
		`caddy_alter_mcp_tool_calls_total{outcome="ok",provider="mail",tool="inbox"} 1`,
		`caddy_alter_mcp_tool_calls_total{outcome="unknown_tool",provider="unknown",tool="unknown"} 1`,
	}
	if diff := cmp.Diff(want, series(registry)); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
}

// series returns the counters and the counts of histograms in the text format.
func series(registry *prometheus.Registry) []string {
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	lines := strings.Split(strings.TrimSpace(w.Body.String()), "\n")
	return slices.DeleteFunc(lines, func(line string) bool {
		return strings.HasPrefix(line, "#") || strings.Contains(line, "_bucket{") || strings.Contains(line, "_sum{")
	})
}

// Each configuration has a registry of its own, and each shows the same counts.
func TestMetricsAreServed(t *testing.T) {
	site := "http://localhost:PORT {\nmetrics /metrics\nalter_mcp {\n" + identityAlice + "}\nalter_mcp /two {\n" + identityAlice + "}\n}\n"
	s := serve(t, site)
	const counter = `caddy_alter_mcp_token_requests_total{grant_type="other",outcome="invalid_request"}`
	count := func() string {
		t.Helper()
		a := s.do("GET", "localhost:PORT", "/metrics")
		_, rest, found := strings.Cut(a.body, counter+" ")
		if !found {
			t.Fatalf("GET /metrics = %d without %s:\n%s", a.status, counter, a.body)
		}
		value, _, _ := strings.Cut(rest, "\n")
		return value
	}
	s.do("POST", "localhost:PORT", "/mcp/token")
	before := count()
	if err := s.load("", site); err != nil {
		t.Fatal(err)
	}
	if after := count(); after != before {
		t.Errorf("counter is %s after a reload, want %s as before", after, before)
	}
	s.do("POST", "localhost:PORT", "/two/token")
	if after := count(); after == before {
		t.Errorf("counter is %s still after a request to the other endpoint", after)
	}
}
