package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// connectTimeout bounds one try to connect, unless the URL has a connect_timeout.
const connectTimeout = 5 * time.Second

// sessionSettings are set on each connection for queries. The server ends what
// takes too long, and the transaction of a node that is gone, whose locks others
// wait for. A server that acknowledges commits before they are on disk is told not
// to; one that waits for more than its own disk goes on to.
const sessionSettings = `SELECT
	set_config('statement_timeout', '10s', false),
	set_config('lock_timeout', '4s', false),
	set_config('idle_in_transaction_session_timeout', '10s', false),
	set_config('synchronous_commit', CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'
		ELSE current_setting('synchronous_commit') END, false)`

var errBadURL = errors.New("not the URL of a PostgreSQL database; want postgres://user:password@host:5432/database, " +
	"with special characters of the password percent-encoded, and settings such as ?sslmode=verify-full")

// CheckPostgresURL returns an error for what is no URL of a PostgreSQL database,
// such as postgres://user:password@host:5432/database?sslmode=verify-full. It makes
// no connection. The error holds nothing of the URL.
func CheckPostgresURL(url string) error {
	_, err := parsePostgres(url, "")
	return err
}

// parsePostgres returns how to connect. The schema comes before those that the URL
// or the role have.
func parsePostgres(text, schema string) (*pgx.ConnConfig, error) {
	if !strings.HasPrefix(text, "postgres://") && !strings.HasPrefix(text, "postgresql://") {
		return nil, errBadURL
	}
	config, err := pgx.ParseConfig(text)
	var file *fs.PathError
	switch {
	case errors.As(err, &file):
		return nil, fmt.Errorf("a file that the URL of the database names: %w", file)
	case err != nil:
		return nil, errBadURL // the cause may show parts of a password
	}
	if !strings.Contains(text, "connect_timeout=") {
		config.ConnectTimeout = connectTimeout
	}
	// Of several hosts the one counts that takes writes, unless the URL says otherwise.
	if hasSeveralHosts(config) && !strings.Contains(text, "target_session_attrs=") {
		config.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "alter_mcp"
	}
	if schema != "" {
		delete(config.RuntimeParams, "search_path")
		after := config.AfterConnect
		config.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
			if after != nil {
				if err := after(ctx, conn); err != nil {
					return err
				}
			}
			_, err := conn.Exec(ctx, `SET search_path = `+pgx.Identifier{schema}.Sanitize()).ReadAll()
			return err
		}
	}
	return config, nil
}

// hasSeveralHosts tells hosts from tries to reach one with and without TLS.
func hasSeveralHosts(config *pgx.ConnConfig) bool {
	return slices.ContainsFunc(config.Fallbacks, func(other *pgconn.FallbackConfig) bool {
		return other.Host != config.Host || other.Port != config.Port
	})
}

// setUp prepares a new connection for queries.
func setUp(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, sessionSettings, pgx.QueryExecModeSimpleProtocol); err != nil {
		_ = conn.Close(ctx) // nobody else does after an error here
		return fmt.Errorf("setting up a connection: %w", err)
	}
	return nil
}
