package altermcp

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
	"github.com/alter-mcp/caddy-alter-mcp/mcphandler"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/local"
)

const metricsPrefix = "caddy_alter_mcp_"

// labelUnknown stands for a tool or a provider that is not in the
// configuration: no label comes from a request.
const labelUnknown = "unknown"

// metrics are made once and registered anew with each configuration, which has a
// registry of its own: counters go on over a reload.
var metrics = newCollectors()

// collectors are what is counted. All endpoints count into the same ones.
type collectors struct {
	toolCalls     *prometheus.CounterVec
	toolDurations *prometheus.HistogramVec
	registrations *prometheus.CounterVec
	logins        *prometheus.CounterVec
	tokens        *prometheus.CounterVec
	refreshReuses prometheus.Counter
	connects      *prometheus.CounterVec
	renewals      *prometheus.CounterVec
	audit         *auditQueues
	limits        *vaultLimits
}

func newCollectors() *collectors {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: metricsPrefix + name, Help: help}, labels)
	}
	return &collectors{
		toolCalls: counter("tool_calls_total", "Calls of tools.", "tool", "provider", "outcome"),
		toolDurations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: metricsPrefix + "tool_call_duration_seconds", Help: "How long calls of tools took.", Buckets: prometheus.DefBuckets,
		}, []string{"tool", "provider"}),
		registrations: counter("registrations_total", "Clients that asked to be registered.", "outcome"),
		logins:        counter("logins_total", "Logins and tries to log in.", "outcome"),
		tokens:        counter("token_requests_total", "Requests for tokens.", "grant_type", "outcome"),
		refreshReuses: prometheus.NewCounter(prometheus.CounterOpts{
			Name: metricsPrefix + "refresh_reuses_total", Help: "Refresh tokens that were used again, which ended their authorization.",
		}),
		connects: counter("connects_total", "Connections of accounts at providers.", "provider", "outcome"),
		renewals: counter("grant_renewals_total", "Renewals of grants at providers.", "provider", "outcome"),
		audit:    newAuditQueues(),
		limits:   newVaultLimits(),
	}
}

// register adds all collectors to the registry of a configuration. That they
// are there already is no error.
func (c *collectors) register(registry prometheus.Registerer) error {
	for _, one := range []prometheus.Collector{
		c.toolCalls, c.toolDurations, c.registrations, c.logins, c.tokens, c.refreshReuses, c.connects, c.renewals, c.audit, c.limits,
	} {
		var twice prometheus.AlreadyRegisteredError
		if err := registry.Register(one); err != nil && !errors.As(err, &twice) {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}

// countAuth counts an event of the authorization server.
func (c *collectors) countAuth(e authserver.Event) {
	switch e.Kind {
	case authserver.EventRegistration:
		c.registrations.WithLabelValues(e.Outcome).Inc()
	case authserver.EventLogin:
		c.logins.WithLabelValues(e.Outcome).Inc()
	case authserver.EventTokens:
		c.tokens.WithLabelValues(e.GrantType, e.Outcome).Inc()
	case authserver.EventRefreshReuse:
		c.refreshReuses.Inc()
	}
}

// countVault counts an event of the embedded vault.
func (c *collectors) countVault(e local.Event) {
	switch e.Kind {
	case local.EventConnect:
		c.connects.WithLabelValues(e.Provider, e.Outcome).Inc()
	case local.EventRenewal:
		c.renewals.WithLabelValues(e.Provider, e.Outcome).Inc()
	}
}

// countCall counts a call of a tool. providers are the configured tools with the
// provider that each needs, if any.
func (c *collectors) countCall(providers map[string]string, rec *mcphandler.CallRecord) {
	tool := rec.Tool
	provider, known := providers[tool]
	if !known {
		tool, provider = labelUnknown, labelUnknown
	}
	c.toolCalls.WithLabelValues(tool, provider, rec.Outcome).Inc()
	c.toolDurations.WithLabelValues(tool, provider).Observe(rec.Duration.Seconds())
}
