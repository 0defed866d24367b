package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
)

// SQLSTATE codes (PostgreSQL manual, appendix A).
const (
	codeSerialization = "40001"
	codeDeadlock      = "40P01"
	codeEncoding      = "22021" // text with a zero byte, or that is not UTF-8
	codeReadOnly      = "25006" // a server that was the primary one
	codeQueryCanceled = "57014" // by statement_timeout

	classConnection = "08"
	classResources  = "53" // such as too many connections
	classOperator   = "57" // such as shutting down, or starting up
)

// isLost reports whether an error means that the database does not answer at the
// moment, rather than that it did not like a statement.
func isLost(err error) bool {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		switch class := refused.Code[:min(2, len(refused.Code))]; class {
		case classConnection, classResources, classOperator:
			return refused.Code != codeQueryCanceled
		}
		return refused.Code == codeReadOnly
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, pgconn.ErrConnClosed)
}

// isTransient reports whether opening a database may succeed later without anybody
// changing the configuration.
func isTransient(err error) bool {
	return isLost(err) || isConflict(err)
}

// isConflict reports whether a transaction stood in the way of another one and may
// be tried again.
func isConflict(err error) bool {
	return hasCode(err, codeSerialization) || hasCode(err, codeDeadlock)
}

func hasCode(err error, code string) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == code
}
