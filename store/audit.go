package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
)

const (
	insertAudit = `INSERT INTO audit_spool (realm, scope, id, lease_until, size, sealed)
		VALUES ($1, $2, $3, $4, $5, $6)`
	deleteAudit  = `DELETE FROM audit_spool WHERE realm = $1 AND scope = $2 AND id = $3`
	releaseAudit = `UPDATE audit_spool SET lease_until = $5
		WHERE realm = $1 AND scope = $2 AND id = $3 AND lease_until = $4`
	// The condition stands twice: where two processes take at the same time, the
	// second one sees what the first has done only in the outer one.
	takeAudit = `UPDATE audit_spool SET lease_until = $4
		WHERE realm = $1 AND scope = $2 AND lease_until <= $3 AND id IN (
			SELECT id FROM audit_spool WHERE realm = $1 AND scope = $2 AND lease_until <= $3
			ORDER BY id LIMIT $5)
		RETURNING id, size, sealed`
	countAudit = `INSERT INTO audit_usage (realm, scope, entries, bytes) VALUES ($1, $2, $3, $4)
		ON CONFLICT (realm, scope) DO UPDATE SET
			entries = audit_usage.entries + excluded.entries, bytes = audit_usage.bytes + excluded.bytes`
	selectAuditUsage = `SELECT entries, bytes FROM audit_usage WHERE realm = $1 AND scope = $2`
	oldestAudit      = `SELECT id FROM audit_spool WHERE realm = $1 AND scope = $2 ORDER BY id LIMIT 1`
	// No index but the key's is needed: ids begin with the time, and each spool
	// that has rows has its usage.
	sweepAudit = `DELETE FROM audit_spool WHERE (realm, scope, id) IN
		(SELECT kept.realm, kept.scope, kept.id FROM audit_usage AS spools CROSS JOIN audit_spool AS kept
		WHERE kept.realm = spools.realm AND kept.scope = spools.scope AND kept.id < $1 LIMIT $2)
		RETURNING realm, scope, size`
)

// AuditSpool keeps audit records of one scope in a realm. It implements
// alter.AuditSpool.
type AuditSpool struct {
	r     *Realm
	scope string
}

// AuditSpool returns the spool of a scope, see alter.AuditScope. A spool needs no
// making, and two of one scope are the same.
func (r *Realm) AuditSpool(scope string) *AuditSpool {
	return &AuditSpool{r, scope}
}

// Write implements alter.AuditSpool.
func (s *AuditSpool) Write(ctx context.Context, w alter.AuditWrite) error {
	sealed := make([][]byte, len(w.Add))
	for i, row := range w.Add {
		var err error
		if sealed[i], err = s.r.seal(row.Data, sealedAudit, s.scope, auditID(row)); err != nil {
			return err
		}
	}
	return s.r.db.write(ctx, func(ctx context.Context, t *tx) error {
		change := auditChange{}
		for i, row := range w.Add {
			_, err := t.exec(ctx, insertAudit, s.r.name, s.scope, auditID(row), millis(row.Lease), row.Size, sealed[i])
			if err != nil {
				return fmt.Errorf("storing audit record: %w", err)
			}
			change.add(1, int64(row.Size))
		}
		for _, row := range w.Delete {
			n, err := t.exec(ctx, deleteAudit, s.r.name, s.scope, auditID(row))
			if err != nil {
				return fmt.Errorf("deleting audit record: %w", err)
			}
			change.add(-n, -n*int64(row.Size))
		}
		for _, rel := range w.Release {
			_, err := t.exec(ctx, releaseAudit, s.r.name, s.scope, auditID(rel.Row), millis(rel.Row.Lease), millis(rel.Until))
			if err != nil {
				return fmt.Errorf("releasing audit record: %w", err)
			}
		}
		return change.write(ctx, t, s.r.name, s.scope)
	})
}

