package altermcp

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"golang.org/x/net/http/httpguts"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
	"github.com/alter-mcp/caddy-alter-mcp/mcphandler"
)

func init() {
	caddy.RegisterModule(Auth{})
}

// Auth lets requests pass that carry an access token of an MCP endpoint, so that
// other routes of a site know the same people by the same tokens. It sets the
// placeholders of Caddy's own authentication:
//
//   - `{http.auth.user.id}`: the random id of the person, that of `{user.id}` in tools
//   - `{http.auth.user.subject}`: what the identity provider calls the person
//   - `{http.auth.user.email}`: only if the identity provider has verified it
//   - `{http.auth.user.name}` and `{http.auth.user.groups}`, which has commas between,
//     and %2C for one within a name
//   - `{http.auth.user.client_id}` and `{http.auth.user.client_name}`: the app that asks
//
// The token itself goes no further: whoever has it could call the tools.
//
// It is a handler of its own and no provider of the `authentication` handler,
// which answers 401 whatever is wrong: here a person who may not is a 403, and a
// store that is away a 503.
type Auth struct {
	// The MCP endpoint whose tokens count: its path, or its URL where several
	// sites have an endpoint at that path. Default: the only one of the site.
	Endpoint string `json:"endpoint,omitempty"`

	// Also let requests pass without a token, for nobody. One that is not good is
	// refused all the same.
	Optional bool `json:"optional,omitempty"`

	// The name of a request header in which the next handler gets the person's
	// token of the identity provider, as `vault alter` keeps it: for a program
	// that asks the Alter Vault itself. Default: nobody gets it.
	IdentityTokenHeader string `json:"identity_token_header,omitempty"`

	// Tell the next handler who asks, by a signed statement that it can check. It
	// is up to that handler where it goes. Default: it is not told so.
	SignedIdentity *mcphandler.SignedIdentity `json:"signed_identity,omitempty"`

	Rules

	app *App
	*finding
}

// finding is the endpoint of an [Auth], once it was looked for.
type finding struct {
	once    sync.Once
	failure error
	found   *Handler
	behind  []*Handler // the endpoints that a request may reach after it
}

// CaddyModule implements caddy.Module.
func (Auth) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.alter_auth",
		New: func() caddy.Module { return new(Auth) },
	}
}

// Provision checks the settings. The endpoint is looked for when all are known.
func (a *Auth) Provision(ctx caddy.Context) error {
	a.finding = new(finding)
	if a.Endpoint != "" && !strings.HasPrefix(a.Endpoint, "/") && !strings.Contains(a.Endpoint, "://") {
		return fmt.Errorf("alter_auth: endpoint %q: want the path of an alter_mcp, such as /mcp, or its URL", a.Endpoint)
	}
	if err := checkTokenHeader(a.IdentityTokenHeader); err != nil {
		return fmt.Errorf("alter_auth: identity_token_header %q: %w", a.IdentityTokenHeader, err)
	}
	if err := a.checkIdentity(); err != nil {
		return fmt.Errorf("alter_auth: %w", err)
	}
	if err := a.check(); err != nil {
		return fmt.Errorf("alter_auth: %w", err)
	}
	app, err := ctx.App("alter_mcp")
	if err != nil {
		return err
	}
	a.app = app.(*App)
	a.app.auths = append(a.app.auths, a)
	return nil
}

// checkTokenHeader refuses names under which no token would arrive: what HTTP
// itself reads, what proxies drop, and what others read before and after.
func checkTokenHeader(name string) error {
	if name == "" {
		return nil
	}
	if !httpguts.ValidHeaderFieldName(name) {
		return errors.New("want the name of a header")
	}
	switch http.CanonicalHeaderKey(name) {
	case "Authorization", "Cookie", "Host", "Content-Length", "Content-Type", "Expect", "Connection", "Keep-Alive", "Proxy-Authenticate",
		"Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return errors.New("that header has a meaning of its own; want another name, such as X-User-Token")
	}
	return nil
}

// open finds the endpoint, once: the start of the HTTP app may come before ours.
func (a *Auth) open() error {
	a.once.Do(func() {
		var beside []*Handler
		if beside, a.behind, a.failure = a.app.around(a); a.failure != nil {
			return
		}
		if a.found, a.failure = a.app.endpointFor(a.Endpoint, beside); a.failure != nil {
			return
		}
		if a.failure = a.found.open(); a.failure == nil && a.IdentityTokenHeader != "" && !needsTokens(a.found.guests.vault) {
			a.failure = fmt.Errorf("identity_token_header: alter_mcp %s keeps no such tokens; it does with vault alter", a.found.Path)
		}
		if a.failure != nil || a.SignedIdentity == nil {
			return
		}
		if err := a.found.running.checkAudience(a.SignedIdentity.Audience, a.found.Path); err != nil {
			a.failure = fmt.Errorf("signed_identity: %w", err)
		}
	})
	return a.failure
}

