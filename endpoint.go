package altermcp

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
	"github.com/alter-mcp/caddy-alter-mcp/internal/web"
	"github.com/alter-mcp/caddy-alter-mcp/mcphandler"
)

// sweepClientsEvery is how often clients that nobody uses are removed.
const sweepClientsEvery = time.Hour

// running is an endpoint that serves.
type running struct {
	state   *state
	origins *origins
	exact   map[string]http.HandlerFunc
	assets  string // prefix
	pages   *web.Pages
	auth    *authserver.Server

	stop   context.CancelFunc
	done   chan struct{}
	vault  vault
	signer identitySigner
	idle   func() // closes idle connections to providers
}

// start builds the endpoint from what Provision found good.
func (h *Handler) start() (*running, error) {
	at, err := h.app.site(h)
	if err != nil {
		return nil, err
	}
	rootTaken, err := h.app.rootTaken(h, at)
	if err != nil {
		return nil, err
	}
	run := &running{assets: h.Path + pathAssets, done: make(chan struct{}), idle: h.guests.upstream.closeIdle}
	if run.origins, err = h.findOrigins(at); err != nil {
		return nil, err
	}
	if run.state, err = joinState(h.ctx, h.guests.store, h.guests.keys, h.logger); err != nil {
		return nil, err
	}
	if err := h.build(run, rootTaken); err != nil {
		return nil, fmt.Errorf("%w", closeAfter(err, run.state))
	}
	return run, nil
}

// endpointField names the endpoint in the lines of the libraries, which do not
// know it.
func (run *running) endpointField(h *Handler) zap.Field {
	return zap.String("endpoint", run.origins.canonical+h.Path)
}

// closeAfter leaves the state that a failed start joined.
func closeAfter(err error, st *state) error {
	if leaveErr := st.leave(); leaveErr != nil {
		return fmt.Errorf("%w (and leaving the store: %w)", err, leaveErr)
	}
	return err
}

func (h *Handler) build(run *running, rootTaken bool) error {
	if err := h.checkAudiences(run); err != nil {
		return err
	}
	realmName := h.Realm
	if realmName == "" {
		realmName = run.origins.canonical + h.Path
	}
	realm := run.state.db.Realm(realmName)
	var err error
	if run.pages, err = web.New(web.Site{Name: h.Name, Path: h.Path}); err != nil {
		return err
	}
	auth, err := authserver.New(h.authConfig(run, realmName, realm))
	if err != nil {
		return err
	}
	vault, err := h.guests.vault.open(&vaultHouse{
		handler: h, endpoint: run.origins.canonical + h.Path, providers: h.guests.providers, base: h.guests.upstream.base, state: run.state, realm: realm,
		auth: auth, pages: run.pages, lifetime: time.Duration(h.lifetimes().ConnectLink),
		logger: h.logger.Named("vault").With(run.endpointField(h)),
	})
	if err != nil {
		return err
	}
	run.auth, run.vault, run.signer = auth, vault, signerOf(vault, auth, run.origins.canonical+h.Path)
	h.guests.upstream.vault, h.guests.upstream.signer = vault, run.signer
	mcp, err := mcphandler.New(h.mcpConfig(run, auth, realm))
	if err != nil {
		vault.close()
		return err
	}
	run.exact = h.routes(auth, vault, mcp, rootTaken)
	ctx, stop := context.WithCancel(context.WithoutCancel(h.ctx))
	run.stop = stop
	go h.sweepClients(ctx, run, auth)
	h.logger.Info("endpoint is ready", zap.String("url", run.origins.canonical+h.Path), zap.String("realm", realmName),
		zap.String("login_callback", run.urls(h, auth.CallbackPaths())),
		zap.String("connect_callback", run.urls(h, h.connectCallbacks())))
	return nil
}

// findOrigins decides under which origins the endpoint answers.
func (h *Handler) findOrigins(at *site) (*origins, error) {
	o := &origins{public: h.guests.public}
	if len(o.public) > 0 {
		o.canonical = o.public[0]
		return o, nil
	}
	if at == nil {
		at = &site{scheme: "http"} // in a place that is not searched, such as a named route
		h.logger.Warn("the site of this endpoint was not found in the configuration; set public_url", zap.String("path", h.Path))
	}
	o.hosts = at.hosts
	var err error
	o.canonical, err = at.origin()
	if err == nil && strings.HasPrefix(o.canonical, "http:") && !isLoopbackOrigin(o.canonical) {
		h.logger.Warn("OAuth needs https: if TLS ends at a proxy in front, set public_url", zap.String("url", o.canonical+h.Path))
	}
	return o, err
}

