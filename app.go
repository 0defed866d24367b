package altermcp

import (
	"fmt"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	caddy.RegisterModule(App{})
}

// App knows the endpoints of a configuration. Nobody configures it: the first
// endpoint makes it. It is there because handlers have no Start: what touches
// files and sockets begins here, and so never in `caddy validate`.
type App struct {
	ctx caddy.Context
	// Provision of the HTTP app, and so register, is done by one goroutine.
	endpoints []*Handler
	auths     []*Auth
	closing   *closing
}

// CaddyModule implements caddy.Module.
func (App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "alter_mcp",
		New: func() caddy.Module { return new(App) },
	}
}

// Provision implements caddy.Provisioner.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx = ctx
	var err error
	if a.closing, err = newClosing(ctx); err != nil {
		return err
	}
	return metrics.register(ctx.GetMetricsRegistry())
}

// register adds an endpoint. It is called in the handler's Provision.
func (a *App) register(h *Handler) {
	a.endpoints = append(a.endpoints, h)
}

// Start opens all endpoints. A store that cannot be opened, or a key that does
// not fit, fails the start; a database or a provider that is away does not.
func (a *App) Start() error {
	if err := a.checkCollisions(); err != nil {
		return err
	}
	for _, h := range a.endpoints {
		if err := h.open(); err != nil {
			return fmt.Errorf("alter_mcp %s: %w", h.Path, err)
		}
	}
	return a.openAuths()
}

// Stop implements caddy.App. The endpoints close in their own Cleanup, after
// the last request is done.
func (a *App) Stop() error { return nil }

// site returns where h stands, or nil when the HTTP app does not have it.
func (a *App) site(h caddyhttp.MiddlewareHandler) (*site, error) {
	app, err := a.ctx.AppIfConfigured("http")
	if err != nil {
		return nil, fmt.Errorf("looking for the site: %w", err)
	}
	return findSite(app.(*caddyhttp.App), h), nil
}

// checkCollisions refuses two endpoints of one site block whose paths overlap.
func (a *App) checkCollisions() error {
	for i, h := range a.endpoints {
		at, err := a.site(h)
		if err != nil {
			return err
		}
		for j, other := range a.endpoints {
			if i == j {
				continue
			}
			otherAt, err := a.site(other)
			if err != nil {
				return err
			}
			if at == nil || otherAt == nil || at.block != otherAt.block {
				continue
			}
			if collides(h.Path, other.Path) {
				return fmt.Errorf("alter_mcp %s: its path is one that alter_mcp %s on the same site needs itself", other.Path, h.Path)
			}
			if h.RootDocuments == rootClaimed && other.RootDocuments == rootClaimed {
				return fmt.Errorf("alter_mcp %s and alter_mcp %s of one site both say root; only one can have the root documents", h.Path, other.Path)
			}
		}
	}
	return nil
}

// rootTaken reports whether the root documents are another endpoint's of h's
// site block: of one that claims them, or else of the first.
func (a *App) rootTaken(h *Handler, at *site) (bool, error) {
	if h.RootDocuments != rootUnlessClaimed || at == nil {
		return false, nil
	}
	first := true // endpoints are registered in the order of the configuration
	for _, other := range a.endpoints {
		if other == h {
			first = false
			continue
		}
		if other.RootDocuments != rootClaimed && !(first && other.RootDocuments == rootUnlessClaimed) {
			continue
		}
		otherAt, err := a.site(other)
		if err != nil {
			return false, err
		}
		if otherAt != nil && otherAt.block == at.block {
			return true, nil
		}
	}
	return false, nil
}

// Interface guards
var (
	_ caddy.Provisioner = (*App)(nil)
	_ caddy.App         = (*App)(nil)
)
