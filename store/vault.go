package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/local"
)

// A deleted grant leaves its version behind for a while and a new one goes on
// from there: a renewal that was under way when the person connected another
// account must not overwrite it with the tokens of the old one.
const (
	selectGrant = `SELECT version, sealed FROM grants
		WHERE realm = $1 AND user_id = $2 AND provider = $3 AND label = $4 AND deleted_at = 0`
	selectGrants = `SELECT provider, label, version, sealed FROM grants
		WHERE realm = $1 AND user_id = $2 AND deleted_at = 0`
	insertGrant = `INSERT INTO grants (realm, user_id, provider, label, version, sealed, deleted_at)
		VALUES ($1, $2, $3, $4, 1, $5, 0) ON CONFLICT (realm, user_id, provider, label) DO NOTHING`
	selectDeleted = `SELECT version FROM grants
		WHERE realm = $1 AND user_id = $2 AND provider = $3 AND label = $4 AND deleted_at > 0`
	updateGrant = `UPDATE grants SET version = version + 1, sealed = $6, deleted_at = 0
		WHERE realm = $1 AND user_id = $2 AND provider = $3 AND label = $4 AND version = $5
		AND deleted_at = 0`
	reviveGrant = `UPDATE grants SET version = version + 1, sealed = $6, deleted_at = 0
		WHERE realm = $1 AND user_id = $2 AND provider = $3 AND label = $4 AND version = $5
		AND deleted_at > 0`
	deleteGrant = `UPDATE grants SET version = version + 1, sealed = NULL, deleted_at = $5
		WHERE realm = $1 AND user_id = $2 AND provider = $3 AND label = $4 AND deleted_at = 0 AND version = $6`

	takeOnce = `INSERT INTO taken_ids (realm, hash, forget_at) VALUES ($1, $2, $3)
		ON CONFLICT (realm, hash) DO UPDATE SET forget_at = excluded.forget_at
		WHERE taken_ids.forget_at < $4`
)

// grantData is the sealed part of a grant. Times are milliseconds.
type grantData struct {
	AccessToken  string   `json:"access_token"`
	RefreshToken string   `json:"refresh_token"`
	Expiry       int64    `json:"expiry"`
	Scopes       []string `json:"scopes"`
	Account      string   `json:"account"`
	Client       string   `json:"client"`
	Dead         bool     `json:"dead"`
	CreatedAt    int64    `json:"created_at"`
	UpdatedAt    int64    `json:"updated_at"`
}

// Grant implements local.Store.
func (r *Realm) Grant(ctx context.Context, userID, provider, label string) (*local.Grant, error) {
	var version int64
	var sealed []byte
	err := r.db.reads.row(ctx, selectGrant, r.name, userID, provider, label).Scan(&version, &sealed)
	if err != nil {
		return nil, notFound(err, local.ErrNotFound, "grant")
	}
	return r.openGrant(sealed, userID, provider, label, version), nil
}

// grantKey names a grant.
type grantKey struct{ realm, user, provider, label string }

// RecentGrant implements local.Store.
func (r *Realm) RecentGrant(ctx context.Context, userID, provider, label string) (*local.Grant, error) {
	key := grantKey{r.name, userID, provider, label}
	g, ok := r.db.grants.get(key)
	if !ok {
		begun := r.db.grants.begin()
		var err error
		if g, err = r.Grant(ctx, userID, provider, label); err != nil {
			return nil, err
		}
		r.db.grants.keep(begun, key, g)
	}
	own := *g
	return &own, nil
}

// Grants implements local.Store.
func (r *Realm) Grants(ctx context.Context, userID string) ([]*local.Grant, error) {
	var grants []*local.Grant
	err := r.db.reads.each(ctx, func(row scanner) error {
		var provider, label string
		var version int64
		var sealed []byte
		if err := row.Scan(&provider, &label, &version, &sealed); err != nil {
			return err
		}
		grants = append(grants, r.openGrant(sealed, userID, provider, label, version))
		return nil
	}, selectGrants, r.name, userID)
	if err != nil {
		return nil, fmt.Errorf("reading grants: %w", err)
	}
	slices.SortFunc(grants, func(a, b *local.Grant) int {
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Label, b.Label))
	})
	return grants, nil
}

// PutGrant implements local.Store.
func (r *Realm) PutGrant(ctx context.Context, g *local.Grant) error {
	defer r.db.grants.write(grantKey{r.name, g.UserID, g.Provider, g.Label})()
	var next int64
	err := r.db.write(ctx, func(ctx context.Context, t *tx) error {
		var err error
		if g.Version == 0 {
			next, err = r.addGrant(ctx, t, g)
		} else {
			next, err = r.changeGrant(ctx, t, g, updateGrant, g.Version)
		}
		return err
	})
	if err != nil {
		return err
	}
	g.Version = next
	return nil
}