// Take implements alter.AuditSpool.
func (s *AuditSpool) Take(ctx context.Context, now, until time.Time, limit int) ([]alter.AuditRow, error) {
	var rows []alter.AuditRow
	err := s.r.db.write(ctx, func(ctx context.Context, t *tx) error {
		rows = rows[:0]
		return t.each(ctx, func(row scanner) error {
			var id string
			r := alter.AuditRow{Lease: until}
			if err := row.Scan(&id, &r.Size, &r.Data); err != nil {
				return err
			}
			r.At, r.ID = splitAuditID(id)
			rows = append(rows, r)
			return nil
		}, takeAudit, s.r.name, s.scope, millis(now), millis(until), limit)
	})
	if err != nil {
		return nil, fmt.Errorf("taking audit records: %w", err)
	}
	for i := range rows {
		r := &rows[i]
		r.Data, r.Damaged = s.r.open(r.Data, sealedAudit, s.scope, auditID(*r))
	}
	slices.SortFunc(rows, func(a, b alter.AuditRow) int { return cmp.Compare(auditID(a), auditID(b)) })
	return rows, nil
}

// Usage implements alter.AuditSpool.
func (s *AuditSpool) Usage(ctx context.Context) (alter.AuditUsage, error) {
	var u alter.AuditUsage
	reads := s.r.db.reads
	err := reads.row(ctx, selectAuditUsage, s.r.name, s.scope).Scan(&u.Entries, &u.Bytes)
	if errors.Is(err, sql.ErrNoRows) {
		return u, nil
	}
	if err != nil {
		return u, fmt.Errorf("reading audit usage: %w", err)
	}
	var id string
	err = reads.row(ctx, oldestAudit, s.r.name, s.scope).Scan(&id)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return u, fmt.Errorf("reading audit record: %w", err)
	}
	u.Oldest, _ = splitAuditID(id)
	return u, nil
}

// auditID names the row of a record in its realm and scope.
func auditID(row alter.AuditRow) string {
	return auditTime(row.At) + "-" + row.ID
}

// auditTime is what ids of that time begin with. Its order is that of time.
func auditTime(at time.Time) string {
	const width = 12 // until the year 10889
	text := strconv.FormatInt(max(millis(at), 0), 16)
	return strings.Repeat("0", max(0, width-len(text))) + text
}

// splitAuditID is the inverse of auditID.
func splitAuditID(id string) (time.Time, string) {
	text, rest, _ := strings.Cut(id, "-")
	ms, err := strconv.ParseInt(text, 16, 64)
	if err != nil {
		return time.Time{}, rest
	}
	return instant(ms), rest
}

// auditChange is by how much a spool changes.
type auditChange struct{ entries, bytes int64 }

func (c *auditChange) add(entries, bytes int64) {
	c.entries += entries
	c.bytes += bytes
}

func (c *auditChange) write(ctx context.Context, t *tx, realm, scope string) error {
	if *c == (auditChange{}) {
		return nil
	}
	if _, err := t.exec(ctx, countAudit, realm, scope, c.entries, c.bytes); err != nil {
		return fmt.Errorf("counting audit records: %w", err)
	}
	return nil
}

// AuditSwept returns how many audit records were removed since the database was
// opened because nobody sent them within 7 days.
func (db *DB) AuditSwept() int64 { return db.auditSwept.Load() }

// sweepAudit removes records that were added before a moment, and says so: they
// were never sent.
func (db *DB) sweepAudit(ctx context.Context, before time.Time) error {
	var total int64
	for {
		n, err := db.sweepAuditBatch(ctx, before)
		total += n
		if err != nil || n < sweepBatch {
			db.auditSwept.Add(total)
			if total > 0 {
				db.logger.Error("audit records that the vault has not taken in time are removed", zap.Int64("records", total))
			}
			return err
		}
	}
}

func (db *DB) sweepAuditBatch(ctx context.Context, before time.Time) (int64, error) {
	var n int64
	err := db.write(ctx, func(ctx context.Context, t *tx) error {
		n = 0
		changes := map[[2]string]*auditChange{}
		err := t.each(ctx, func(row scanner) error {
			var realm, scope string
			var size int64
			if err := row.Scan(&realm, &scope, &size); err != nil {
				return err
			}
			n++
			key := [2]string{realm, scope}
			if changes[key] == nil {
				changes[key] = &auditChange{}
			}
			changes[key].add(-1, -size)
			return nil
		}, sweepAudit, auditTime(before), sweepBatch)
		if err != nil {
			return err
		}
		for key, change := range changes {
			if err := change.write(ctx, t, key[0], key[1]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// Interface guard
var _ alter.AuditSpool = (*AuditSpool)(nil)
