package alter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// AuditSpool keeps the records of one API key until they are sent, for any
// number of queues in any number of processes. It is safe for concurrent use.
//
// A row is free, or leased until a moment. Whoever leased it may send it until
// then, and nobody else; afterwards it is free again, so that what a killed
// process held is sent by another.
type AuditSpool interface {
	// Write does all of w in one commit, or nothing, and returns when it is
	// durable.
	Write(ctx context.Context, w AuditWrite) error
	// Take leases up to limit free rows until a moment, the oldest first.
	Take(ctx context.Context, now, until time.Time, limit int) ([]AuditRow, error)
	// Usage tells what is there, leased or free. It is asked every few seconds
	// and must not count rows.
	Usage(ctx context.Context) (AuditUsage, error)
}

// AuditWrite is a change of a spool.
type AuditWrite struct {
	// Add rows; one whose Lease is zero is free.
	Add []AuditRow
	// Delete rows, whoever leased them. One that is gone is no error. Data is
	// not looked at, Size is.
	Delete []AuditRow
	// Release rows, unless another has leased them since.
	Release []AuditRelease
}

// empty reports whether there is nothing to write.
func (w *AuditWrite) empty() bool {
	return len(w.Add) == 0 && len(w.Delete) == 0 && len(w.Release) == 0
}

// AuditRelease ends the lease of a row before its time, or puts it off.
type AuditRelease struct {
	Row   AuditRow  // Data is not looked at
	Until time.Time // the row is free from then on; zero: at once
}

// AuditRow is a record in a spool.
type AuditRow struct {
	ID    string    // random
	At    time.Time // when it was added, in milliseconds
	Lease time.Time // until when it is leased; zero: free
	Size  int       // bytes of Data
	Data  []byte    // sealed in the spool
	// Damaged says why Data cannot be read, or is nil.
	Damaged error
}

// AuditUsage is what a spool holds.
type AuditUsage struct {
	Entries int
	Bytes   int64
	Oldest  time.Time // when the oldest row was added; zero if there is none
}

// AuditScope names the spool of an API key, so that records of one app are never
// sent with the key of another. It does not tell the key, nor the app: who knows
// that two keys are of one app gives the spools of both to queues that run with
// the client of either.
func AuditScope(key vaultclient.Secret) string {
	sum := sha256.Sum256([]byte("alter audit spool\n" + key.Reveal()))
	return hex.EncodeToString(sum[:16])
}
