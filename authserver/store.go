package authserver

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// Store keeps what the authorization server must not lose, each realm for
// itself. A method that writes returns when the write is durable. All methods
// are safe for concurrent use, also by several processes on one database.
type Store interface {
	ClientStore
	PersonStore
	IdentityTokenStore
	GrantStore
	DeviceStore
	KeyStore
	OnceStore
}

// Errors of a [Store].
var (
	// ErrNotFound: there is no such row, or it is past its end.
	ErrNotFound = errors.New("not found")
	// ErrTaken: the row was there and has been used before.
	ErrTaken = errors.New("used before")
	// ErrFull: a limit on the number of rows is reached.
	ErrFull = errors.New("limit reached")
	// ErrConflict: the row was written since it was read, or is gone.
	ErrConflict = errors.New("changed since it was read")
)

// Client is an MCP client that may ask for authorization.
type Client struct {
	ID           string
	Name         string
	RedirectURIs []string
	// AuthMethod is none, client_secret_basic or client_secret_post.
	AuthMethod string
	// SecretHash is the SHA-256 of the client secret; nil for method none.
	SecretHash []byte
	// Metadata is the whole registration as it was answered, without secret.
	Metadata  json.RawMessage
	CreatedAt time.Time
	UsedAt    time.Time // zero: it never got a token
}

// ClientStore keeps registered clients.
type ClientStore interface {
	// AddClient stores c. [ErrFull] when there are limit clients already.
	AddClient(ctx context.Context, c *Client, limit int) error
	// Client returns a client, or [ErrNotFound].
	Client(ctx context.Context, id string) (*Client, error)
	// SweepClients removes clients that never got a token and were registered
	// before unused, and those last used before idle that have no living
	// family. It returns how many.
	SweepClients(ctx context.Context, unused, idle time.Time) (int, error)
}

// User is a person in a realm.
type User struct {
	ID      string // random
	Issuer  string // of the identity, such as https://acme.eu.auth0.com/
	Subject string // at that issuer
	Profile Profile
}

// Profile is what the identity said of a person at the last login. The store
// seals it.
type Profile struct {
	Email         string   `json:"email,omitempty"`
	EmailVerified bool     `json:"email_verified,omitempty"`
	Name          string   `json:"name,omitempty"`
	Groups        []string `json:"groups,omitempty"`
	// Claims is an object with the claims of the ID token, or nil. It stays JSON,
	// for each verified token keeps one in memory and few tools ask for any.
	Claims json.RawMessage `json:"claims,omitempty"`
}

// Session is a login in a browser.
type Session struct {
	Hash      []byte // SHA-256 of the cookie's value
	UserID    string
	Identity  string // name of the identity that it came by
	CreatedAt time.Time
	ExpiresAt time.Time // moves with use
}

// Consent is a person's remembered yes.
type Consent struct {
	UserID   string
	ClientID string
	// RedirectURI without the port of a loopback address.
	RedirectURI string
	Scopes      []string
	GivenAt     time.Time
}

// PersonStore keeps people, their logins and their consents.
type PersonStore interface {
	// UpsertUser finds the user of (issuer, subject) or makes one with the id
	// newID, stores the profile, and returns the user.
	UpsertUser(ctx context.Context, newID, issuer, subject string, p Profile, now time.Time) (*User, error)
	// FindUser returns the user of (issuer, subject), or [ErrNotFound].
	FindUser(ctx context.Context, issuer, subject string) (*User, error)
	// User returns a user by id, or [ErrNotFound].
	User(ctx context.Context, id string) (*User, error)

	// AddSession stores s.
	AddSession(ctx context.Context, s *Session) error
	// Session returns the session whose cookie hashes to hash and that has not
	// ended at now, or [ErrNotFound].
	Session(ctx context.Context, hash []byte, now time.Time) (*Session, error)
	// ExtendSession moves the end of a session.
	ExtendSession(ctx context.Context, hash []byte, until time.Time) error
	// DeleteSession ends a session; one that is not there is no error.
	DeleteSession(ctx context.Context, hash []byte) error

	// PutConsent stores c in place of what there was for its user, client and
	// redirect URI.
	PutConsent(ctx context.Context, c *Consent) error
	// Consent returns what was given, or [ErrNotFound].
	Consent(ctx context.Context, userID, clientID, redirectURI string) (*Consent, error)
}