// ServeHTTP implements caddyhttp.MiddlewareHandler.
func (a *Auth) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	if err := a.open(); err != nil {
		return unavailableError(w, fmt.Errorf("alter_auth: %w", err))
	}
	a.removeTold(r.Header)
	if a.isEndpoints(r) {
		return next.ServeHTTP(w, r)
	}
	run := a.found.running
	withoutCookies(r)
	caller, err := run.authenticate(r, a.found.Path)
	switch {
	case errors.Is(err, mcphandler.ErrNoToken) && a.Optional:
		if a.SignedIdentity != nil {
			r.Header.Del(a.SignedIdentity.HeaderName())
		}
		setUser(r, &mcphandler.Caller{})
		return next.ServeHTTP(w, r)
	case errors.Is(err, mcphandler.ErrNoToken):
		return a.refuse(w, r, http.StatusUnauthorized, "", err)
	case errors.Is(err, mcphandler.ErrInvalidToken):
		return a.refuse(w, r, http.StatusUnauthorized, "invalid_token", err)
	case err != nil:
		return unavailableError(w, err)
	}
	if !containsAll(caller.Scopes, run.auth.ChallengeScopes()) {
		return a.refuse(w, r, http.StatusForbidden, "insufficient_scope", errors.New("the access token lacks a scope of the endpoint"))
	}
	if !a.admit(callingOne(caller)) {
		return caddyhttp.Error(http.StatusForbidden, fmt.Errorf("user %s is not admitted here", caller.UserID))
	}
	if err := a.addIdentityToken(w, r, caller); err != nil {
		return err
	}
	r.Header.Del("Authorization")
	if err := a.addSignedIdentity(w, r, caller); err != nil {
		return err
	}
	setUser(r, caller)
	return next.ServeHTTP(w, r)
}

// isEndpoints reports whether r is for an endpoint behind, where people get the
// tokens: a handler for all of a site must not stand in their way.
func (a *Auth) isEndpoints(r *http.Request) bool {
	return slices.ContainsFunc(a.behind, func(h *Handler) bool { return h.open() == nil && h.running.route(r.URL.Path) != nil })
}

// addIdentityToken gives the next handler the person's token of the identity
// provider, if that is wanted.
func (a *Auth) addIdentityToken(w http.ResponseWriter, r *http.Request, caller *mcphandler.Caller) error {
	if a.IdentityTokenHeader == "" {
		return nil
	}
	if own, ok := caller.Credential.(authserver.Secret); ok { // it came with the request
		setForNext(r.Header, a.IdentityTokenHeader, own.Reveal())
		return nil
	}
	kept, err := a.found.running.auth.IdentityToken(r.Context(), caller.UserID)
	switch {
	case errors.Is(err, authserver.ErrIdentityTokenGone):
		return a.refuse(w, r, http.StatusUnauthorized, "invalid_token", err)
	case err != nil:
		return unavailableError(w, err)
	}
	setForNext(r.Header, a.IdentityTokenHeader, kept.Token.Reveal())
	return nil
}

// setForNext sets a header that the next handler is to get. A client that names
// it in Connection would have a proxy drop it (RFC 9110 section 7.6.1), and the
// program behind would take the person for nobody.
func setForNext(h http.Header, name, value string) {
	for i, list := range h["Connection"] {
		options := slices.DeleteFunc(strings.Split(list, ","), func(option string) bool {
			return strings.EqualFold(strings.TrimSpace(option), name)
		})
		h["Connection"][i] = strings.Join(options, ",")
	}
	h.Set(name, value)
}

// refuse answers with a challenge (RFC 6750 section 3), by Caddy's way for
// errors: handle_errors may say it in other words.
func (a *Auth) refuse(w http.ResponseWriter, r *http.Request, status int, code string, err error) error {
	w.Header().Set("WWW-Authenticate", mcphandler.Challenge(endpointOf(r), a.found.running.auth.ChallengeScopes(), code))
	return caddyhttp.Error(status, err)
}

func unavailableError(w http.ResponseWriter, err error) error {
	w.Header().Set("Retry-After", "5")
	return caddyhttp.Error(http.StatusServiceUnavailable, err)
}

// authenticate returns who sent a request to a route beside the endpoint. That
// may be on another host: then a token for any URL of the endpoint counts. From
// then on the request knows the URL.
func (run *running) authenticate(r *http.Request, path string) (*mcphandler.Caller, error) {
	origins := run.origins.all()
	if own, err := run.origins.of(r); err == nil {
		origins = []string{own}
	}
	var refusal error // of the last one
	for _, origin := range origins {
		caddyhttp.SetVar(r.Context(), endpointVar, origin+path)
		caller, err := authenticator{run.auth}.Authenticate(r)
		if !errors.Is(err, mcphandler.ErrInvalidToken) {
			return caller, err
		}
		refusal = err
	}
	caddyhttp.SetVar(r.Context(), endpointVar, origins[0]+path)
	return nil, refusal
}

// setUser sets the placeholders that Caddy's own authentication sets. They are
// there for nobody too, or they would go on as they are written.
func setUser(r *http.Request, caller *mcphandler.Caller) {
	repl, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return
	}
	email := ""
	if caller.EmailVerified {
		email = caller.Email
	}
	for name, value := range map[string]string{
		"id": caller.UserID, "subject": caller.Subject, "email": email, "name": caller.Name, "groups": joinGroups(caller.Groups),
		"client_id": caller.ClientID, "client_name": caller.ClientName,
	} {
		repl.Set("http.auth.user."+name, withoutControls(value))
	}
}

// joinGroups puts commas between groups. One within a name is written %2C, so
// that no name reads like two.
func joinGroups(groups []string) string {
	names := make([]string, len(groups))
	for i, group := range groups {
		names[i] = strings.ReplaceAll(group, ",", "%2C")
	}
	return strings.Join(names, ",")
}

// withoutControls makes what people and clients call themselves fit for a header.
func withoutControls(text string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return -1
		}
		return c
	}, text)
}

func containsAll(list, wanted []string) bool {
	return !slices.ContainsFunc(wanted, func(one string) bool { return !slices.Contains(list, one) })
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Auth)(nil)
	_ caddyhttp.MiddlewareHandler = (*Auth)(nil)
)
