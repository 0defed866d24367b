package store

import (
	"context"
	"fmt"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

const (
	countDevices = `SELECT COUNT(*) FROM devices WHERE realm = $1 AND decided = 0 AND expires_at > $2`
	insertDevice = `INSERT INTO devices (realm, user_hash, hash, client_id, resource, scopes, expires_at, decided)
		VALUES ($1, $2, $3, $4, $5, $6, $7, 0)`
	selectWaiting = `SELECT user_hash, hash, client_id, resource, scopes, expires_at, decided
		FROM devices WHERE realm = $1 AND user_hash = $2 AND decided = 0 AND expires_at > $3`
	selectDevice = `SELECT user_hash, hash, client_id, resource, scopes, expires_at, decided
		FROM devices WHERE realm = $1 AND hash = $2`
	decideDevice = `UPDATE devices SET decided = 1
		WHERE realm = $1 AND user_hash = $2 AND decided = 0 AND expires_at > $3`
	sweepDevices = `DELETE FROM devices WHERE (realm, user_hash) IN
		(SELECT realm, user_hash FROM devices WHERE expires_at <= $1 LIMIT $2)`
)

// AddDevice implements authserver.DeviceStore.
func (r *Realm) AddDevice(ctx context.Context, d *authserver.Device, limit int, now time.Time) error {
	scopes, err := encodeList(d.Scopes)
	if err != nil {
		return err
	}
	return r.db.write(ctx, func(ctx context.Context, t *tx) error {
		var waiting int
		if err := t.row(ctx, countDevices, r.name, millis(now)).Scan(&waiting); err != nil {
			return fmt.Errorf("counting devices: %w", err)
		}
		if waiting >= limit {
			return authserver.ErrFull
		}
		_, err := t.exec(ctx, insertDevice, r.name, d.UserHash, d.Hash, d.ClientID, d.Resource, scopes, millis(d.ExpiresAt))
		if err != nil {
			return fmt.Errorf("storing device: %w", err)
		}
		return nil
	})
}

// DeviceByUserCode implements authserver.DeviceStore.
func (r *Realm) DeviceByUserCode(ctx context.Context, userHash []byte, now time.Time) (*authserver.Device, error) {
	return scanDevice(r.db.reads.row(ctx, selectWaiting, r.name, userHash, millis(now)))
}

// Device implements authserver.DeviceStore.
func (r *Realm) Device(ctx context.Context, hash []byte) (*authserver.Device, error) {
	return scanDevice(r.db.reads.row(ctx, selectDevice, r.name, hash))
}

func scanDevice(row scanner) (*authserver.Device, error) {
	d := new(authserver.Device)
	var scopes string
	var expires, decided int64
	err := row.Scan(&d.UserHash, &d.Hash, &d.ClientID, &d.Resource, &scopes, &expires, &decided)
	if err != nil {
		return nil, notFound(err, authserver.ErrNotFound, "device")
	}
	if d.Scopes, err = decodeList(scopes); err != nil {
		return nil, err
	}
	d.ExpiresAt, d.Decided = instant(expires), decided > 0
	return d, nil
}

// DecideDevice implements authserver.DeviceStore.
func (r *Realm) DecideDevice(ctx context.Context, userHash []byte, c *authserver.Code, now time.Time) error {
	var args []any
	if c != nil {
		var err error
		if args, err = r.codeArgs(c); err != nil {
			return err
		}
	}
	return r.db.write(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, decideDevice, r.name, userHash, millis(now))
		if err != nil {
			return fmt.Errorf("deciding about device: %w", err)
		}
		if n == 0 {
			return authserver.ErrTaken
		}
		if c == nil {
			return nil
		}
		if _, err := t.exec(ctx, insertCode, args...); err != nil {
			return fmt.Errorf("storing code: %w", err)
		}
		return nil
	})
}
