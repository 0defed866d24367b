package altermcp

import (
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/altervault"
)

// AlterConnect are the terms on which people connect accounts in the Alter Vault.
// What is not set is as the Alter app has it.
type AlterConnect struct {
	// Leave out the vault's own consent page: this server's has asked.
	Direct bool `json:"direct,omitempty"`

	// Keep people from adding rules of their own to what they connect.
	NoUserRules bool `json:"no_user_rules,omitempty"`

	// The longest time for which people can connect, in whole seconds.
	MaxLifetime caddy.Duration `json:"max_lifetime,omitempty"`

	// The time that is chosen at first, at most that.
	DefaultLifetime caddy.Duration `json:"default_lifetime,omitempty"`
}

// terms are those of a connect session.
func (c *AlterConnect) terms() altervault.ConnectTerms {
	if c == nil {
		return altervault.ConnectTerms{}
	}
	return altervault.ConnectTerms{
		Direct: c.Direct, NoUserRules: c.NoUserRules,
		Life: alter.GrantBounds{MaxTTL: time.Duration(c.MaxLifetime), DefaultTTL: time.Duration(c.DefaultLifetime)},
	}
}

// unmarshal reads the block of the setting. Syntax:
//
//	connect {
//	    direct
//	    no_user_rules
//	    max_lifetime     <duration>
//	    default_lifetime <duration>
//	}
func (c *AlterConnect) unmarshal(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.Errf("connect takes a block, found %q", d.Val())
	}
	seen := make(once)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := seen.check(d); err != nil {
			return err
		}
		var err error
		switch d.Val() {
		case "direct":
			err = noArgs(d, &c.Direct)
		case "no_user_rules":
			err = noArgs(d, &c.NoUserRules)
		case "max_lifetime":
			err = positive(d, &c.MaxLifetime)
		case "default_lifetime":
			err = positive(d, &c.DefaultLifetime)
		default:
			err = unknown(d, "connect", "default_lifetime", "direct", "max_lifetime", "no_user_rules")
		}
		if err != nil {
			return err
		}
	}
	return nil
}
