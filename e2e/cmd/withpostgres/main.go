// Command withpostgres runs a program beside a PostgreSQL of its own, whose URL is
// in $TEST_POSTGRES:
//
//	go run ./cmd/withpostgres go test -C .. -tags=postgres ./store
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "withpostgres:", err)
		os.Exit(1)
	}
}

func run(args []string) (err error) {
	if len(args) == 0 {
		return errors.New("usage: withpostgres <program> [<argument>...]")
	}
	db, err := harness.NewPostgres()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Remove()) }()
	cmd := exec.Command(args[0], args[1:]...) //nolint:gosec // that is what it is for
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "TEST_POSTGRES="+db.URL("postgres"))
	return cmd.Run()
}
