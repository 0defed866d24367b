package altermcp

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
)

// auditQueues are the queues of all endpoints, as metrics tell of them: what
// waits now, and what became of records since the process began.
type auditQueues struct {
	records, waiting, oldest *prometheus.Desc

	mu    sync.Mutex
	live  map[*alter.AuditQueue]struct{}
	ended alter.AuditStats // counts of queues that are no more
}

func newAuditQueues() *auditQueues {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(metricsPrefix+name, help, labels, nil)
	}
	return &auditQueues{
		records: desc("audit_records_total", "Records for the vault's audit. Failed ones are sent again.", "outcome"),
		waiting: desc("audit_waiting", "Records that the vault's audit has not taken yet."),
		oldest:  desc("audit_oldest_seconds", "How long the oldest of them waits."),
		live:    make(map[*alter.AuditQueue]struct{}),
	}
}

func (a *auditQueues) add(q *alter.AuditQueue) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.live[q] = struct{}{}
}

// remove keeps what the queue has counted.
func (a *auditQueues) remove(q *alter.AuditQueue) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.live, q)
	addStats(&a.ended, q.Stats())
}

func addStats(sum *alter.AuditStats, s alter.AuditStats) {
	sum.Sent += s.Sent
	sum.Failed += s.Failed
	sum.Dropped += s.Dropped
	sum.Refused += s.Refused
}

// Describe implements prometheus.Collector.
func (a *auditQueues) Describe(out chan<- *prometheus.Desc) {
	out <- a.records
	out <- a.waiting
	out <- a.oldest
}

// Collect implements prometheus.Collector.
func (a *auditQueues) Collect(out chan<- prometheus.Metric) {
	a.mu.Lock()
	defer a.mu.Unlock()
	sum, waiting, oldest := a.ended, 0, 0.
	for q := range a.live {
		s := q.Stats()
		addStats(&sum, s)
		waiting += s.Waiting
		oldest = max(oldest, s.Oldest.Seconds())
	}
	for outcome, n := range map[string]uint64{"sent": sum.Sent, "failed": sum.Failed, "dropped": sum.Dropped, "refused": sum.Refused} {
		out <- prometheus.MustNewConstMetric(a.records, prometheus.CounterValue, float64(n), outcome)
	}
	out <- prometheus.MustNewConstMetric(a.waiting, prometheus.GaugeValue, float64(waiting))
	out <- prometheus.MustNewConstMetric(a.oldest, prometheus.GaugeValue, oldest)
}
