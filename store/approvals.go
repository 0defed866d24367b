package store

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

const (
	selectApproval = `SELECT id FROM approvals WHERE realm = $1 AND user_id = $2 AND call = $3 AND expires_at > $4`
	putApproval    = `INSERT INTO approvals (realm, user_id, call, id, expires_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (realm, user_id, call) DO UPDATE SET id = excluded.id, expires_at = excluded.expires_at`
	deleteApproval = `DELETE FROM approvals WHERE realm = $1 AND user_id = $2 AND call = $3`
	sweepApprovals = `DELETE FROM approvals WHERE (realm, user_id, call) IN
		(SELECT realm, user_id, call FROM approvals WHERE expires_at <= $1 LIMIT $2)`
)

// PendingApproval returns what was remembered of the approval that a person's
// call waits for, or "". call names it; only its hash is stored. What does not
// open, as after the end of the key that sealed it, is not there: the person is
// asked for another approval.
func (r *Realm) PendingApproval(ctx context.Context, userID, call string, now time.Time) (string, error) {
	var id string
	err := r.db.reads.row(ctx, selectApproval, r.name, userID, digest(call), millis(now)).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading approval: %w", err)
	}
	return r.openApproval(id, userID, call), nil
}

// SetPendingApproval remembers an approval until then, in place of an earlier one
// of the same call. An empty id forgets it. It is sealed, for the pages where
// people decide may stand in it.
func (r *Realm) SetPendingApproval(ctx context.Context, userID, call, id string, until time.Time) error {
	sealed, err := r.sealApproval(id, userID, call)
	if err != nil {
		return err
	}
	return r.db.write(ctx, func(ctx context.Context, t *tx) error {
		var err error
		if id == "" {
			_, err = t.exec(ctx, deleteApproval, r.name, userID, digest(call))
		} else {
			_, err = t.exec(ctx, putApproval, r.name, userID, digest(call), sealed, millis(until))
		}
		if err != nil {
			return fmt.Errorf("storing approval: %w", err)
		}
		return nil
	})
}

func (r *Realm) sealApproval(id, userID, call string) (string, error) {
	if id == "" {
		return "", nil
	}
	sealed, err := r.seal([]byte(id), sealedApproval, userID, string(digest(call)))
	return base64.RawStdEncoding.EncodeToString(sealed), err
}

// openApproval is the inverse of sealApproval; "" of what does not open.
func (r *Realm) openApproval(text, userID, call string) string {
	sealed, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return ""
	}
	id, err := r.open(sealed, sealedApproval, userID, string(digest(call)))
	if err != nil {
		r.db.logger.Warn("what was remembered of an approval does not open", zap.String("user", userID), zap.Error(err))
		return ""
	}
	return string(id)
}
