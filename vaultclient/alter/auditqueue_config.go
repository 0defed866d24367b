package alter

import (
	"crypto/rand"
	"io"
	"time"

	"go.uber.org/zap"
)

// Defaults of [AuditQueueConfig].
const (
	DefaultAuditEntries   = 100_000 // with a spool; else a tenth
	DefaultAuditBytes     = 256 << 20
	DefaultAuditEntry     = 256 << 10
	DefaultAuditInFlight  = 16
	DefaultAuditTimeout   = 30 * time.Second
	DefaultAuditLease     = 3 * time.Minute
	DefaultAuditPoll      = 5 * time.Second
	DefaultAuditBackoff   = 500 * time.Millisecond
	DefaultAuditMaxPause  = time.Minute
	DefaultAuditGrace     = 5 * time.Second
	auditMemoryPart       = 10       // without a spool, the part of the bounds that holds
	auditWindow           = 1024     // rows of a spool that are in memory, too
	auditWindowBytes      = 16 << 20 // and their bytes
	auditTake             = 64       // rows that are read at once
	auditGroup            = 256      // records that share a write
	auditFlushRows        = 64       // deletes that are no longer put off
	auditFlushAfter       = 200 * time.Millisecond
	auditWriteTimeout     = 10 * time.Second
	auditLeaseMargin      = 5 * time.Second // for what follows the end of a send
	auditDeferAfter       = 3               // failures of one record before others go first
	auditDeferral         = 10 * time.Minute
	auditOutageAfter      = 3 // failures in a row that are called an outage
	auditUsageAge         = time.Second
	auditDropLogEvery     = time.Minute
	auditFullOverFraction = 0.9
)

// AuditQueueConfig of an [AuditQueue]. All of it has defaults.
type AuditQueueConfig struct {
	// Spool keeps records until they are sent. Nil: they are in memory alone, and
	// lost when the process ends.
	Spool AuditSpool

	// MaxEntries and MaxBytes bound what waits, with a spool what the spool
	// holds. Defaults [DefaultAuditEntries] and [DefaultAuditBytes], a tenth of
	// that without a spool. Queues that share a spool may exceed them together by
	// what each adds within [AuditQueueConfig.Poll].
	MaxEntries int
	MaxBytes   int64
	// MaxEntry bounds one record, in bytes. Default [DefaultAuditEntry].
	MaxEntry int

	// InFlight is how many records are sent at the same time. Default
	// [DefaultAuditInFlight].
	InFlight int
	// Timeout of one request. Default [DefaultAuditTimeout].
	Timeout time.Duration
	// Lease is how long rows are held at most, and how long those of a killed
	// process wait. At least twice Timeout and 10 seconds. Default
	// [DefaultAuditLease], or that.
	Lease time.Duration
	// Poll is how often the spool is asked for rows of others. Default
	// [DefaultAuditPoll].
	Poll time.Duration
	// Backoff is the first pause after failures. It doubles up to MaxPause; a
	// Retry-After of up to an hour counts more. Defaults [DefaultAuditBackoff],
	// [DefaultAuditMaxPause].
	Backoff  time.Duration
	MaxPause time.Duration
	// Grace is how long Run goes on after its context ends, so that what is under
	// way is not sent twice, and without a spool for all that waits. Default
	// [DefaultAuditGrace]; negative: not at all.
	Grace time.Duration

	Logger *zap.Logger      // default: none
	Now    func() time.Time // default time.Now
	Random io.Reader        // default crypto/rand
}

func (cfg AuditQueueConfig) leastLease() time.Duration {
	return 2*cfg.Timeout + 2*auditLeaseMargin
}

func (cfg AuditQueueConfig) withDefaults() AuditQueueConfig {
	part := 1
	if cfg.Spool == nil {
		part = auditMemoryPart
	}
	orDefault(&cfg.MaxEntries, DefaultAuditEntries/part)
	orDefault(&cfg.MaxBytes, DefaultAuditBytes/int64(part))
	orDefault(&cfg.MaxEntry, DefaultAuditEntry)
	orDefault(&cfg.InFlight, DefaultAuditInFlight)
	orDefault(&cfg.Timeout, DefaultAuditTimeout)
	orDefault(&cfg.Lease, max(DefaultAuditLease, cfg.leastLease()))
	orDefault(&cfg.Poll, DefaultAuditPoll)
	orDefault(&cfg.Backoff, DefaultAuditBackoff)
	orDefault(&cfg.MaxPause, DefaultAuditMaxPause)
	orDefault(&cfg.Grace, DefaultAuditGrace)
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	return cfg
}

func orDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}
