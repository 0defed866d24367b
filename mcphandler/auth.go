package mcphandler

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// Caller is the person on whose behalf a request runs, and the client that
// sent it.
type Caller struct {
	UserID  string // random id within the realm; never an e-mail address
	Issuer  string // of the Subject: the identity provider
	Subject string // as the identity provider names the person
	Email   string // as the identity provider gave it; may be empty
	// EmailVerified says that the identity provider vouches for the address.
	EmailVerified bool
	Name          string // may be empty
	Groups        []string
	// Claims is an object with the claims of the ID token, or nil.
	Claims json.RawMessage

	ClientID   string
	ClientName string
	Scopes     []string
	Expiry     time.Time // when the access token ends
	// Endpoint is the canonical URL of the MCP endpoint that was called, such
	// as https://mcp.example.com/mcp.
	Endpoint string
	// Credential is what the authenticator knows of the person beyond that, for
	// an [Upstream] that understands it; nil for nothing. It is never logged.
	Credential any
}

// Authenticator tells who sent a request.
type Authenticator interface {
	// Authenticate verifies the access token in the Authorization header of r
	// for the MCP endpoint. It is called for every request and is safe for
	// concurrent use. The error is [ErrNoToken], [ErrInvalidToken] or
	// [ErrUnavailable], wrapped or not.
	Authenticate(r *http.Request) (*Caller, error)
}

// Errors of an [Authenticator], by what the client is told.
var (
	// ErrNoToken: 401 without an error code (RFC 6750 section 3.1).
	ErrNoToken = errors.New("no access token")
	// ErrInvalidToken: 401 with error="invalid_token".
	ErrInvalidToken = errors.New("invalid access token")
	// ErrUnavailable: 503 with Retry-After; the token may well be good.
	ErrUnavailable = errors.New("tokens cannot be verified at the moment")
)
