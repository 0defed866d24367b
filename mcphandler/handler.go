// Package mcphandler serves the Model Context Protocol over Streamable HTTP.
//
// One URL serves both protocol eras: the handshake revisions 2025-03-26,
// 2025-06-18 and 2025-11-25, and the stateless revision 2026-07-28. The package
// owns the JSON-RPC envelope, the rules of each era, the tools and how they are
// declared. It keeps no state in memory that a call needs: a legacy session id
// and a request state are sealed records.
//
// It does not know how tokens are made, where grants are kept, or Caddy.
package mcphandler

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.uber.org/zap"
)

const (
	defaultName            = "alter-mcp"
	defaultVersion         = "unknown"
	defaultMaxBody         = 4 << 20
	defaultMaxDepth        = 64
	defaultMaxBatch        = 32
	defaultMaxRequests     = 64
	defaultSessionLifetime = 7 * 24 * time.Hour
	defaultPageSize        = 200
	defaultCacheTTL        = 5 * time.Minute
)

// Config configures a [Handler]. Zero values mean the documented default.
type Config struct {
	// Name and Version of the server, for serverInfo. Default "alter-mcp" and
	// "unknown".
	Name, Version string
	// Title is the name for people. Optional.
	Title string
	// Instructions for the model, given on initialize and server/discover.
	Instructions string

	// Sources of tools, asked in order. Required.
	Sources []Source
	// Authenticator decides who calls. Required.
	Authenticator Authenticator
	// Sealer protects session ids and request states. Required.
	Sealer Sealer
	// Sessions remembers which legacy sessions were ended. Required.
	Sessions EndedSessions

	// Endpoint returns the canonical URL of this endpoint for r, such as
	// https://mcp.example.com/mcp. Required.
	Endpoint func(r *http.Request) string
	// OriginAllowed reports whether a browser page of that origin may use the
	// endpoint r is for. Required.
	OriginAllowed func(r *http.Request, origin string) bool

	// Scopes that a token must have: they are named in the 401 challenge, and a
	// token without one of them gets 403. May be empty.
	Scopes []string

	// MaxBody is the most bytes of a request body. Default 4 MiB.
	MaxBody int64
	// MaxDepth is how deep a request body may nest. Default 64.
	MaxDepth int
	// MaxBatch is the most messages of a batch, which only revision 2025-03-26
	// knows. Default 32.
	MaxBatch int
	// MaxRequests is how many requests of one person are served at once on this
	// node; more get 429 with Retry-After. Default 64.
	MaxRequests int
	// SessionLifetime is how long a legacy session id is good. Default 7 days.
	SessionLifetime time.Duration
	// PageSize is the most tools in one answer of tools/list. Default 200.
	PageSize int
	// CacheTTL is what clients of the stateless revision are told about how
	// long a tool list may be kept, for one person. Default 5 minutes.
	CacheTTL time.Duration

	// Closing is closed when the server is about to stop. Calls that wait for a
	// person end then: see [Call.Closing], [ErrClosing]. Optional.
	Closing <-chan struct{}

	// Record is told of each finished tools/call. Optional; must not block.
	Record func(rec CallRecord)
	// Logger; nil means none.
	Logger *zap.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Random makes session ids, elicitation ids and references to log lines;
	// nil means crypto/rand.Reader. It must be safe for concurrent use.
	Random io.Reader
}

// Sealer encrypts and authenticates records that leave the server and come
// back. ad is bound to the record and not part of it.
type Sealer interface {
	// Seal returns a record that only Open with the same ad reads.
	Seal(plaintext, ad []byte) ([]byte, error)
	// Open returns the plaintext. It fails for a record that was changed, that
	// was sealed under a key no longer known, or with another ad.
	Open(sealed, ad []byte) ([]byte, error)
}

// EndedSessions is the list of legacy sessions that clients ended before their
// time, shared by all nodes.
type EndedSessions interface {
	// EndSession remembers id until then. It returns when that is durable.
	EndSession(ctx context.Context, id string, until time.Time) error
	// SessionEnded reports whether id was ended: at once on this node, within
	// about a second on the others.
	SessionEnded(ctx context.Context, id string) (bool, error)
}

// CallRecord is what is known of a tools/call when it is over: one line of the
// audit.
type CallRecord struct {
	Caller   *Caller
	Tool     string
	Outcome  string // ok, tool_error, connect, login, invalid_arguments, unknown_tool, failed, canceled
	Duration time.Duration
}

// Handler serves one MCP endpoint. It is safe for concurrent use, and has no
// state that another node or a later process would miss.
type Handler struct {
	cfg     Config
	logger  *zap.Logger
	answers answers
	opened  *lru.Cache[openedKey, *session] // see unsealSession
	busy    *inFlight
	streams *streams
}

