// Package vaultclient says what a vault is, and gives people's grants to
// requests.
//
// A vault keeps, per person and provider, what the provider granted: an access
// token and how to renew it. The package owns the RoundTripper that adds a
// grant to a request for the hosts it belongs to and no other, and the
// providers' descriptions. The vaults themselves are in its subfolders. It does
// not know MCP, the authorization server, or Caddy.
package vaultclient

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Vault keeps people's grants.
type Vault interface {
	// Credential returns a usable credential of the person for the provider,
	// renewed first if it is about to end. Only one renewal of a grant is under
	// way at a time. The error is a [*ConnectError] when the person has to
	// connect, and [ErrUnavailable] when the vault or the provider's token
	// endpoint did not answer; any other is a fault of the operator.
	Credential(ctx context.Context, req Request) (*Credential, error)

	// Renew is told that the provider refused c with 401. It returns another
	// credential, or a [*ConnectError] when there is none to be had. Calls at
	// the same time for one grant share one renewal.
	Renew(ctx context.Context, req Request, c *Credential) (*Credential, error)
}

// Request names a grant.
type Request struct {
	UserID   string
	Provider string
	Label    string   // tells several accounts at one provider apart; usually empty
	Scopes   []string // needed beside those of the provider's own list
}

// Credential is what a request to a provider carries.
type Credential struct {
	Token  Secret
	Expiry time.Time // zero: not known, or never
	// Version changes with each renewal, so that a refused credential is told
	// from its successor.
	Version int64
}

// Reasons of a [ConnectError].
const (
	ReasonAuthorizationRequired = "authorization_required"
	ReasonScopesMissing         = "scope_reauth_required"
)

// ConnectError says that a person has to connect an account at a provider.
type ConnectError struct {
	Provider string
	Reason   string   // one of the Reason constants
	Missing  []string // scopes, with ReasonScopesMissing
	Cause    error    // for the log: what the provider said; may be nil
}

// Error implements error.
func (e *ConnectError) Error() string {
	msg := fmt.Sprintf("provider %s: %s", e.Provider, e.Reason)
	if len(e.Missing) > 0 {
		msg += " (" + strings.Join(e.Missing, " ") + ")"
	}
	if e.Cause != nil {
		msg += ": " + e.Cause.Error()
	}
	return msg
}

// Unwrap returns the cause.
func (e *ConnectError) Unwrap() error { return e.Cause }

// ErrUnavailable reports that a grant could not be read or renewed now; a later
// try may succeed.
var ErrUnavailable = errors.New("the vault or the provider is not available at the moment")
