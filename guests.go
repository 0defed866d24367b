package altermcp

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/alter-mcp/caddy-alter-mcp/mcphandler"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// guests is what Provision makes of a handler's settings: loaded modules and
// resolved values.
type guests struct {
	keys           [][]byte // configured encryption keys, the current one first
	public         []string
	browserOrigins []string

	store     storeModule
	identity  identityModule   // of all identities
	ways      []identityModule // each of them
	vault     vaultModule
	providers map[string]*vaultclient.Provider
	hostless  map[string]bool // providers without hosts of their own
	tools     mcphandler.Source
	toolNeeds map[string]string // tools with the provider that each needs, if any
	audiences map[string]string // tools with whom their requests tell who calls
	upstream  *upstream
}

// grantUser is a tool that says which grant its requests carry.
type grantUser interface {
	ToolName() string
	GrantNeeds() *mcphandler.GrantConfig
}

// upstreamUser is a tool that makes requests. It is given the way to send them
// before it is described.
type upstreamUser interface {
	UseUpstream(up mcphandler.Upstream) error
}

// providerUser is a tool that needs a provider of the endpoint.
type providerUser interface {
	ToolName() string
	// NeededProvider is the name of a provider, or "".
	NeededProvider() string
}

// targetedTool is a tool whose requests carry a person's token to one host.
type targetedTool interface {
	providerUser
	// Target has scheme and host; nil if there are no requests. It is asked
	// after UseUpstream.
	Target() *url.URL
}

// loadGuests loads the modules that the settings name.
func (h *Handler) loadGuests(ctx caddy.Context) error {
	g := &h.guests
	if h.StoreRaw == nil {
		h.StoreRaw = caddyconfig.JSONModuleObject(struct{}{}, "type", "sqlite", nil)
	}
	if h.VaultRaw == nil {
		h.VaultRaw = caddyconfig.JSONModuleObject(struct{}{}, "type", "local", nil)
	}
	mod, err := ctx.LoadModule(h, "StoreRaw")
	if err != nil {
		return fmt.Errorf("loading the store: %w", err)
	}
	var ok bool
	if g.store, ok = mod.(storeModule); !ok {
		return fmt.Errorf("store module %T is none", mod)
	}
	if g.store.isShared() && len(g.keys) == 0 {
		return errors.New("encryption_key is missing: the nodes that share this store need the same one; " +
			"make one with `openssl rand -base64 32`")
	}
	if mod, err = ctx.LoadModule(h, "VaultRaw"); err != nil {
		return fmt.Errorf("loading the vault: %w", err)
	}
	if g.vault, ok = mod.(vaultModule); !ok {
		return fmt.Errorf("vault module %T is none", mod)
	}
	if err := h.loadIdentities(ctx); err != nil {
		return err
	}
	if err := h.loadProviders(); err != nil {
		return err
	}
	return h.loadTools(ctx)
}

func (h *Handler) loadProviders() error {
	h.guests.providers, h.guests.hostless = make(map[string]*vaultclient.Provider), make(map[string]bool)
	for i, p := range h.Providers {
		resolved, err := p.resolve(h.guests.vault.ownsClients())
		if err == nil {
			err = p.Rules.check()
		}
		if err != nil {
			return fmt.Errorf("provider %d (%s): %w", i, p.Name, err)
		}
		if h.guests.providers[p.Name] != nil {
			return fmt.Errorf("provider %d: the name %s is taken", i, p.Name)
		}
		for _, other := range h.guests.providers {
			if p.Callback != "" && p.Callback == other.Callback {
				return fmt.Errorf("provider %d (%s): callback %s is that of provider %s; each has one of its own", i, p.Name, p.Callback, other.Name)
			}
		}
		h.addProvider(resolved)
	}
	h.guests.upstream = newUpstream()
	return nil
}

func (h *Handler) addProvider(p *vaultclient.Provider) {
	h.guests.providers[p.Name] = p
	h.guests.hostless[p.Name] = len(p.APIHosts) == 0
}

// impliedProvider declares a provider that a tool names, where the vault has all
// that is needed for it.
func (h *Handler) impliedProvider(tool providerUser) error {
	name := tool.NeededProvider()
	if name == "" || h.guests.providers[name] != nil || !h.guests.vault.ownsClients() {
		return nil
	}
	p, err := (&Provider{Name: name}).resolve(true)
	if err != nil {
		return fmt.Errorf("tool %q: provider %w", tool.ToolName(), err)
	}
	h.addProvider(p)
	return nil
}

