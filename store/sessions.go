package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

const (
	insertSession = `INSERT INTO sessions (realm, hash, user_id, identity, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6)`
	selectSession = `SELECT user_id, identity, created_at, expires_at
		FROM sessions WHERE realm = $1 AND hash = $2 AND expires_at > $3`
	extendSession = `UPDATE sessions SET expires_at = $3 WHERE realm = $1 AND hash = $2`
	deleteSession = `DELETE FROM sessions WHERE realm = $1 AND hash = $2`

	endSession = `INSERT INTO ended_sessions (realm, hash, forget_at) VALUES ($1, $2, $3)
		ON CONFLICT (realm, hash) DO UPDATE SET forget_at = excluded.forget_at
		WHERE ended_sessions.forget_at < excluded.forget_at`
	selectEnded = `SELECT 1 FROM ended_sessions WHERE realm = $1 AND hash = $2`
)

// AddSession implements authserver.PersonStore.
func (r *Realm) AddSession(ctx context.Context, s *authserver.Session) error {
	return r.db.write(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, insertSession, r.name, s.Hash, s.UserID, s.Identity,
			millis(s.CreatedAt), millis(s.ExpiresAt))
		if err != nil {
			return fmt.Errorf("storing session: %w", err)
		}
		return nil
	})
}

// Session implements authserver.PersonStore.
func (r *Realm) Session(ctx context.Context, hash []byte, now time.Time) (*authserver.Session, error) {
	s := &authserver.Session{Hash: hash}
	var created, expires int64
	err := r.db.reads.row(ctx, selectSession, r.name, hash, millis(now)).
		Scan(&s.UserID, &s.Identity, &created, &expires)
	if err != nil {
		return nil, notFound(err, authserver.ErrNotFound, "session")
	}
	s.CreatedAt, s.ExpiresAt = instant(created), instant(expires)
	return s, nil
}

// ExtendSession implements authserver.PersonStore. The error is
// authserver.ErrNotFound for a session that was deleted meanwhile.
func (r *Realm) ExtendSession(ctx context.Context, hash []byte, until time.Time) error {
	return r.db.write(ctx, func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, extendSession, r.name, hash, millis(until))
		if err != nil {
			return fmt.Errorf("extending session: %w", err)
		}
		if n == 0 {
			return authserver.ErrNotFound
		}
		return nil
	})
}

// DeleteSession implements authserver.PersonStore.
func (r *Realm) DeleteSession(ctx context.Context, hash []byte) error {
	return r.db.write(ctx, func(ctx context.Context, t *tx) error {
		if _, err := t.exec(ctx, deleteSession, r.name, hash); err != nil {
			return fmt.Errorf("deleting session: %w", err)
		}
		return nil
	})
}

// sessionKey names a legacy session.
type sessionKey struct{ realm, id string }

// EndSession implements mcphandler.EndedSessions. The id itself is not stored.
func (r *Realm) EndSession(ctx context.Context, id string, until time.Time) error {
	defer r.db.sessions.write(sessionKey{r.name, id})()
	return r.db.write(ctx, func(ctx context.Context, t *tx) error {
		if _, err := t.exec(ctx, endSession, r.name, digest(id), millis(until)); err != nil {
			return fmt.Errorf("storing ended session: %w", err)
		}
		return nil
	})
}

// SessionEnded implements mcphandler.EndedSessions.
func (r *Realm) SessionEnded(ctx context.Context, id string) (bool, error) {
	key := sessionKey{r.name, id}
	if _, ok := r.db.sessions.get(key); ok {
		return false, nil
	}
	begun := r.db.sessions.begin()
	var one int
	err := r.db.reads.row(ctx, selectEnded, r.name, digest(id)).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		r.db.sessions.keep(begun, key, struct{}{})
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading ended session: %w", err)
	}
	return true, nil
}
