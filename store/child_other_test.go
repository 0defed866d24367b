//go:build !linux

package store

import (
	"context"
	"errors"
)

var errNotHere = errors.New("not on this platform")

func fillDisk(context.Context, *DB) error { return errNotHere }

func openBare(context.Context, string) error { return errNotHere }
