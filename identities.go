package altermcp

import (
	"errors"
	"fmt"

	"github.com/caddyserver/caddy/v2"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// identityModule is a guest of http.alter_mcp.identities.
type identityModule interface {
	authserver.Identity
	// Title names the way to log in, for people.
	Title() string
	// Knows reports whether a person who logged in before, here or at another
	// endpoint of the realm, is one of this identity. It is asked for each new
	// token that is verified and makes no request.
	Knows(issuer, subject string) bool
}

// vaultUser is an identity that may share the settings of the vault.
type vaultUser interface {
	UseVault(v vaultModule) error
}

// waitingIdentity is an identity whose pages wait for people.
type waitingIdentity interface {
	// waitUntil ends the waits when the configuration is about to stop. It is
	// called before anybody logs in.
	waitUntil(closing <-chan struct{})
}

// tokenGiver is an identity whose logins leave a token of an identity provider,
// by which a vault may know people.
type tokenGiver interface {
	givesTokens()
}

// singular is an identity of which an endpoint has one at most: people of two
// could not be told apart.
type singular interface {
	// onlyOne is the same for those of which there may be one; it names them.
	onlyOne() string
}

// loadIdentities loads the modules by which people log in. The vault is loaded
// before.
func (h *Handler) loadIdentities(ctx caddy.Context) error {
	if len(h.IdentitiesRaw) == 0 {
		return errors.New("no identity: say how people log in, for example by a block `identity local` with a line `user <name> <hash>`")
	}
	mods, err := ctx.LoadModule(h, "IdentitiesRaw")
	if err != nil {
		return fmt.Errorf("loading the identities: %w", err)
	}
	seen := make(map[string]bool)
	for _, mod := range mods.([]any) {
		identity, ok := mod.(identityModule)
		if !ok {
			return fmt.Errorf("identity module %T is none", mod)
		}
		if one, ok := mod.(singular); ok {
			name := one.onlyOne()
			if seen[name] {
				return fmt.Errorf("%s stands there twice; name it once", name)
			}
			seen[name] = true
		}
		if err := h.checkIdentity(identity); err != nil {
			return err
		}
		h.guests.ways = append(h.guests.ways, identity)
	}
	h.guests.identity, err = oneIdentity(h.guests.ways)
	return err
}

// checkIdentity checks that an identity goes with the rules and with the vault.
func (h *Handler) checkIdentity(identity identityModule) error {
	if err := h.checkOpenIdentity(identity); err != nil {
		return err
	}
	if _, gives := identity.(tokenGiver); !gives && needsTokens(h.guests.vault) {
		return fmt.Errorf("the vault knows people by a token of an identity provider, of which a login by %s leaves none; "+
			"use identity alter or identity oidc, of the same identity provider as the vault's app", identity.Title())
	}
	if user, ok := identity.(vaultUser); ok {
		return user.UseVault(h.guests.vault)
	}
	return nil
}

func needsTokens(v vaultModule) bool {
	_, keeps := v.(tokenKeeper)
	return keeps
}

// oneIdentity makes one identity of several, among which people choose.
func oneIdentity(ways []identityModule) (identityModule, error) {
	if len(ways) == 1 {
		return ways[0], nil
	}
	for _, way := range ways {
		if alter, ok := way.(*AlterIdentity); ok && alter.Issuer == "" {
			return nil, errors.New("beside others, identity alter takes a line `issuer`, which says whose people it logs in")
		}
	}
	choice := &identityChoice{ways: ways}
	var all []authserver.Way
	for _, way := range ways {
		all = append(all, authserver.Way{Title: way.Title(), Identity: way, Knows: way.Knows})
	}
	var err error
	if choice.Choice, err = authserver.NewChoice(all); err != nil {
		return nil, fmt.Errorf("%w; `title <text>` and `callback <name>` tell them apart", err)
	}
	return choice, nil
}

// identityChoice is an identity that is made of several.
type identityChoice struct {
	*authserver.Choice
	ways []identityModule
}

// Knows implements identityModule.
func (c *identityChoice) Knows(issuer, subject string) bool {
	for _, way := range c.ways {
		if way.Knows(issuer, subject) {
			return true
		}
	}
	return false
}

// Interface guard
var _ identityModule = (*identityChoice)(nil)
