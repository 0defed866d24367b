package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const hush = "hush-hush"

func TestCheckPostgresURL(t *testing.T) {
	for name, tc := range map[string]struct {
		url  string
		good bool
	}{
		"with a password":                 {"postgres://u:" + hush + "@h:5432/d", true},
		"of the other scheme":             {"postgresql://u@h/d?sslmode=disable", true},
		"of a socket":                     {"postgres:///d?host=/run/postgresql", true},
		"of several hosts":                {"postgres://u:" + hush + "@a:5432,b:5433/d", true},
		"of another scheme":               {"mysql://u:" + hush + "@h/d", false},
		"of words":                        {"host=h password=" + hush, false},
		"empty":                           {"", false},
		"with a slash in the password":    {"postgres://u:" + hush + "/x@h/d", false},
		"with a percent in the password":  {"postgres://u:" + hush + "%@h/d", false},
		"with a port that is none":        {"postgres://u:" + hush + "@h:" + hush + "/d", false},
		"with an sslmode that is none":    {"postgres://u:" + hush + "@h/d?sslmode=" + hush, false},
		"with a file that is not there":   {"postgres://u:" + hush + "@h/d?sslmode=verify-full&sslrootcert=/none", false},
		"with a timeout that is no count": {"postgres://u:" + hush + "@h/d?connect_timeout=" + hush, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := CheckPostgresURL(tc.url)
			if (err == nil) != tc.good {
				t.Errorf("CheckPostgresURL = %v, want good: %t", err, tc.good)
			}
			if err != nil && strings.Contains(err.Error(), hush) {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

// Of several hosts the one counts that takes writes, unless the URL says otherwise.
func TestPostgresSeveralHosts(t *testing.T) {
	for url, want := range map[string]bool{
		"postgres://u@a,b/d":                          true,
		"postgres://u@a/d?sslmode=prefer":             false,
		"postgres://u@a,b/d?target_session_attrs=any": false,
	} {
		c, err := parsePostgres(url, "")
		must(t, "parsePostgres", err)
		if got := c.ValidateConnect != nil; got != want {
			t.Errorf("%s: the server is asked whether it takes writes: %t, want %t", url, got, want)
		}
	}
}

// A database that is away is no error of the start, and no password is in what is
// said about it.
func TestPostgresAway(t *testing.T) {
	db, err := OpenPostgres(t.Context(), "postgres://u:"+hush+"@127.0.0.1:1/d?sslmode=disable", PostgresOptions{Options: testOptions()})
	must(t, "OpenPostgres", err)
	err = db.Ping(t.Context())
	wantErr(t, "Ping", err, ErrUnavailable)
	if strings.Contains(err.Error(), hush) {
		t.Errorf("the error shows the password: %v", err)
	}
	wantErr(t, "write", db.Realm("realm").RevokeFamily(t.Context(), "f", at()), ErrUnavailable)
	must(t, "Close", db.Close())
	wantErr(t, "a write after Close", db.Realm("realm").RevokeFamily(t.Context(), "f", at()), ErrClosed)
}

func TestPostgresOptionsOutOfBounds(t *testing.T) {
	for _, n := range []int{-1, 1, 1001} {
		o := PostgresOptions{Options: testOptions(), Connections: n}
		if _, err := OpenPostgres(t.Context(), "postgres://u@h/d", o); err == nil {
			t.Errorf("%d connections are accepted", n)
		}
	}
	if _, err := OpenPostgres(t.Context(), "postgres://u@h/d", PostgresOptions{}); err == nil {
		t.Error("no sealer is accepted")
	}
}

func TestPostgresErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		err            error
		lost, conflict bool
	}{
		"a deadline":                    {context.DeadlineExceeded, true, false},
		"a caller that left":            {context.Canceled, false, false},
		"shutting down":                 {&pgconn.PgError{Code: "57P01"}, true, false},
		"starting up":                   {&pgconn.PgError{Code: "57P03"}, true, false},
		"too many connections":          {&pgconn.PgError{Code: "53300"}, true, false},
		"a standby":                     {&pgconn.PgError{Code: "25006"}, true, false},
		"a statement that took long":    {&pgconn.PgError{Code: "57014"}, false, false},
		"a deadlock":                    {fmt.Errorf("writing: %w", &pgconn.PgError{Code: "40P01"}), false, true},
		"a wrong password":              {&pgconn.PgError{Code: "28P01"}, false, false},
		"a row that is there":           {&pgconn.PgError{Code: "23505"}, false, false},
		"a refusal":                     {errors.New("limit reached"), false, false},
		"none":                          {nil, false, false},
		"a connection that was closed":  {fmt.Errorf("reading: %w", pgconn.ErrConnClosed), true, false},
		"a code that is none":           {&pgconn.PgError{Code: ""}, false, false},
		"a transaction that is aborted": {&pgconn.PgError{Code: "25P02"}, false, false},
	} {
		if lost, conflict := isLost(tc.err), isConflict(tc.err); lost != tc.lost || conflict != tc.conflict {
			t.Errorf("%s: lost %t, conflict %t, want %t, %t", name, lost, conflict, tc.lost, tc.conflict)
		}
	}
}

// While a database does not answer one caller looks whether it does, the others are
// told at once.
func TestBreaker(t *testing.T) {
	var b breaker
	must(t, "allow at first", b.allow())
	b.failed()
	wantErr(t, "allow after a failure", b.allow(), ErrUnavailable)
	b.until.Store(b.since() - int64(time.Nanosecond)) // the rest is over
	must(t, "allow for the one that looks", b.allow())
	wantErr(t, "allow for the others", b.allow(), ErrUnavailable)
	b.succeeded()
	must(t, "allow after it answered", b.allow())
}
