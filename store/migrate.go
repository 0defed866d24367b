package store

import (
	"context"
	"database/sql"
	"embed"
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
		if _, err := readKeyset(ctx, db, o); err != nil {
			return err
		}
	}
	if current < target {
		if _, err := p.Up(ctx); err != nil {
			return fmt.Errorf("migrating schema: %w", err)
		}
		o.Logger.Info("migrated database schema", zap.Int64("from", current), zap.Int64("to", target))
	}

	return bindKeyset(ctx, db, rebind, o)
}
