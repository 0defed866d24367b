package altermcp

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
	"github.com/alter-mcp/caddy-alter-mcp/internal/web"
	"github.com/alter-mcp/caddy-alter-mcp/mcphandler"
	"github.com/alter-mcp/caddy-alter-mcp/store"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/connect"
)

// vaultModule is a guest of http.alter_mcp.vaults: where grants are kept.
type vaultModule interface {
	// ownsClients says that the OAuth clients at the providers are the vault's
	// own, and not the operator's.
	ownsClients() bool
	// checkGrant refuses what a tool says of its grant and this vault cannot do.
	checkGrant(g *mcphandler.GrantConfig) error
	// open begins to serve an endpoint. It reaches for nothing yet.
	open(house *vaultHouse) (vault, error)
}

// vault is the vault of an endpoint that serves.
type vault interface {
	// Send sends a tool's request with the caller's own grant. Its errors are
	// those of [mcphandler.Upstream].
	Send(caller *mcphandler.Caller, need mcphandler.Need, req *http.Request) (*http.Response, error)

	ServeConnect(w http.ResponseWriter, r *http.Request)
	ServeCallback(w http.ResponseWriter, r *http.Request)
	ServeAccount(w http.ResponseWriter, r *http.Request)

	// close ends what the vault does in the background.
	close()
}

// vaultHouse is what an endpoint has for its vault.
type vaultHouse struct {
	handler   *Handler
	endpoint  string // its canonical URL
	providers map[string]*vaultclient.Provider
	base      http.RoundTripper // to providers
	state     *state
	realm     *store.Realm
	auth      *authserver.Server
	pages     *web.Pages
	lifetime  time.Duration // of links to connect; 0 for the default
	logger    *zap.Logger
}

func (h *vaultHouse) browser() connect.Browser { return browser{h.auth, h.handler} }

// vaultError makes what a tool is told of what a vault says. link returns the
// page where the caller connects.
func vaultError(err error, p *vaultclient.Provider, link func() (string, error)) error {
	var missing *vaultclient.ConnectError
	switch {
	case errors.As(err, &missing):
		u, err := link()
		if err != nil {
			return fmt.Errorf("making a link to connect: %w", err)
		}
		return &mcphandler.ConnectError{Provider: p.Name, Title: p.Title, Reason: missing.Reason, URL: u}
	case errors.Is(err, vaultclient.ErrUnavailable):
		return &mcphandler.ToolError{
			Message: p.Title + " cannot be reached at the moment. Try again in a minute.", Cause: err,
		}
	}
	return err
}
