package store

import (
	"context"
	"fmt"
	"time"
)

const releaseClaim = `DELETE FROM taken_ids WHERE realm = $1 AND hash = $2 AND forget_at = $3`

// releaseTimeout bounds giving up a claim, also after who had it was cancelled.
const releaseTimeout = 5 * time.Second

// Claim implements local.Store. The id itself is not stored. Where no other process
// has the database open there is nobody to keep away, and nothing is written.
func (r *Realm) Claim(ctx context.Context, id string, until time.Time) (release func(), claimed bool, err error) {
	if !r.db.shared {
		return func() {}, true, nil
	}
	if claimed, err = r.TakeOnce(ctx, claimID(id), until); err != nil || !claimed {
		return nil, false, err
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
		defer cancel()
		// A claim that cannot be given up ends by itself.
		_ = r.db.write(ctx, func(ctx context.Context, t *tx) error {
			if _, err := t.exec(ctx, releaseClaim, r.name, digest(claimID(id)), millis(until)); err != nil {
				return fmt.Errorf("releasing claim: %w", err)
			}
			return nil
		})
	}, true, nil
}

// claimID keeps claims apart from what is taken for good.
func claimID(id string) string { return "claim:" + id }
