package alter_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
)

// BenchmarkAuditAdd lets 32 goroutines add, with Run and a vault that answers at
// once, or without.
func BenchmarkAuditAdd(b *testing.B) {
	for name, c := range map[string]struct{ spool, run bool }{
		"memory, not sent": {false, false}, "spool, not sent": {true, false}, "spool, sent": {true, true}, "memory, sent": {false, true},
	} {
		b.Run(name, func(b *testing.B) {
			cfg := alter.AuditQueueConfig{MaxEntries: 1 << 30, MaxBytes: 1 << 50}
			var spool *faultySpool
			if c.spool {
				spool = &faultySpool{AuditSpool: newAuditSpool(b)}
				cfg.Spool = spool
			}
			q := newAuditQueue(b, cfg)
			if c.run {
				client, err := alter.New(alter.Config{APIKey: auditKey(), Vault: acceptAll{}})
				auditMust(b, "New", err)
				q.run(b, client)
			}
			e := auditRecord("record")
			e.Caller, e.Context = alter.Caller{Name: "client"}, map[string]string{"tool": "list_messages", "user": "u"}
			var n atomic.Int64
			b.ReportAllocs()
			b.SetParallelism(16) // by 2 cores
			begin := cpuTime(b)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := q.Add(context.Background(), e); err != nil {
						b.Error(err)
						return
					}
					n.Add(1)
				}
			})
			if c.run {
				q.awaitEmpty(b)
			}
			b.StopTimer()
			b.ReportMetric(float64(cpuTime(b)-begin)/float64(b.N)/1000, "cpu-µs/op")
			if spool != nil {
				b.ReportMetric(float64(b.N)/float64(max(1, spool.writes.Load())), "records/write")
			}
		})
	}
}

// acceptAll is a vault that takes everything.
type acceptAll struct{}

func (acceptAll) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 201, Body: http.NoBody, Header: http.Header{}, Request: r}, nil
}

// cpuTime is what the process has used so far.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(fmt.Errorf("reading CPU time: %w", err))
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
