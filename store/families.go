package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// familyRest is how long a family stays after its end, so that access tokens
// that came of it are known as revoked: twice the longest life of one.
const familyRest = 48 * time.Hour

// rotationGrain is how exactly rotations note the use of a client: most of them
// then write one row.
const rotationGrain = 24 * time.Hour

const (
	insertFamily = `INSERT INTO families (realm, id, user_id, client_id, resource, scopes, created_at, expires_at,
		revoked_at, generation, current_hash, previous_hash, successor, rotated_at, sweep_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`
	selectFamily = `SELECT user_id, client_id, resource, scopes, created_at, expires_at,
		revoked_at, generation, current_hash, previous_hash, successor, rotated_at
		FROM families WHERE realm = $1 AND id = $2`
	selectAlive  = `SELECT revoked_at FROM families WHERE realm = $1 AND id = $2`
	rotateFamily = `UPDATE families SET previous_hash = current_hash, current_hash = $4, successor = $5,
		generation = generation + 1, rotated_at = $6, expires_at = $7, sweep_at = $8
		WHERE realm = $1 AND id = $2 AND current_hash = $3 AND revoked_at = 0 AND expires_at > $6`
	revokeFamily = `UPDATE families SET revoked_at = $3, sweep_at = $4
		WHERE realm = $1 AND id = $2 AND revoked_at = 0`
)

// familyArgs returns the arguments of insertFamily.
func (r *Realm) familyArgs(f *authserver.Family) ([]any, error) {
	scopes, err := encodeList(f.Scopes)
	if err != nil {
		return nil, err
	}
	successor, err := r.sealSuccessor(f.Successor, f.ID, f.Current)
	if err != nil {
		return nil, err
	}
	end := f.ExpiresAt
	if !f.RevokedAt.IsZero() {
		end = f.RevokedAt
	}
	return []any{
		r.name, f.ID, f.UserID, f.ClientID, f.Resource, scopes, millis(f.CreatedAt), millis(f.ExpiresAt),
		millis(f.RevokedAt), f.Generation, f.Current, f.Previous, successor, millis(f.RotatedAt),
		millis(end.Add(familyRest)),
	}, nil
}

// sealSuccessor seals a successor for its family and the hash of the newest
// refresh token: one of an earlier rotation does not open in a later row.
func (r *Realm) sealSuccessor(successor []byte, familyID string, current []byte) ([]byte, error) {
	if len(successor) == 0 {
		return nil, nil
	}
	return r.seal(successor, sealedSuccessor, familyID, string(current))
}

// Family implements authserver.GrantStore.
func (r *Realm) Family(ctx context.Context, id string) (*authserver.Family, error) {
	f := &authserver.Family{ID: id}
	var scopes string
	var successor []byte
	var created, expires, revoked, rotated int64
	err := r.db.reads.row(ctx, selectFamily, r.name, id).Scan(
		&f.UserID, &f.ClientID, &f.Resource, &scopes, &created, &expires,
		&revoked, &f.Generation, &f.Current, &f.Previous, &successor, &rotated)
	if err != nil {
		return nil, notFound(err, authserver.ErrNotFound, "family")
	}
	if f.Scopes, err = decodeList(scopes); err != nil {
		return nil, err
	}
	if len(successor) > 0 {
		if f.Successor, err = r.open(successor, sealedSuccessor, id, string(f.Current)); err != nil {
			return nil, err
		}
	}
	f.CreatedAt, f.ExpiresAt = instant(created), instant(expires)
	f.RevokedAt, f.RotatedAt = instant(revoked), instant(rotated)
	return f, nil
}

// familyKey names a family.
type familyKey struct{ realm, id string }

// FamilyAlive implements authserver.GrantStore.
func (r *Realm) FamilyAlive(ctx context.Context, id string) (bool, error) {
	key := familyKey{r.name, id}
	if _, ok := r.db.families.get(key); ok {
		return true, nil
	}
	begun := r.db.families.begin()
	var revoked int64
	err := r.db.reads.row(ctx, selectAlive, r.name, id).Scan(&revoked)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading family: %w", err)
	}
	if revoked == 0 {
		r.db.families.keep(begun, key, struct{}{})
	}
	return revoked == 0, nil
}

// RotateFamily implements authserver.GrantStore. It also notes that the client
// was used, to the day.
func (r *Realm) RotateFamily(ctx context.Context, rot *authserver.Rotation) (bool, error) {
	successor, err := r.sealSuccessor(rot.Successor, rot.FamilyID, rot.Next)
	if err != nil {
		return false, err
	}
	rotated := false
	err = r.db.write(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, rotateFamily, r.name, rot.FamilyID, rot.Presented, rot.Next, successor,
			millis(rot.Now), millis(rot.ExpiresAt), millis(rot.ExpiresAt.Add(familyRest)))
		if err != nil {
			return fmt.Errorf("rotating family: %w", err)
		}
		rotated = n > 0
		if !rotated || rot.Now.Sub(rot.ClientUsedAt) < rotationGrain {
			return nil
		}
		return r.clientUsed(ctx, t, rot.ClientID, rot.Now, rotationGrain)
	})
	if err != nil {
		return false, err
	}
	return rotated, nil
}

// RevokeFamily implements authserver.GrantStore. The first revocation counts.
func (r *Realm) RevokeFamily(ctx context.Context, id string, now time.Time) error {
	defer r.db.families.write(familyKey{r.name, id})()
	return r.db.write(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, revokeFamily, r.name, id, millis(now), millis(now.Add(familyRest)))
		if err != nil {
			return fmt.Errorf("revoking family: %w", err)
		}
		return nil
	})
}
