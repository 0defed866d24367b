package store

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// sweepBatch is the most rows that one write removes, so that a sweep does not
// hold other writes up.
const sweepBatch = 500

const (
	// codeRest is how long a code stays after its end, so that a replay is
	// noticed.
	codeRest = time.Hour
	// auditRest is how long a record waits for the vault to take it.
	auditRest = 7 * 24 * time.Hour
	// deletedRest is how long the version of a deleted grant is remembered: far
	// longer than the renewal of one takes.
	deletedRest = time.Hour
	// identityRest is how long identity tokens stay when their person has no
	// living authorization: longer than a login may take.
	identityRest = time.Hour
)

const (
	sweepCodes = `DELETE FROM codes WHERE (realm, hash) IN
		(SELECT realm, hash FROM codes WHERE expires_at <= $1 LIMIT $2)`
	sweepSessions = `DELETE FROM sessions WHERE (realm, hash) IN
		(SELECT realm, hash FROM sessions WHERE expires_at <= $1 LIMIT $2)`
	sweepTaken = `DELETE FROM taken_ids WHERE (realm, hash) IN
		(SELECT realm, hash FROM taken_ids WHERE forget_at < $1 LIMIT $2)`
	sweepEnded = `DELETE FROM ended_sessions WHERE (realm, hash) IN
		(SELECT realm, hash FROM ended_sessions WHERE forget_at < $1 LIMIT $2)`
	sweepFamilies = `DELETE FROM families WHERE (realm, id) IN
		(SELECT realm, id FROM families WHERE sweep_at <= $1 LIMIT $2)`
	sweepGrants = `DELETE FROM grants WHERE (realm, user_id, provider, label) IN
		(SELECT realm, user_id, provider, label FROM grants
		WHERE deleted_at > 0 AND deleted_at <= $1 LIMIT $2)`
	// The people of living authorizations are read once, and not at all while no
	// identity tokens are kept.
	sweepIdentityTokens = `DELETE FROM identity_tokens WHERE (realm, user_id) IN
		(SELECT realm, user_id FROM identity_tokens WHERE updated_at <= $1 AND (realm, user_id) NOT IN
		(SELECT realm, user_id FROM families WHERE revoked_at = 0 AND expires_at > $1) LIMIT $2)`
)

// Sweep removes, in all realms, what is of no more use at now: codes and
// devices an hour after their end, browser sessions, taken ids, ended MCP sessions and approvals at
// their end, families 48 hours after they expired or were revoked, identity tokens when
// they are an hour old and their person's last family expired an hour ago or was
// revoked, audit records that the vault has not taken within 7 days. It stops at
// the first error.
func (db *DB) Sweep(ctx context.Context, now time.Time) error {
	for _, s := range []struct {
		what, query string
		before      time.Time
	}{
		{"codes", sweepCodes, now.Add(-codeRest)},
		{"sessions", sweepSessions, now},
		{"taken ids", sweepTaken, now},
		{"ended sessions", sweepEnded, now},
		{"families", sweepFamilies, now},
		{"approvals", sweepApprovals, now},
		{"devices", sweepDevices, now.Add(-codeRest)},
		{"deleted grants", sweepGrants, now.Add(-deletedRest)},
		{"identity tokens", sweepIdentityTokens, now.Add(-identityRest)},
	} {
		n, err := db.sweepAll(ctx, s.query, s.before)
		if err != nil {
			return fmt.Errorf("sweeping %s: %w", s.what, err)
		}
		if n > 0 {
			db.logger.Debug("swept", zap.String("what", s.what), zap.Int64("rows", n))
		}
	}
	if err := db.sweepAudit(ctx, now.Add(-auditRest)); err != nil {
		return fmt.Errorf("sweeping audit records: %w", err)
	}
	return nil
}

// sweepAll runs query until nothing is left, and returns how many rows went.
func (db *DB) sweepAll(ctx context.Context, query string, before time.Time) (int64, error) {
	var total int64
	for {
		var n int64
		err := db.write(ctx, func(ctx context.Context, t *tx) error {
			var err error
			n, err = t.exec(ctx, query, millis(before), sweepBatch)
			return err
		})
		if err != nil {
			return total, err
		}
		total += n
		if n < sweepBatch {
			return total, nil
		}
	}
}
