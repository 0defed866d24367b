// Package altermcp registers the alter_mcp handler with Caddy: one directive
// that makes a site a multi-user MCP server with its own OAuth 2.1
// authorization server.
//
// The package is all that knows Caddy: configuration, life cycle and the joints
// between the packages that do the work. Those are authserver, mcphandler,
// vaultclient and store; none of them knows this one.
package altermcp

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

func init() {
	caddy.RegisterModule(Handler{})
}

const (
	defaultPath = "/mcp"
	defaultName = "MCP server"
)

// Handler serves one MCP endpoint together with the OAuth endpoints, the pages
// and the well-known documents that belong to it. A request for any other path
// goes on to the next handler.
type Handler struct {
	// URL path of the MCP endpoint: a leading slash, no trailing one.
	// Default: `/mcp`.
	Path string `json:"path,omitempty"`

	// Name of the server for people: on its pages, and in what clients show.
	// Default: `MCP server`.
	Name string `json:"name,omitempty"`

	// What the model is told about the server when a client connects.
	Instructions string `json:"instructions,omitempty"`

	// The origins under which the endpoint is reached, such as
	// `https://mcp.example.com`; the first is the canonical one. Needed behind a
	// proxy that changes the host, and on a site for any host. Default: the
	// host names of the site.
	PublicURLs []string `json:"public_urls,omitempty"`

	// Who shares people and grants with this endpoint. Endpoints of one realm
	// know the same people, and a realm with a name of its own survives a
	// change of the host name. Default: the canonical URL of the endpoint.
	Realm string `json:"realm,omitempty"`

	// Whether the well-known documents without a path, at the root of the host,
	// are this endpoint's: `claimed`, or `unless_claimed` by another endpoint of
	// the site, or by an earlier one that says the same. Default: not this
	// endpoint's.
	RootDocuments string `json:"root_documents,omitempty"`

	// Also answer `/authorize`, `/token` and `/register` at the root of the
	// host, where clients that read no metadata look. Other applications of the
	// site may own these paths.
	LegacyRoot bool `json:"legacy_root,omitempty"`

	// Origins of web pages that may use the MCP endpoint from a browser. Own
	// pages always may, and pages on this computer while the endpoint is on
	// this computer.
	Origins []string `json:"origins,omitempty"`

	// The key that seals what is stored: 32 bytes in base64. Default: one that
	// is made on the first start and kept in Caddy's storage.
	EncryptionKey string `json:"encryption_key,omitempty"`
	// Former keys, which still open what they sealed. After a start with a new
	// EncryptionKey all that is stored is sealed by it, which the log tells; from
	// then on the former one only opens what clients and browsers hold.
	OlderEncryptionKeys []string `json:"older_encryption_keys,omitempty"`

	// Where clients, people and grants are stored. Default: SQLite in Caddy's
	// data directory.
	StoreRaw json.RawMessage `json:"store,omitempty" caddy:"namespace=http.alter_mcp.stores inline_key=type"`

	// How people log in. At least one; with several, people choose.
	IdentitiesRaw []json.RawMessage `json:"identities,omitempty" caddy:"namespace=http.alter_mcp.identities inline_key=type"`

	Rules

	// Where people's grants are kept. Default: the embedded one.
	VaultRaw json.RawMessage `json:"vault,omitempty" caddy:"namespace=http.alter_mcp.vaults inline_key=type"`

	// The services whose APIs tools call.
	Providers []*Provider `json:"providers,omitempty"`

	// What clients can call.
	ToolsRaw []json.RawMessage `json:"tools,omitempty" caddy:"namespace=http.alter_mcp.tools inline_key=type"`

	// Who may register as a client.
	Registration *Registration `json:"registration,omitempty"`

	// Which clients may describe themselves by a document at their URL.
	ClientDocuments *ClientDocuments `json:"client_documents,omitempty"`

	// Skip the consent page for a person who agreed to the same client before.
	// Programs on a person's computer can pose as each other, so think twice.
	RememberConsent bool `json:"remember_consent,omitempty"`

	// Let programs without a browser ask for tokens that somebody allows at
	// another device (RFC 8628). Default: off, because a person can be talked
	// into letting in a device that is not theirs.
	DeviceAuthorization bool `json:"device_authorization,omitempty"`

	// How long things last.
	Lifetimes *Lifetimes `json:"lifetimes,omitempty"`

	// How much a request may ask for.
	Limits *Limits `json:"limits,omitempty"`

	logger *zap.Logger
	ctx    caddy.Context
	app    *App
	guests guests
	*opening
}

// opening is what becomes of a handler that serves, apart from its settings.
type opening struct {
	once    sync.Once
	failure error
	running *running
	warned  sync.Once // one log line for requests that cannot be right
}

// CaddyModule implements caddy.Module.
func (Handler) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.alter_mcp",
		New: func() caddy.Module { return new(Handler) },
	}
}

