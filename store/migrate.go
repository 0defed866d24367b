package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"go.uber.org/zap"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrationTable is where goose keeps which migrations ran. It is not goose's
// default, which another program may use in a shared database.
const migrationTable = "alter_mcp_migrations"

// migrate brings the schema to this program's version and binds the database to
// the keyset. A database of another keyset or of a newer program is left as it
// is.
func migrate(ctx context.Context, db *sql.DB, dialect goose.Dialect, rebind func(string) string, o Options) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("reading migrations: %w", err)
	}
	p, err := goose.NewProvider(dialect, db, files,
		goose.WithTableName(migrationTable),
		goose.WithLogger(goose.NopLogger()),
		goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("preparing migrations: %w", err)
	}
	current, target, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("reading schema version: %w", err)
	}
	if current > target {
		return fmt.Errorf("the database has schema version %d, made by a newer program; this one knows %d", current, target)
	}
	if current > 0 {
		if err := checkFingerprint(ctx, db, rebind, o.Fingerprint); err != nil {
			return err
		}
	}
	if current < target {
		if _, err := p.Up(ctx); err != nil {
			return fmt.Errorf("migrating schema: %w", err)
		}
		o.Logger.Info("migrated database schema", zap.Int64("from", current), zap.Int64("to", target))
	}

	const q = `INSERT INTO meta (name, value) VALUES ('keyset', $1) ON CONFLICT (name) DO NOTHING`
	if _, err := db.ExecContext(ctx, rebind(q), o.Fingerprint); err != nil {
		return fmt.Errorf("storing keyset fingerprint: %w", err)
	}
	return checkFingerprint(ctx, db, rebind, o.Fingerprint)
}

// checkFingerprint compares want with the keyset that the database belongs to.
// One that belongs to none yet, because its first start was cut short, fits all.
func checkFingerprint(ctx context.Context, db *sql.DB, rebind func(string) string, want string) error {
	const q = `SELECT value FROM meta WHERE name = 'keyset' AND value <> $1`
	var other string
	switch err := db.QueryRowContext(ctx, rebind(q), want).Scan(&other); {
	case err == nil:
		return ErrOtherKeyset
	case !errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("reading keyset fingerprint: %w", err)
	}
	return nil
}
