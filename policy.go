package altermcp

import (
	"context"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
	"github.com/alter-mcp/caddy-alter-mcp/mcphandler"
)

// policySource shows each person the tools that they may use, and no others: a
// tool that is not allowed is not there, in the list as in calls.
type policySource struct {
	inner mcphandler.Source
	// rules that a tool is under, by its name: its own, and those of its
	// provider.
	rules map[string][]*Rules
}

// newPolicySource returns inner itself when there is nothing to decide.
func newPolicySource(inner mcphandler.Source, rules map[string][]*Rules) mcphandler.Source {
	if len(rules) == 0 {
		return inner
	}
	return &policySource{inner, rules}
}

// List implements [mcphandler.Source].
func (p *policySource) List(ctx context.Context, caller *mcphandler.Caller) ([]mcphandler.Tool, error) {
	all, err := p.inner.List(ctx, caller)
	if err != nil {
		return nil, err
	}
	allowed := make([]mcphandler.Tool, 0, len(all))
	for _, tool := range all {
		if p.allows(caller, tool.Describe().Name) {
			allowed = append(allowed, tool)
		}
	}
	return allowed, nil
}

// Lookup implements [mcphandler.Source].
func (p *policySource) Lookup(ctx context.Context, caller *mcphandler.Caller, name string) (mcphandler.Tool, error) {
	if !p.allows(caller, name) {
		return nil, nil
	}
	return p.inner.Lookup(ctx, caller, name)
}

func (p *policySource) allows(caller *mcphandler.Caller, name string) bool {
	for _, rules := range p.rules[name] {
		if !rules.admit(callingOne(caller)) {
			return false
		}
	}
	return true
}

// admitUser applies the endpoint's rules to a person, at login, at refresh and
// at each verification of a token.
//
// Who is no longer an account of the endpoint's identity is nobody, even with a
// living token: the realm may know people of other endpoints, or of an identity
// that was there before.
func (h *Handler) admitUser(u *authserver.User) bool {
	if !h.guests.identity.Knows(u.Issuer, u.Subject) {
		return false
	}
	return h.Rules.admit(someoneOf(u))
}

// admitToProvider applies a provider's rules to a person, at the vault's pages.
func (h *Handler) admitToProvider(u *authserver.User, provider string) bool {
	for _, p := range h.Providers {
		if p.Name == provider {
			return p.Rules.admit(someoneOf(u))
		}
	}
	return true
}

// someoneOf is what rules know of a user.
func someoneOf(u *authserver.User) someone {
	return someone{u.Issuer, u.Subject, u.Profile.Email, u.Profile.EmailVerified, u.Profile.Groups}
}

// callingOne is what rules know of who calls.
func callingOne(c *mcphandler.Caller) someone {
	return someone{c.Issuer, c.Subject, c.Email, c.EmailVerified, c.Groups}
}

// ruledTool is a tool with rules of its own.
type ruledTool interface{ ToolRules() *Rules }

// collectRules gathers what each tool is under.
func (h *Handler) collectRules(tools []mcphandler.Tool, providers map[string]*Rules) map[string][]*Rules {
	h.warnIdle(&h.Rules)
	for name, rules := range providers {
		h.warnIdle(rules, zap.String("provider", name))
	}
	all := make(map[string][]*Rules)
	for _, tool := range tools {
		name := tool.Describe().Name
		if ruled, ok := tool.(ruledTool); ok && !ruled.ToolRules().empty() {
			all[name] = append(all[name], ruled.ToolRules())
			h.warnIdle(ruled.ToolRules(), zap.String("tool", name))
		}
		if user, ok := tool.(providerUser); ok {
			if rules := providers[user.NeededProvider()]; rules != nil && !rules.empty() {
				all[name] = append(all[name], rules)
			}
		}
	}
	return all
}

// closedIdentity is an identity that has all its people in the configuration.
type closedIdentity interface{ everyone() []someone }

// warnIdle tells the operator of rules that match nobody: a name with a slip of
// the pen in a deny would let in whom it means. Only where accounts are the one
// way to log in is it known who there is.
func (h *Handler) warnIdle(rules *Rules, of ...zap.Field) {
	closed, ok := h.guests.identity.(closedIdentity)
	if !ok {
		return
	}
	people := closed.everyone()
	for _, rule := range slices.Concat(rules.Allow, rules.Deny) {
		if !slices.ContainsFunc(people, rule.matches) {
			h.logger.Warn("a rule of allow or deny matches none of the accounts", append(of, zap.Any("rule", rule))...)
		}
	}
}

// openIdentity is an identity that anybody in the world may have, such as
// Google's: logging in says nothing about belonging here.
type openIdentity interface{ OpenToTheWorld() bool }

// checkOpenIdentity wants the operator to say who may come in by such an
// identity.
func (h *Handler) checkOpenIdentity(identity identityModule) error {
	open, ok := identity.(openIdentity)
	if ok && open.OpenToTheWorld() && len(h.Allow) == 0 {
		return fmt.Errorf("anybody can have an account at %s: say who may use this server, by `allow email *@example.com` for example, or `allow any`", identity.Title())
	}
	return nil
}