// IdentityTokenStore keeps what an identity provider gave for people, one row for
// each, sealed.
type IdentityTokenStore interface {
	// IdentityTokens returns what is kept of a person, or [ErrNotFound]. A row
	// that does not open is dead and no error: the next login replaces it.
	IdentityTokens(ctx context.Context, userID string) (*KeptTokens, error)
	// RecentIdentityTokens is IdentityTokens as it was within the last second; a
	// write of this process is seen at once. The caller must not change what it
	// returns.
	RecentIdentityTokens(ctx context.Context, userID string) (*KeptTokens, error)
	// PutIdentityTokens stores k in place of the row of k.Version, or of any if
	// that is 0, and sets k.Version. [ErrConflict] when the row has another
	// version or is gone.
	PutIdentityTokens(ctx context.Context, k *KeptTokens) error
}

// Code is an authorization code.
type Code struct {
	Hash          []byte // SHA-256
	FamilyID      string // of the tokens that it will give
	ClientID      string
	UserID        string
	RedirectURI   string
	CodeChallenge string
	Resource      string
	Scopes        []string
	ExpiresAt     time.Time
}

// Family is one authorization that a person gave to a client, with all tokens
// that came of it.
type Family struct {
	ID        string
	UserID    string
	ClientID  string
	Resource  string // audience of its access tokens
	Scopes    []string
	CreatedAt time.Time
	ExpiresAt time.Time // when the newest refresh token ends by idleness
	RevokedAt time.Time // zero: alive

	// Generation counts rotations, from 1. Current and Previous are SHA-256 of
	// the newest refresh token and of the one before it; Successor is the
	// newest token, sealed under a key that only its predecessor gives.
	Generation int64
	Current    []byte
	Previous   []byte
	Successor  []byte
	RotatedAt  time.Time
}

// Authorization is a family with whom it stands for, as they are at one moment.
type Authorization struct {
	// Family without its Successor, which [GrantStore.Family] opens.
	Family *Family
	// User is nil when there is none any more.
	User *User
	// Client has what authenticates and names it: ID, Name, AuthMethod,
	// SecretHash and UsedAt. It is nil when it is not among those that are
	// registered: it is gone, or described by a document.
	Client *Client
}

// Rotation is a step of a family from one refresh token to the next.
type Rotation struct {
	FamilyID string
	ClientID string
	// ClientUsedAt is the last known use of the client; zero: unknown. Where it
	// is less than a day ago no new one need be noted.
	ClientUsedAt time.Time

	Presented []byte // hash of the token that the client sent
	Next      []byte // hash of its successor
	Successor []byte // sealed
	Now       time.Time
	ExpiresAt time.Time // new end of the family
}

// GrantStore keeps codes and the families of tokens.
type GrantStore interface {
	// AddCode stores c.
	AddCode(ctx context.Context, c *Code) error
	// Code returns the code with that hash, for the checks before it is taken.
	// [ErrNotFound] when there is none, or it ended at now and was not used; one
	// that was used is returned after its end too, so that a replay is noticed.
	Code(ctx context.Context, hash []byte, now time.Time) (*Code, error)
	// RedeemCode takes the code and stores the family that it gives, both or
	// neither, and marks the client as used. Exactly one call for a code
	// succeeds; later ones get [ErrTaken]. Used codes are remembered until
	// their end plus an hour, so that a replay is noticed.
	RedeemCode(ctx context.Context, hash []byte, f *Family) error

	// Family returns a family, revoked or not, or [ErrNotFound].
	Family(ctx context.Context, id string) (*Family, error)
	// FamilyAlive reports whether there is a family that was not revoked. It may
	// miss what another process wrote within the last second, and so costs little
	// when it is asked again and again. What this process wrote it never misses.
	FamilyAlive(ctx context.Context, id string) (bool, error)
	// Authorization returns a family, revoked or not, with its person and its
	// client, or [ErrNotFound] when there is no such family.
	Authorization(ctx context.Context, familyID string) (*Authorization, error)
	// RotateFamily moves a living family on if r.Presented is its newest
	// refresh token, and reports whether it did. One conditional write decides.
	// It also notes that the client was used.
	RotateFamily(ctx context.Context, r *Rotation) (bool, error)
	// RevokeFamily ends a family at once; one that is not there is no error.
	RevokeFamily(ctx context.Context, id string, now time.Time) error
}

// SigningKey signs access tokens.
type SigningKey struct {
	ID        string // kid
	Private   []byte // PKCS #8; the store seals it
	CreatedAt time.Time
}

// OnceStore remembers what may happen only once.
type OnceStore interface {
	// TakeOnce reports whether id is seen for the first time. It is forgotten
	// after until.
	TakeOnce(ctx context.Context, id string, until time.Time) (bool, error)
}

// KeyStore keeps signing keys.
type KeyStore interface {
	// SigningKeys returns all keys, the newest first.
	SigningKeys(ctx context.Context) ([]*SigningKey, error)
	// AddFirstKey stores k if there is no key yet. Several processes may try at
	// once: all then read the same one.
	AddFirstKey(ctx context.Context, k *SigningKey) error
}