// addGrant stores a grant where there is none, and returns its version.
func (r *Realm) addGrant(ctx context.Context, t *tx, g *local.Grant) (int64, error) {
	sealed, err := r.sealGrant(g, 1)
	if err != nil {
		return 0, err
	}
	n, err := t.exec(ctx, insertGrant, r.name, g.UserID, g.Provider, g.Label, sealed)
	if err != nil {
		return 0, fmt.Errorf("storing grant: %w", err)
	}
	if n == 1 {
		return 1, nil
	}
	var deleted int64
	err = t.row(ctx, selectDeleted, r.name, g.UserID, g.Provider, g.Label).Scan(&deleted)
	if err != nil {
		return 0, notFound(err, local.ErrConflict, "deleted grant")
	}
	return r.changeGrant(ctx, t, g, reviveGrant, deleted)
}

// changeGrant stores a grant in place of the one of that version with query,
// and returns its new version.
func (r *Realm) changeGrant(ctx context.Context, t *tx, g *local.Grant, query string, version int64) (int64, error) {
	sealed, err := r.sealGrant(g, version+1)
	if err != nil {
		return 0, err
	}
	n, err := t.exec(ctx, query, r.name, g.UserID, g.Provider, g.Label, version, sealed)
	if err != nil {
		return 0, fmt.Errorf("storing grant: %w", err)
	}
	if n == 0 {
		return 0, local.ErrConflict
	}
	return version + 1, nil
}

// DeleteGrant implements local.Store.
func (r *Realm) DeleteGrant(ctx context.Context, g *local.Grant) error {
	defer r.db.grants.write(grantKey{r.name, g.UserID, g.Provider, g.Label})()
	now := millis(r.db.now())
	return r.db.write(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, deleteGrant, r.name, g.UserID, g.Provider, g.Label, now, g.Version)
		if err != nil {
			return fmt.Errorf("deleting grant: %w", err)
		}
		if n == 0 {
			return local.ErrConflict
		}
		return nil
	})
}

// TakeOnce implements local.Store and authserver.OnceStore, whose ids are one
// set: they are random or begin with what they are for. The id itself is not
// stored.
func (r *Realm) TakeOnce(ctx context.Context, id string, until time.Time) (bool, error) {
	now := millis(r.db.now())
	var n int64
	err := r.db.write(ctx, func(ctx context.Context, t *tx) error {
		var err error
		if n, err = t.exec(ctx, takeOnce, r.name, digest(id), millis(until), now); err != nil {
			return fmt.Errorf("taking id: %w", err)
		}
		return nil
	})
	return n == 1 && err == nil, err
}

// sealGrant seals what version of g holds.
func (r *Realm) sealGrant(g *local.Grant, version int64) ([]byte, error) {
	return r.sealJSON(grantData{
		AccessToken:  g.AccessToken.Reveal(),
		RefreshToken: g.RefreshToken.Reveal(),
		Expiry:       millis(g.Expiry),
		Scopes:       g.Scopes,
		Account:      g.Account,
		Client:       g.Client,
		Dead:         g.Dead,
		CreatedAt:    millis(g.CreatedAt),
		UpdatedAt:    millis(g.UpdatedAt),
	}, sealedGrant, g.UserID, g.Provider, g.Label, strconv.FormatInt(version, 10))
}

// openGrant is the inverse of sealGrant. What does not open is a damaged grant and
// no error: the person's other grants, and a new connection, do not hang on it.
func (r *Realm) openGrant(sealed []byte, userID, provider, label string, version int64) *local.Grant {
	var d grantData
	err := r.openJSON(sealed, &d, sealedGrant, userID, provider, label, strconv.FormatInt(version, 10))
	if err != nil {
		return &local.Grant{UserID: userID, Provider: provider, Label: label, Version: version, Dead: true, Damaged: err}
	}
	return &local.Grant{
		UserID:       userID,
		Provider:     provider,
		Label:        label,
		Version:      version,
		AccessToken:  vaultclient.NewSecret(d.AccessToken),
		RefreshToken: vaultclient.NewSecret(d.RefreshToken),
		Expiry:       instant(d.Expiry),
		Scopes:       d.Scopes,
		Account:      d.Account,
		Client:       d.Client,
		Dead:         d.Dead,
		CreatedAt:    instant(d.CreatedAt),
		UpdatedAt:    instant(d.UpdatedAt),
	}
}
