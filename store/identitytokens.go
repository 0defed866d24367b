package store

import (
	"context"
	"fmt"
	"strconv"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// A row that is made anew begins with the time as its version, so that it never
// has one that a renewal of an earlier row still holds.
const (
	selectIdentityTokens = `SELECT version, updated_at, sealed FROM identity_tokens WHERE realm = $1 AND user_id = $2`
	// touchIdentityTokens finds the row of a person or makes it, moves it to its
	// next version, and holds it until the end of the transaction, on PostgreSQL
	// too.
	touchIdentityTokens = `INSERT INTO identity_tokens (realm, user_id, version, updated_at, sealed)
		VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (realm, user_id) DO UPDATE SET version = identity_tokens.version + 1
		RETURNING version`
	updateIdentityTokens = `UPDATE identity_tokens SET version = $4, updated_at = $5, sealed = $6
		WHERE realm = $1 AND user_id = $2 AND version = $3`
)

// identityTokensData is the sealed part of a row. Times are milliseconds.
type identityTokensData struct {
	Issuer       string `json:"issuer"`
	Subject      string `json:"subject"`
	Nonce        string `json:"nonce"`
	ID           string `json:"id"`
	IDExpiry     int64  `json:"id_expiry"`
	Access       string `json:"access"`
	AccessExpiry int64  `json:"access_expiry"`
	Refresh      string `json:"refresh"`
	Dead         bool   `json:"dead"`
	Refused      bool   `json:"refused"`
	Stale        bool   `json:"stale,omitempty"`
}

// userKey names a person.
type userKey struct{ realm, id string }

// IdentityTokens implements authserver.IdentityTokenStore.
func (r *Realm) IdentityTokens(ctx context.Context, userID string) (*authserver.KeptTokens, error) {
	var version, updated int64
	var sealed []byte
	err := r.db.reads.row(ctx, selectIdentityTokens, r.name, userID).Scan(&version, &updated, &sealed)
	if err != nil {
		return nil, notFound(err, authserver.ErrNotFound, "identity tokens")
	}
	k := r.openIdentityTokens(sealed, userID, version)
	k.UpdatedAt = instant(updated)
	return k, nil
}

// RecentIdentityTokens implements authserver.IdentityTokenStore.
func (r *Realm) RecentIdentityTokens(ctx context.Context, userID string) (*authserver.KeptTokens, error) {
	key := userKey{r.name, userID}
	if k, ok := r.db.identityTokens.get(key); ok {
		return k, nil
	}
	begun := r.db.identityTokens.begin()
	k, err := r.IdentityTokens(ctx, userID)
	if err != nil {
		return nil, err
	}
	r.db.identityTokens.keep(begun, key, k)
	return k, nil
}

// PutIdentityTokens implements authserver.IdentityTokenStore.
func (r *Realm) PutIdentityTokens(ctx context.Context, k *authserver.KeptTokens) error {
	defer r.db.identityTokens.write(userKey{r.name, k.UserID})()
	var next int64
	err := r.db.write(ctx, func(ctx context.Context, t *tx) error {
		was := k.Version
		next = was + 1
		if was == 0 {
			err := t.row(ctx, touchIdentityTokens, r.name, k.UserID, millis(r.db.now()), millis(k.UpdatedAt), []byte{}).Scan(&next)
			if err != nil {
				return fmt.Errorf("finding identity tokens: %w", err)
			}
			was = next
		}
		sealed, err := r.sealIdentityTokens(k, next)
		if err != nil {
			return err
		}
		n, err := t.exec(ctx, updateIdentityTokens, r.name, k.UserID, was, next, millis(k.UpdatedAt), sealed)
		if err != nil {
			return fmt.Errorf("storing identity tokens: %w", err)
		}
		if n == 0 {
			return authserver.ErrConflict
		}
		return nil
	})
	if err != nil {
		return err
	}
	k.Version = next
	return nil
}

// sealIdentityTokens seals what version of k holds.
func (r *Realm) sealIdentityTokens(k *authserver.KeptTokens, version int64) ([]byte, error) {
	t := &k.Tokens
	return r.sealJSON(identityTokensData{
		Issuer: t.Issuer, Subject: t.Subject, Nonce: t.Nonce,
		ID: t.ID.Reveal(), IDExpiry: millis(t.IDExpiry),
		Access: t.Access.Reveal(), AccessExpiry: millis(t.AccessExpiry),
		Refresh: t.Refresh.Reveal(), Dead: k.Dead, Refused: k.Refused, Stale: k.Stale,
	}, sealedIdentityTokens, k.UserID, strconv.FormatInt(version, 10))
}

// openIdentityTokens is the inverse of sealIdentityTokens.
func (r *Realm) openIdentityTokens(sealed []byte, userID string, version int64) *authserver.KeptTokens {
	var d identityTokensData
	if err := r.openJSON(sealed, &d, sealedIdentityTokens, userID, strconv.FormatInt(version, 10)); err != nil {
		return &authserver.KeptTokens{UserID: userID, Version: version, Dead: true, Damaged: err}
	}
	return &authserver.KeptTokens{
		UserID: userID, Version: version, Dead: d.Dead, Refused: d.Refused, Stale: d.Stale,
		Tokens: authserver.IdentityTokens{
			Issuer: d.Issuer, Subject: d.Subject, Nonce: d.Nonce,
			ID: authserver.NewSecret(d.ID), IDExpiry: instant(d.IDExpiry),
			Access: authserver.NewSecret(d.Access), AccessExpiry: instant(d.AccessExpiry),
			Refresh: authserver.NewSecret(d.Refresh),
		},
	}
}
