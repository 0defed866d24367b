package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	// selectKeyset gives the fingerprints of all keys that rows may be sealed
	// by, with spaces between them, the newest last.
	selectKeyset = `SELECT value FROM meta WHERE name = 'keyset'`
	setKeyset    = `INSERT INTO meta (name, value) VALUES ('keyset', $1)
		ON CONFLICT (name) DO UPDATE SET value = excluded.value`
)

// readKeyset returns the fingerprints that the database belongs to; all of their
// keys must be at hand. A database whose first start was cut short has none.
func readKeyset(ctx context.Context, db *sql.DB, o Options) ([]string, error) {
	var value string
	err := db.QueryRowContext(ctx, selectKeyset).Scan(&value)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("reading keyset fingerprints: %w", err)
	}
	bound := strings.Fields(value)
	for _, fingerprint := range bound {
		if fingerprint != o.Fingerprint && !slices.Contains(o.Older, fingerprint) {
			return nil, ErrOtherKeyset
		}
	}
	return bound, nil
}

// bindKeyset adds the key that seals from now on to those that the database
// belongs to, before anything is sealed by it.
func bindKeyset(ctx context.Context, db *sql.DB, rebind func(string) string, o Options) error {
	bound, err := readKeyset(ctx, db, o)
	if err != nil {
		return err
	}
	if len(bound) > 0 && bound[len(bound)-1] == o.Fingerprint {
		return nil
	}
	bound = append(slices.DeleteFunc(bound, func(one string) bool { return one == o.Fingerprint }), o.Fingerprint)
	if _, err := db.ExecContext(ctx, rebind(setKeyset), strings.Join(bound, " ")); err != nil {
		return fmt.Errorf("storing keyset fingerprints: %w", err)
	}
	return nil
}
