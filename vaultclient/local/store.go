package local

import (
	"context"
	"errors"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// Grant is what a provider gave for one person: a row of the store, which seals
// the tokens.
type Grant struct {
	UserID   string
	Provider string
	Label    string

	// Client is [vaultclient.Provider.Client] of whom it was made with.
	Client string

	// Version counts the changes, from 1. A write names the version that it
	// read and fails if that is no longer the newest.
	Version int64

	AccessToken  vaultclient.Secret
	RefreshToken vaultclient.Secret // zero: the provider gave none
	Expiry       time.Time          // of the access token; zero: never, or not known
	Scopes       []string           // as the provider reported them, or as asked for
	Account      string             // the account's name at the provider, if known

	// Dead says that the provider refused to renew it: the person has to
	// connect again. The tokens are gone.
	Dead bool
	// Damaged says why the stored tokens cannot be read, or is nil. Such a grant
	// is dead, too, and a new connection takes its place.
	Damaged error

	CreatedAt time.Time
	UpdatedAt time.Time
}

// Store keeps grants, each realm for itself. A method returns when what it
// wrote is durable. It is safe for concurrent use.
type Store interface {
	// Grant returns one grant, or [ErrNotFound].
	Grant(ctx context.Context, userID, provider, label string) (*Grant, error)
	// RecentGrant is Grant, but may miss what another process wrote within the
	// last second, and so costs little when calls follow each other. What this
	// process wrote it never misses. Scopes of the answer are not to be changed.
	RecentGrant(ctx context.Context, userID, provider, label string) (*Grant, error)
	// Grants returns all grants of a person, ordered by provider and label.
	Grants(ctx context.Context, userID string) ([]*Grant, error)
	// PutGrant writes g, whose Version must be that of the stored row, or 0
	// for a new one; it sets g.Version to the new one. [ErrConflict] says that
	// another write came first.
	PutGrant(ctx context.Context, g *Grant) error
	// DeleteGrant removes the stored grant of g's key and Version. [ErrConflict]
	// says that another write came first.
	DeleteGrant(ctx context.Context, g *Grant) error
	// TakeOnce reports whether id is seen for the first time. It is forgotten
	// after until.
	TakeOnce(ctx context.Context, id string, until time.Time) (bool, error)
	// Claim reserves the work that id names, and reports whether no other process
	// has done so; within one process nobody is kept away. A claim ends with
	// release, and at until if its process is gone.
	Claim(ctx context.Context, id string, until time.Time) (release func(), claimed bool, err error)
}

// Errors of a [Store].
var (
	ErrNotFound = errors.New("no such grant")
	ErrConflict = errors.New("grant was changed meanwhile")
)
