package store

import (
	"context"
	"fmt"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

const (
	insertCode = `INSERT INTO codes (realm, hash, family_id, client_id, user_id, redirect_uri,
		code_challenge, resource, scopes, expires_at, used)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0)`
	selectCode = `SELECT family_id, client_id, user_id, redirect_uri, code_challenge, resource, scopes, expires_at
		FROM codes WHERE realm = $1 AND hash = $2 AND (expires_at > $3 OR used = 1)`
	takeCode  = `UPDATE codes SET used = 1 WHERE realm = $1 AND hash = $2 AND used = 0 AND expires_at > $3`
	codeState = `SELECT used FROM codes WHERE realm = $1 AND hash = $2`
)

// AddCode implements authserver.GrantStore.
func (r *Realm) AddCode(ctx context.Context, c *authserver.Code) error {
	args, err := r.codeArgs(c)
	if err != nil {
		return err
	}
	return r.db.write(ctx, func(ctx context.Context, t *tx) error {
		if _, err := t.exec(ctx, insertCode, args...); err != nil {
			return fmt.Errorf("storing code: %w", err)
		}
		return nil
	})
}

// codeArgs returns the arguments of insertCode.
func (r *Realm) codeArgs(c *authserver.Code) ([]any, error) {
	scopes, err := encodeList(c.Scopes)
	if err != nil {
		return nil, err
	}
	return []any{
		r.name, c.Hash, c.FamilyID, c.ClientID, c.UserID, c.RedirectURI, c.CodeChallenge, c.Resource, scopes, millis(c.ExpiresAt),
	}, nil
}

// Code implements authserver.GrantStore.
func (r *Realm) Code(ctx context.Context, hash []byte, now time.Time) (*authserver.Code, error) {
	c := &authserver.Code{Hash: hash}
	var scopes string
	var expires int64
	err := r.db.reads.row(ctx, selectCode, r.name, hash, millis(now)).Scan(
		&c.FamilyID, &c.ClientID, &c.UserID, &c.RedirectURI, &c.CodeChallenge, &c.Resource, &scopes, &expires)
	if err != nil {
		return nil, notFound(err, authserver.ErrNotFound, "code")
	}
	if c.Scopes, err = decodeList(scopes); err != nil {
		return nil, err
	}
	c.ExpiresAt = instant(expires)
	return c, nil
}

// RedeemCode implements authserver.GrantStore. A code that has ended at
// f.CreatedAt and was not used gives authserver.ErrNotFound.
func (r *Realm) RedeemCode(ctx context.Context, hash []byte, f *authserver.Family) error {
	args, err := r.familyArgs(f)
	if err != nil {
		return err
	}
	return r.db.write(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, takeCode, r.name, hash, millis(f.CreatedAt))
		if err != nil {
			return fmt.Errorf("redeeming code: %w", err)
		}
		if n == 0 {
			return r.whyNotTaken(ctx, t, hash)
		}
		if _, err := t.exec(ctx, insertFamily, args...); err != nil {
			return fmt.Errorf("storing family: %w", err)
		}
		return r.clientUsed(ctx, t, f.ClientID, f.CreatedAt, 0)
	})
}

// whyNotTaken returns the error for a code that could not be taken.
func (r *Realm) whyNotTaken(ctx context.Context, t *tx, hash []byte) error {
	var used bool
	if err := t.row(ctx, codeState, r.name, hash).Scan(&used); err != nil {
		return notFound(err, authserver.ErrNotFound, "code")
	}
	if used {
		return authserver.ErrTaken
	}
	return authserver.ErrNotFound // past its end
}
