// Package connect serves the pages on which people connect their accounts at
// providers, and see and end what they connected.
//
// It owns the way of a browser: links, forms, who may open them, and what of it
// travels in cookies. What connecting means it is told by the vault; who is
// logged in, by the authorization server. It does not know MCP or Caddy.
package connect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/internal/web"
)

// Grants is the vault behind the pages.
type Grants interface {
	// Provider returns what to call a provider; false if there is none of that
	// name.
	Provider(name string) (title string, ok bool)
	// Callback returns the last segment of the redirect URI at a provider, below
	// /connect/callback, or the empty text for that URI itself.
	Callback(provider string) string
	// Look tells what connecting l would change.
	Look(ctx context.Context, l *Link) (*State, error)
	// Begin returns where the browser goes to grant. It comes back to callback
	// with id in the query parameter state. What it saves is given to Finish;
	// nobody but this browser brings it, and nobody can read it.
	Begin(ctx context.Context, l *Link, callback, id string) (target string, save any, err error)
	// Finish takes the query that the browser brought back, once, and says how
	// it ended.
	Finish(ctx context.Context, l *Link, callback string, saved json.RawMessage, query url.Values) (*web.Message, error)
	// Connections lists what a person connected, and what else can be where may
	// allows it.
	Connections(ctx context.Context, userID string, may func(provider string) bool) ([]web.Connection, error)
	// Disconnect ends a grant; one that is not there is no error.
	Disconnect(ctx context.Context, userID, provider, label string) error
}

// Link is what a link to connect stands for. Nothing of it can be read from the
// outside, and holding it is no permission: the browser's own login must be of
// the same person.
type Link struct {
	UserID   string   `json:"u"`
	Provider string   `json:"p"`
	Label    string   `json:"l,omitempty"`
	Scopes   []string `json:"s,omitempty"` // beside the provider's own
	// Hint is the vault's own.
	Hint json.RawMessage `json:"h,omitempty"`
}

// State is what the page of a link shows.
type State struct {
	Connected bool
	Missing   []string // scopes that the connection lacks
	Scopes    []string // that are asked for
	// Ask are the scopes of the link from here on.
	Ask []string
	// Next is where the browser goes then, for people; nil if it is not known.
	Next *url.URL
}

// Config configures a [Handler]. Zero values mean the documented default.
type Config struct {
	// Name of the vault keeps its sealed records apart from those of others.
	// Required.
	Name string
	// Endpoint returns the canonical URL of the MCP endpoint for r. The pages
	// lie below it: /connect, /connect/callback and what is below that, and
	// /account. Required.
	Endpoint func(r *http.Request) string
	// Grants is the vault. Required.
	Grants Grants
	// Sealer protects what travels through browsers. Required.
	Sealer Sealer
	// Browser tells who is logged in. Required.
	Browser Browser
	// Pages renders what people see. Required.
	Pages Pages
	// Once remembers the answers that were taken. Required.
	Once Once

	// LinkLifetime of a link to connect: at most 1 h. Default 15 min.
	LinkLifetime time.Duration
	// AttemptLifetime is how long a person may take at the provider: at most
	// 1 h. Default 10 min.
	AttemptLifetime time.Duration

	// Logger; nil means none.
	Logger *zap.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Sealer encrypts and authenticates what travels through a browser; ad is bound
// to the record and not part of it.
type Sealer interface {
	Seal(plaintext, ad []byte) ([]byte, error)
	Open(sealed, ad []byte) ([]byte, error)
}

// Once tells what has happened before.
type Once interface {
	// TakeOnce reports whether id is seen for the first time. It is forgotten
	// after until.
	TakeOnce(ctx context.Context, id string, until time.Time) (bool, error)
}

// Browser tells who is logged in in the browser that sent a request.
type Browser interface {
	// Person returns who it is. When nobody is, it has answered with a login
	// that comes back to the same URL, and returns false.
	Person(w http.ResponseWriter, r *http.Request) (Person, bool)
}

// Person is who is logged in in a browser.
type Person struct {
	UserID  string
	Name    string
	Email   string
	Session string // opaque id of the login, which forms are bound to
	// May reports whether the person may use a provider; nil means any.
	May func(provider string) bool
}

// may reports whether the person may use a provider.
func (p *Person) may(provider string) bool { return p.May == nil || p.May(provider) }

// Pages renders pages; [web.Pages] does.
type Pages interface {
	Connect(w http.ResponseWriter, r *http.Request, p web.Connect)
	Account(w http.ResponseWriter, r *http.Request, p web.Account)
	Message(w http.ResponseWriter, r *http.Request, p web.Message)
}

// Handler serves the pages of one endpoint. It is safe for concurrent use.
type Handler struct {
	cfg Config
	log *zap.Logger
}

// New returns the pages, or an error that names the setting that is missing or
// out of bounds.
func New(cfg Config) (*Handler, error) {
	for name, missing := range map[string]bool{
		"Name": cfg.Name == "", "Endpoint": cfg.Endpoint == nil, "Grants": cfg.Grants == nil, "Sealer": cfg.Sealer == nil,
		"Browser": cfg.Browser == nil, "Pages": cfg.Pages == nil, "Once": cfg.Once == nil,
	} {
		if missing {
			return nil, errors.New("pages to connect: " + name + " is required")
		}
	}
	for _, l := range []struct {
		name     string
		value    *time.Duration
		standard time.Duration
	}{
		{"link lifetime", &cfg.LinkLifetime, 15 * time.Minute},
		{"attempt lifetime", &cfg.AttemptLifetime, 10 * time.Minute},
	} {
		if *l.value == 0 {
			*l.value = l.standard
		}
		if *l.value < 0 || *l.value > time.Hour {
			return nil, fmt.Errorf("pages to connect: %s %v: want more than 0 and at most 1h", l.name, *l.value)
		}
	}
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Handler{cfg: cfg, log: cfg.Logger}, nil
}
