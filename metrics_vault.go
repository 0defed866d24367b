package altermcp

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
)

// vaultLimits are the request limits of the Alter Vault as it told them last, by
// endpoint. One whose time is over is not shown: nobody knows what is left then.
type vaultLimits struct {
	limit, remaining *prometheus.Desc

	mu      sync.Mutex
	clients map[string][]rateLimited // by endpoint, the newest last
}

// rateLimited is a client of the vault.
type rateLimited interface {
	RateLimit() (alter.RateLimit, bool)
}

func newVaultLimits() *vaultLimits {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(metricsPrefix+name, help, []string{"endpoint"}, nil)
	}
	return &vaultLimits{
		limit:     desc("vault_rate_limit", "Requests that the Alter Vault allows in the current window."),
		remaining: desc("vault_rate_remaining", "Requests that are left in it."),
		clients:   make(map[string][]rateLimited),
	}
}

// add takes the place of the client of a former configuration, for as long as it
// is there: a configuration may be rejected after this.
func (v *vaultLimits) add(endpoint string, c rateLimited) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clients[endpoint] = append(v.clients[endpoint], c)
}

// remove leaves the clients of other configurations.
func (v *vaultLimits) remove(endpoint string, c rateLimited) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.clients[endpoint] = slices.DeleteFunc(v.clients[endpoint], func(other rateLimited) bool { return other == c })
	if len(v.clients[endpoint]) == 0 {
		delete(v.clients, endpoint)
	}
}

// Describe implements prometheus.Collector.
func (v *vaultLimits) Describe(out chan<- *prometheus.Desc) {
	out <- v.limit
	out <- v.remaining
}

// Collect implements prometheus.Collector.
func (v *vaultLimits) Collect(out chan<- prometheus.Metric) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for endpoint, clients := range v.clients {
		rate, ok := clients[len(clients)-1].RateLimit()
		if !ok || time.Now().After(rate.ResetAt) {
			continue
		}
		out <- prometheus.MustNewConstMetric(v.limit, prometheus.GaugeValue, float64(rate.Limit), endpoint)
		out <- prometheus.MustNewConstMetric(v.remaining, prometheus.GaugeValue, float64(rate.Remaining), endpoint)
	}
}