// widen lets a provider for which no hosts are named have that of a tool. The
// operator wrote both, and no template reaches a tool's host.
func (h *Handler) widen(tool targetedTool) {
	p, target := h.guests.providers[tool.NeededProvider()], tool.Target()
	if p != nil && target != nil && h.guests.hostless[p.Name] && !p.Allows(target) {
		p.APIHosts = append(p.APIHosts, target.Host)
	}
}

func (h *Handler) loadTools(ctx caddy.Context) error {
	var tools []mcphandler.Tool
	h.guests.audiences = make(map[string]string)
	if len(h.ToolsRaw) > 0 {
		mods, err := ctx.LoadModule(h, "ToolsRaw")
		if err != nil {
			return fmt.Errorf("loading tools: %w", err)
		}
		for i, mod := range mods.([]any) {
			tool, err := h.prepareTool(mod)
			if err != nil {
				return fmt.Errorf("tool %d: %w", i, err)
			}
			tools = append(tools, tool)
		}
	}
	static, err := mcphandler.NewStaticSource(tools)
	if err != nil {
		return fmt.Errorf("tools: %w", err)
	}
	providers := make(map[string]*Rules)
	for _, p := range h.Providers {
		providers[p.Name] = &p.Rules
	}
	h.guests.toolNeeds = neededProviders(tools)
	h.guests.tools = newPolicySource(static, h.collectRules(tools, providers))
	return nil
}

// neededProviders returns the tools by name with the provider that each needs,
// or "".
func neededProviders(tools []mcphandler.Tool) map[string]string {
	needs := make(map[string]string, len(tools))
	for _, tool := range tools {
		provider := ""
		if user, ok := tool.(providerUser); ok {
			provider = user.NeededProvider()
		}
		needs[tool.Describe().Name] = provider
	}
	return needs
}

func (h *Handler) prepareTool(mod any) (mcphandler.Tool, error) {
	tool, ok := mod.(mcphandler.Tool)
	if !ok {
		return nil, fmt.Errorf("module %T is no tool", mod)
	}
	if ruled, ok := mod.(ruledTool); ok {
		if err := ruled.ToolRules().check(); err != nil {
			return nil, err
		}
	}
	if user, ok := mod.(providerUser); ok {
		if err := h.impliedProvider(user); err != nil {
			return nil, err
		}
		if name := user.NeededProvider(); name != "" && h.guests.providers[name] == nil {
			return nil, fmt.Errorf("tool %q: provider %q is not declared; there %s", user.ToolName(), name, known(h.guests.providers))
		}
	}
	if user, ok := mod.(grantUser); ok {
		if err := h.guests.vault.checkGrant(user.GrantNeeds()); err != nil {
			return nil, fmt.Errorf("tool %q: %w", user.ToolName(), err)
		}
	}
	if user, ok := mod.(identityUser); ok && user.IdentityNeed() != nil {
		h.guests.audiences[user.ToolName()] = user.IdentityNeed().Audience
	}
	if user, ok := mod.(upstreamUser); ok {
		if err := user.UseUpstream(h.guests.upstream); err != nil {
			return nil, err
		}
	}
	if targeted, ok := mod.(targetedTool); ok {
		h.widen(targeted)
		return tool, h.checkTarget(targeted)
	}
	return tool, nil
}

// checkTarget makes sure that a tool's requests may carry the token that it
// needs: none would be sent.
func (h *Handler) checkTarget(tool targetedTool) error {
	provider, target := h.guests.providers[tool.NeededProvider()], tool.Target()
	if provider == nil || target == nil || provider.Allows(target) {
		return nil
	}
	return fmt.Errorf("tool %q: %s is none of the api_hosts of provider %s: %s",
		tool.ToolName(), target, provider.Name, strings.Join(provider.APIHosts, ", "))
}

func known(providers map[string]*vaultclient.Provider) string {
	if len(providers) == 0 {
		return "is no provider"
	}
	var names []string
	for name := range providers {
		names = append(names, name)
	}
	slices.Sort(names)
	return "are: " + strings.Join(names, ", ")
}
