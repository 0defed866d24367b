package store

import (
	"context"
	"fmt"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

const (
	selectKeys = `SELECT id, private, created_at FROM signing_keys
		WHERE realm = $1 ORDER BY created_at DESC, ordinal DESC`
	// Of two processes that both see no key, the second waits at the primary
	// key for the first and then does nothing.
	insertFirstKey = `INSERT INTO signing_keys (realm, ordinal, id, private, created_at)
		SELECT $1, 1, $2, $3, $4 WHERE NOT EXISTS (SELECT 1 FROM signing_keys WHERE realm = $1)
		ON CONFLICT DO NOTHING`
)

// SigningKeys implements authserver.KeyStore. One key that does not open is an
// error: it must not look as if there were none.
func (r *Realm) SigningKeys(ctx context.Context) ([]*authserver.SigningKey, error) {
	var keys []*authserver.SigningKey
	err := r.db.reads.each(ctx, func(row scanner) error {
		k := new(authserver.SigningKey)
		var sealed []byte
		var created int64
		err := row.Scan(&k.ID, &sealed, &created)
		if err != nil {
			return err
		}
		if k.Private, err = r.open(sealed, sealedKey, k.ID); err != nil {
			return err
		}
		k.CreatedAt = instant(created)
		keys = append(keys, k)
		return nil
	}, selectKeys, r.name)
	if err != nil {
		return nil, fmt.Errorf("reading signing keys: %w", err)
	}
	return keys, nil
}

// AddFirstKey implements authserver.KeyStore.
func (r *Realm) AddFirstKey(ctx context.Context, k *authserver.SigningKey) error {
	sealed, err := r.seal(k.Private, sealedKey, k.ID)
	if err != nil {
		return err
	}
	return r.db.write(ctx, func(ctx context.Context, t *tx) error {
		if _, err := t.exec(ctx, insertFirstKey, r.name, k.ID, sealed, millis(k.CreatedAt)); err != nil {
			return fmt.Errorf("storing signing key: %w", err)
		}
		return nil
	})
}
