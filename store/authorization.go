package store

import (
	"context"
	"database/sql"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// selectAuthorization reads three rows by their keys in one statement: to begin
// and to end a read costs more than the rows, most of all after a commit, which
// empties what a connection keeps of the file.
const selectAuthorization = `SELECT f.user_id, f.client_id, f.resource, f.scopes, f.created_at, f.expires_at,
	f.revoked_at, f.generation, f.current_hash, f.previous_hash, f.rotated_at,
	u.subject_hash, u.sealed, c.name, c.auth_method, c.secret_hash, c.used_at
	FROM families f
	LEFT JOIN users u ON u.realm = f.realm AND u.id = f.user_id
	LEFT JOIN clients c ON c.realm = f.realm AND c.id = f.client_id
	WHERE f.realm = $1 AND f.id = $2`

// Authorization implements authserver.GrantStore. Of the client it reads neither
// the redirect URIs nor the sealed metadata: only pages and codes need them.
func (r *Realm) Authorization(ctx context.Context, familyID string) (*authserver.Authorization, error) {
	f := &authserver.Family{ID: familyID}
	var scopes string
	var created, expires, revoked, rotated int64
	var userHash, userSealed, secretHash []byte
	var clientName, authMethod sql.NullString
	var clientUsed sql.NullInt64
	err := r.db.reads.row(ctx, selectAuthorization, r.name, familyID).Scan(
		&f.UserID, &f.ClientID, &f.Resource, &scopes, &created, &expires,
		&revoked, &f.Generation, &f.Current, &f.Previous, &rotated,
		&userHash, &userSealed, &clientName, &authMethod, &secretHash, &clientUsed)
	if err != nil {
		return nil, notFound(err, authserver.ErrNotFound, "authorization")
	}
	if f.Scopes, err = decodeList(scopes); err != nil {
		return nil, err
	}
	f.CreatedAt, f.ExpiresAt = instant(created), instant(expires)
	f.RevokedAt, f.RotatedAt = instant(revoked), instant(rotated)

	a := &authserver.Authorization{Family: f}
	if userHash != nil {
		if a.User, err = r.openUser(f.UserID, userHash, userSealed); err != nil {
			return nil, err
		}
	}
	if clientName.Valid {
		a.Client = &authserver.Client{
			ID: f.ClientID, Name: clientName.String, AuthMethod: authMethod.String,
			SecretHash: secretHash, UsedAt: instant(clientUsed.Int64),
		}
	}
	return a, nil
}