func (h *Handler) lifetimes() Lifetimes {
	if h.Lifetimes == nil {
		return Lifetimes{}
	}
	return *h.Lifetimes
}

func (h *Handler) authConfig(run *running, realmName string, store authserver.Store) authserver.Config {
	l := h.lifetimes()
	cfg := authserver.Config{
		Name: h.Name, Path: h.Path, Realm: realmName, Endpoint: endpointOf, ClientAddr: clientAddr,
		Identity: h.guests.identity, IdentityTitle: h.guests.identity.Title(),
		Store: store, Sealer: run.state.sealer, Pages: run.pages, IdentityRenewals: &run.state.identityRenewals,
		AccessTokenLifetime: time.Duration(l.AccessToken), CodeLifetime: time.Duration(l.Code),
		LoginLifetime: time.Duration(l.Login), SessionIdle: time.Duration(l.Session),
		RefreshIdle: time.Duration(l.Refresh), MaxStaleness: time.Duration(l.MaxStaleness),
		RememberConsent: h.RememberConsent, DeviceAuthorization: h.DeviceAuthorization, Admit: h.admitUser, Record: metrics.countAuth, Logger: h.logger.Named("oauth").With(run.endpointField(h)),
	}
	if l.RefreshGrace != nil {
		cfg.RefreshGrace = time.Duration(*l.RefreshGrace)
		if cfg.RefreshGrace == 0 {
			cfg.RefreshGrace = -1 // off
		}
	}
	if reg := h.Registration; reg != nil {
		cfg.Registration = authserver.Registration{
			Off: reg.Off, Rate: reg.Rate, Window: time.Duration(reg.Window), MaxClients: reg.MaxClients,
			UnusedFor: time.Duration(reg.UnusedFor), IdleFor: time.Duration(reg.IdleFor),
		}
	}
	if docs := h.ClientDocuments; docs != nil {
		cfg.Documents = authserver.Documents{Off: docs.Off, Hosts: docs.Hosts}
	}
	if keeper, ok := h.guests.vault.(tokenKeeper); ok {
		cfg.KeepIdentityToken = keeper.identityToken()
	}
	return cfg
}

func (h *Handler) mcpConfig(run *running, auth *authserver.Server, sessions mcphandler.EndedSessions) mcphandler.Config {
	cfg := mcphandler.Config{
		Name: h.Name, Title: h.Name, Version: moduleVersion(), Instructions: h.Instructions,
		Sources: []mcphandler.Source{h.guests.tools}, Authenticator: authenticator{auth},
		Sealer: run.state.sealer, Sessions: sessions, Endpoint: endpointOf,
		OriginAllowed: func(r *http.Request, origin string) bool {
			return browserAllowed(strings.TrimSuffix(endpointOf(r), h.Path), origin, h.guests.browserOrigins)
		},
		Scopes:          auth.ChallengeScopes(),
		Closing:         h.app.closing.Done(),
		SessionLifetime: time.Duration(h.lifetimes().MCPSession),
		Record:          recordCall(h.logger.Named("audit"), h.guests.toolNeeds), Logger: h.logger.Named("mcp").With(run.endpointField(h)),
	}
	if l := h.Limits; l != nil {
		cfg.MaxBody, cfg.MaxDepth, cfg.MaxBatch, cfg.PageSize = l.Body, l.Nesting, l.Batch, l.Page
		cfg.MaxRequests = l.Requests
	}
	return cfg
}

// close ends the endpoint's background work and leaves the store.
func (run *running) close() error {
	run.stop()
	<-run.done
	run.vault.close()
	run.idle()
	return run.state.leave()
}

func (h *Handler) sweepClients(ctx context.Context, run *running, auth *authserver.Server) {
	defer close(run.done)
	tick := time.NewTicker(sweepClientsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			n, err := auth.SweepClients(ctx)
			if err != nil && ctx.Err() == nil {
				h.logger.Warn("removing unused clients failed", zap.Error(err))
			} else if n > 0 {
				h.logger.Info("removed unused clients", zap.Int("count", n))
			}
		}
	}
}

// clientAddr is the address of the client as Caddy's trusted_proxies see it.
func clientAddr(r *http.Request) string {
	addr, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	if addr == "" {
		u := url.URL{Host: r.RemoteAddr}
		addr = u.Hostname()
	}
	return addr
}

// moduleVersion is the version of this module in the binary.
func moduleVersion() string {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, dep := range info.Deps {
			if strings.HasSuffix(dep.Path, "/caddy-alter-mcp") {
				return dep.Version
			}
		}
	}
	return "devel"
}
