package altermcp

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
)

type rateOf struct{ rate *alter.RateLimit }

func (r *rateOf) RateLimit() (alter.RateLimit, bool) {
	if r.rate == nil {
		return alter.RateLimit{}, false
	}
	return *r.rate, true
}

func TestVaultLimitMetrics(t *testing.T) {
	limits := newVaultLimits()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(limits); err != nil {
		t.Fatal(err)
	}
	soon := time.Now().Add(time.Hour)
	old, now := &rateOf{&alter.RateLimit{Limit: 100, Remaining: 1, ResetAt: soon}}, &rateOf{&alter.RateLimit{Limit: 200, Remaining: 150, ResetAt: soon}}
	limits.add("https://a.example/mcp", old)
	limits.add("https://a.example/mcp", now) // by a reload, before the old one ends
	limits.remove("https://a.example/mcp", old)
	limits.add("https://over.example/mcp", &rateOf{&alter.RateLimit{Limit: 100, ResetAt: time.Now().Add(-time.Second)}})
	limits.add("https://silent.example/mcp", &rateOf{})
	want := []string{
		`caddy_alter_mcp_vault_rate_limit{endpoint="https://a.example/mcp"} 200`,
		`caddy_alter_mcp_vault_rate_remaining{endpoint="https://a.example/mcp"} 150`,
	}
	if diff := cmp.Diff(want, series(registry)); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
	// A configuration that could not start leaves the one before it in place.
	rejected := &rateOf{}
	limits.add("https://a.example/mcp", rejected)
	limits.remove("https://a.example/mcp", rejected)
	if diff := cmp.Diff(want, series(registry)); diff != "" {
		t.Errorf("series after a rejected reload (-want +got):\n%s", diff)
	}
	limits.remove("https://a.example/mcp", now)
	if left := strings.Join(series(registry), ""); left != "" {
		t.Errorf("left are %q", left)
	}
}
