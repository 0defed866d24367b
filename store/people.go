package store

import (
	"context"
	"fmt"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

const (
	// touchUser finds the row of a subject or makes it, and holds it until the
	// end of the transaction, on PostgreSQL too.
	touchUser = `INSERT INTO users (realm, id, subject_hash, sealed) VALUES ($1, $2, $3, $4)
		ON CONFLICT (realm, subject_hash) DO UPDATE SET subject_hash = excluded.subject_hash
		RETURNING id`
	updateUser = `UPDATE users SET sealed = $3 WHERE realm = $1 AND id = $2`
	findUser   = `SELECT id, sealed FROM users WHERE realm = $1 AND subject_hash = $2`
	selectUser = `SELECT subject_hash, sealed FROM users WHERE realm = $1 AND id = $2`

	upsertConsent = `INSERT INTO consents (realm, hash, user_id, client_id, redirect_uri, scopes, given_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (realm, hash) DO UPDATE SET scopes = excluded.scopes, given_at = excluded.given_at`
	selectConsent = `SELECT scopes, given_at FROM consents WHERE realm = $1 AND hash = $2`
)

// userData is the sealed part of a user.
type userData struct {
	Issuer  string             `json:"issuer"`
	Subject string             `json:"subject"`
	Profile authserver.Profile `json:"profile"`
	Updated int64              `json:"updated"` // milliseconds
}

// UpsertUser implements authserver.PersonStore.
func (r *Realm) UpsertUser(
	ctx context.Context, newID, issuer, subject string, p authserver.Profile, now time.Time,
) (*authserver.User, error) {
	hash := digest(r.name, issuer, subject)
	data := userData{Issuer: issuer, Subject: subject, Profile: p, Updated: millis(now)}
	u := &authserver.User{Issuer: issuer, Subject: subject, Profile: p}
	err := r.db.write(ctx, func(ctx context.Context, t *tx) error {
		if err := t.row(ctx, touchUser, r.name, newID, hash, []byte{}).Scan(&u.ID); err != nil {
			return fmt.Errorf("finding user: %w", err)
		}
		sealed, err := r.sealJSON(data, sealedUser, u.ID, string(hash))
		if err != nil {
			return err
		}
		if _, err := t.exec(ctx, updateUser, r.name, u.ID, sealed); err != nil {
			return fmt.Errorf("storing user: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return u, nil
}

// FindUser implements authserver.PersonStore.
func (r *Realm) FindUser(ctx context.Context, issuer, subject string) (*authserver.User, error) {
	hash := digest(r.name, issuer, subject)
	var id string
	var sealed []byte
	if err := r.db.reads.row(ctx, findUser, r.name, hash).Scan(&id, &sealed); err != nil {
		return nil, notFound(err, authserver.ErrNotFound, "user")
	}
	return r.openUser(id, hash, sealed)
}

// User implements authserver.PersonStore.
func (r *Realm) User(ctx context.Context, id string) (*authserver.User, error) {
	var hash, sealed []byte
	if err := r.db.reads.row(ctx, selectUser, r.name, id).Scan(&hash, &sealed); err != nil {
		return nil, notFound(err, authserver.ErrNotFound, "user")
	}
	return r.openUser(id, hash, sealed)
}

// openUser opens the row of a user.
func (r *Realm) openUser(id string, hash, sealed []byte) (*authserver.User, error) {
	var data userData
	if err := r.openJSON(sealed, &data, sealedUser, id, string(hash)); err != nil {
		return nil, err
	}
	return &authserver.User{ID: id, Issuer: data.Issuer, Subject: data.Subject, Profile: data.Profile}, nil
}

// PutConsent implements authserver.PersonStore.
func (r *Realm) PutConsent(ctx context.Context, c *authserver.Consent) error {
	scopes, err := encodeList(c.Scopes)
	if err != nil {
		return err
	}
	return r.db.write(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, upsertConsent, r.name, digest(c.UserID, c.ClientID, c.RedirectURI),
			c.UserID, c.ClientID, c.RedirectURI, scopes, millis(c.GivenAt))
		if err != nil {
			return fmt.Errorf("storing consent: %w", err)
		}
		return nil
	})
}

// Consent implements authserver.PersonStore.
func (r *Realm) Consent(ctx context.Context, userID, clientID, redirectURI string) (*authserver.Consent, error) {
	c := &authserver.Consent{UserID: userID, ClientID: clientID, RedirectURI: redirectURI}
	var scopes string
	var given int64
	err := r.db.reads.row(ctx, selectConsent, r.name, digest(userID, clientID, redirectURI)).Scan(&scopes, &given)
	if err != nil {
		return nil, notFound(err, authserver.ErrNotFound, "consent")
	}
	if c.Scopes, err = decodeList(scopes); err != nil {
		return nil, err
	}
	c.GivenAt = instant(given)
	return c, nil
}