// Provision fills in defaults, loads guests and checks what can be checked
// without touching a file, a socket or a row: `caddy validate` and rejected
// reloads run it too. The work begins in the app's Start.
func (h *Handler) Provision(ctx caddy.Context) error {
	h.ctx, h.logger, h.opening = ctx, ctx.Logger(), new(opening)
	if h.Path == "" {
		h.Path = defaultPath
	}
	if err := h.provision(ctx); err != nil {
		return fmt.Errorf("alter_mcp %s: %w", h.Path, err)
	}
	return nil
}

func (h *Handler) provision(ctx caddy.Context) error {
	if h.Name == "" {
		h.Name = defaultName
	}
	if err := h.checkSettings(); err != nil {
		return err
	}
	if err := h.loadGuests(ctx); err != nil {
		return err
	}
	app, err := ctx.App("alter_mcp")
	if err != nil {
		return err
	}
	h.app = app.(*App)
	for _, identity := range h.guests.ways {
		if waiting, ok := identity.(waitingIdentity); ok {
			waiting.waitUntil(h.app.closing.Done())
		}
	}
	h.app.register(h)
	return nil
}

// Cleanup leaves what is shared. Caddy calls it after a failed Provision too.
func (h *Handler) Cleanup() error {
	if h.opening == nil {
		return nil
	}
	// Whoever is opening it now is waited for, and nobody opens it later.
	h.once.Do(func() { h.failure = errors.New("the endpoint is closed") })
	if h.running == nil {
		return nil
	}
	return h.running.close()
}

// open begins to serve, once: Start order between the HTTP app and ours is
// random, so whichever comes first does it.
func (h *Handler) open() error {
	h.once.Do(func() { h.running, h.failure = h.start() })
	return h.failure
}

// endpointVar is the variable of a request (Caddy's vars) with the canonical URL
// of its endpoint. A value of the context would cost a copy of each request.
const endpointVar = "alter_mcp.endpoint"

// endpointOf returns the canonical URL of the MCP endpoint for r.
func endpointOf(r *http.Request) string {
	endpoint, _ := caddyhttp.GetVar(r.Context(), endpointVar).(string)
	return endpoint
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if err := h.open(); err != nil {
		h.unavailable(w, r, err)
		return nil
	}
	serve := h.running.route(r.URL.Path)
	h.warnRewritten(r, serve != nil)
	if serve == nil {
		withoutCookies(r)
		return next.ServeHTTP(w, r)
	}
	origin, err := h.running.origins.of(r)
	if err != nil {
		h.warned.Do(func() {
			h.logger.Warn("a request was refused because its host is none of this endpoint's; "+
				"if people do reach it by that host, name it with public_url",
				zap.String("host", r.Host), zap.Strings("public_url", h.running.origins.public), zap.Strings("site_hosts", h.running.origins.hosts))
		})
		http.Error(w, "this host is not served here", http.StatusMisdirectedRequest)
		return nil
	}
	caddyhttp.SetVar(r.Context(), endpointVar, origin+h.Path)
	serve(w, r)
	return nil
}

// unavailable answers for an endpoint that does not serve. It is no error for
// Caddy, which would log the whole address, and with it codes and links.
func (h *Handler) unavailable(w http.ResponseWriter, r *http.Request, err error) {
	h.logger.Error("the endpoint does not serve", zap.String("path", r.URL.Path), zap.Error(err))
	w.Header().Set("Retry-After", "5")
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, "not possible at the moment", http.StatusServiceUnavailable)
}

// warnRewritten tells the operator, once, of a handle_path around the directive,
// or of a rewrite before it: clients know the endpoint by another address than it
// is served at.
func (h *Handler) warnRewritten(r *http.Request, served bool) {
	original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if !ok || original.URL == nil || original.URL.Path == r.URL.Path || served == (h.running.route(original.URL.Path) != nil) {
		return
	}
	h.warned.Do(func() {
		h.logger.Warn("the path of a request for this endpoint was rewritten before it came here; "+
			"do not put alter_mcp into handle_path, and put try_files and rewrite into a handle block of their own",
			zap.String("path", h.Path))
	})
}

// withoutCookies removes the cookies of all endpoints before a request goes on
// to handlers that have no business with them.
func withoutCookies(r *http.Request) {
	cookies := r.Cookies()
	if !slices.ContainsFunc(cookies, isOwnCookie) {
		return
	}
	r.Header.Del("Cookie")
	for _, c := range cookies {
		if !isOwnCookie(c) {
			r.AddCookie(c)
		}
	}
}

func isOwnCookie(c *http.Cookie) bool {
	return strings.HasPrefix(strings.TrimPrefix(c.Name, "__Secure-"), "alter_mcp_")
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Handler)(nil)
	_ caddy.CleanerUpper          = (*Handler)(nil)
	_ caddyhttp.MiddlewareHandler = (*Handler)(nil)
	_ caddyfile.Unmarshaler       = (*Handler)(nil)
)