// New checks cfg, fills in defaults and returns the handler.
func New(cfg Config) (*Handler, error) {
	if err := checkConfig(&cfg); err != nil {
		return nil, err
	}
	cfg.Name = cmp.Or(cfg.Name, defaultName)
	cfg.Version = cmp.Or(cfg.Version, defaultVersion)
	cfg.MaxBody = cmp.Or(cfg.MaxBody, defaultMaxBody)
	cfg.MaxDepth = cmp.Or(cfg.MaxDepth, defaultMaxDepth)
	cfg.MaxBatch = cmp.Or(cfg.MaxBatch, defaultMaxBatch)
	cfg.MaxRequests = cmp.Or(cfg.MaxRequests, defaultMaxRequests)
	cfg.SessionLifetime = cmp.Or(cfg.SessionLifetime, defaultSessionLifetime)
	cfg.PageSize = cmp.Or(cfg.PageSize, defaultPageSize)
	cfg.CacheTTL = cmp.Or(cfg.CacheTTL, defaultCacheTTL)
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	answers, err := newAnswers(&cfg)
	if err != nil {
		return nil, err
	}
	opened, err := lru.New[openedKey, *session](maxOpened)
	if err != nil {
		return nil, fmt.Errorf("configuring the MCP handler: %w", err)
	}
	return &Handler{
		cfg: cfg, logger: cfg.Logger, answers: answers, opened: opened, busy: newInFlight(cfg.MaxRequests), streams: newStreams(),
	}, nil
}

func checkConfig(cfg *Config) error {
	required := []struct {
		name    string
		missing bool
	}{
		{"source", len(cfg.Sources) == 0},
		{"authenticator", cfg.Authenticator == nil},
		{"sealer", cfg.Sealer == nil},
		{"list of ended sessions", cfg.Sessions == nil},
		{"endpoint", cfg.Endpoint == nil},
		{"check of origins", cfg.OriginAllowed == nil},
	}
	for _, r := range required {
		if r.missing {
			return fmt.Errorf("configuring the MCP handler: no %s", r.name)
		}
	}
	if slices.Contains(cfg.Sources, nil) {
		return errors.New("configuring the MCP handler: a source is nil")
	}
	if cfg.MaxBody < 0 || cfg.MaxDepth < 0 || cfg.MaxBatch < 0 || cfg.MaxRequests < 0 || cfg.PageSize < 0 ||
		cfg.SessionLifetime < 0 || cfg.CacheTTL < 0 {
		return errors.New("configuring the MCP handler: a limit is negative")
	}
	for i, scope := range cfg.Scopes {
		if !isScopeToken(scope) {
			return fmt.Errorf("configuring the MCP handler: scope %d: %q is not a scope (RFC 6749 section 3.3)", i, scope)
		}
	}
	return nil
}

// ServeHTTP answers one request for the endpoint. What is cheap and decides
// about everything else comes first: the origin, then the caller, and only then
// anything of the request itself.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header, fields := w.Header(), []string{"no-store", "nosniff"} // in one piece, for each answer has them
	header["Cache-Control"], header["X-Content-Type-Options"] = fields[0:1:1], fields[1:2:2]
	if !h.admitOrigin(header, r) {
		refuse(w, &failure{status: http.StatusForbidden, code: codeInvalidRequest, message: "origin not allowed"})
		return
	}
	if r.Method == http.MethodOptions {
		preflight(w, r)
		return
	}
	caller := h.authenticate(w, r)
	if caller == nil {
		return
	}
	if !h.busy.enter(caller.UserID) {
		refuse(w, tooManyRequests())
		return
	}
	defer h.busy.leave(caller.UserID)
	switch r.Method {
	case http.MethodPost:
		h.post(w, r, caller)
	case http.MethodDelete:
		h.endSession(w, r, caller)
	default:
		h.noStream(w, r, caller)
	}
}

func (h *Handler) post(w http.ResponseWriter, r *http.Request, caller *Caller) {
	if f := checkPostHeader(w, r.Header); f != nil {
		refuse(w, f)
		return
	}
	body, f := readBody(w, r, h.cfg.MaxBody)
	if f != nil {
		refuse(w, f)
		return
	}
	if f := checkJSON(body, h.cfg.MaxDepth); f != nil {
		refuse(w, f)
		return
	}
	req := request{header: r.Header, caller: caller, endpoint: h.cfg.Endpoint(r)}
	if isArray(body) {
		h.serveBatch(r.Context(), w, &req, body)
		return
	}
	if req.msg, f = parseMessage(body); f != nil {
		send(w, failed(req.msg.id, f))
		return
	}
	ctx := r.Context()
	if req.stream = h.newStream(w, r, &req); req.stream != nil {
		ctx = req.stream.ctx
	}
	a := h.serve(ctx, &req)
	if req.stream == nil || !req.stream.finish(a) {
		send(w, a)
	}
}

func (h *Handler) serve(ctx context.Context, req *request) answer {
	if req.isModern() {
		return h.serveModern(ctx, req)
	}
	return h.serveLegacy(ctx, req)
}
