package store

import (
	"context"
	"fmt"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

const (
	countClient = `INSERT INTO client_counts (realm, clients) VALUES ($1, 1)
		ON CONFLICT (realm) DO UPDATE SET clients = client_counts.clients + 1
		WHERE client_counts.clients < $2`
	insertClient = `INSERT INTO clients
		(realm, id, name, redirect_uris, auth_method, secret_hash, metadata, created_at, used_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`
	selectClient = `SELECT name, redirect_uris, auth_method, secret_hash, metadata, created_at, used_at
		FROM clients WHERE realm = $1 AND id = $2`
	useClient = `UPDATE clients SET used_at = $3 WHERE realm = $1 AND id = $2 AND used_at <= $4`

	sweepClients = `DELETE FROM clients WHERE realm = $1 AND (
		(used_at = 0 AND created_at < $2) OR
		(used_at > 0 AND used_at < $3 AND NOT EXISTS (
			SELECT 1 FROM families WHERE families.realm = clients.realm AND families.client_id = clients.id
			AND families.revoked_at = 0 AND families.expires_at > $4)))`
	uncountClients = `UPDATE client_counts SET clients = clients - $2 WHERE realm = $1`
)

// AddClient implements authserver.ClientStore.
func (r *Realm) AddClient(ctx context.Context, c *authserver.Client, limit int) error {
	if limit < 1 {
		return authserver.ErrFull
	}
	uris, err := encodeList(c.RedirectURIs)
	if err != nil {
		return err
	}
	metadata, err := r.seal(c.Metadata, sealedClient, c.ID)
	if err != nil {
		return err
	}
	return r.db.write(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, countClient, r.name, limit)
		if err != nil {
			return fmt.Errorf("counting clients: %w", err)
		}
		if n == 0 {
			return authserver.ErrFull
		}
		_, err = t.exec(ctx, insertClient, r.name, c.ID, c.Name, uris, c.AuthMethod,
			c.SecretHash, metadata, millis(c.CreatedAt), millis(c.UsedAt))
		if err != nil {
			return fmt.Errorf("storing client: %w", err)
		}
		return nil
	})
}

// clientKey names a client.
type clientKey struct{ realm, id string }

// Client implements authserver.ClientStore. A client never changes but for
// UsedAt, which may be that of a second ago: nothing is decided by it but whether
// to note it anew.
func (r *Realm) Client(ctx context.Context, id string) (*authserver.Client, error) {
	key := clientKey{r.name, id}
	if c, ok := r.db.clients.get(key); ok {
		return c, nil
	}
	begun := r.db.clients.begin()
	c, err := r.readClient(ctx, id)
	if err == nil {
		r.db.clients.keep(begun, key, c)
	}
	return c, err
}

func (r *Realm) readClient(ctx context.Context, id string) (*authserver.Client, error) {
	c := &authserver.Client{ID: id}
	var uris string
	var metadata []byte
	var created, used int64
	err := r.db.reads.row(ctx, selectClient, r.name, id).
		Scan(&c.Name, &uris, &c.AuthMethod, &c.SecretHash, &metadata, &created, &used)
	if err != nil {
		return nil, notFound(err, authserver.ErrNotFound, "client")
	}
	if c.RedirectURIs, err = decodeList(uris); err != nil {
		return nil, err
	}
	plain, err := r.open(metadata, sealedClient, id)
	if err != nil {
		return nil, err
	}
	if len(plain) > 0 {
		c.Metadata = plain
	}
	c.CreatedAt, c.UsedAt = instant(created), instant(used)
	return c, nil
}

// SweepClients implements authserver.ClientStore.
func (r *Realm) SweepClients(ctx context.Context, unused, idle time.Time) (int, error) {
	now := r.db.now()
	var n int64
	err := r.db.write(ctx, func(ctx context.Context, t *tx) error {
		var err error
		n, err = t.exec(ctx, sweepClients, r.name, millis(unused), millis(idle), millis(now))
		if err != nil {
			return fmt.Errorf("sweeping clients: %w", err)
		}
		if n == 0 {
			return nil
		}
		if _, err = t.exec(ctx, uncountClients, r.name, n); err != nil {
			return fmt.Errorf("counting clients: %w", err)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	if n > 0 {
		r.db.clients.drop()
	}
	return int(n), nil
}

// clientUsed notes that a client got a token at now, unless it is noted for a
// time less than grain before. A client that is not in the store, because it is
// configured or has a metadata document, is no error.
func (r *Realm) clientUsed(ctx context.Context, t *tx, id string, now time.Time, grain time.Duration) error {
	_, err := t.exec(ctx, useClient, r.name, id, millis(now), millis(now.Add(-grain)))
	if err != nil {
		return fmt.Errorf("marking client as used: %w", err)
	}
	return nil
}
