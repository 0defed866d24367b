package altermcp

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
	"github.com/alter-mcp/caddy-alter-mcp/mcphandler"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/altervault"
)

func init() {
	caddy.RegisterModule(AlterVault{})
}

// AlterVault keeps grants in the Alter Vault. It finds a person's grants by the
// token that the site's identity provider issued to them.
type AlterVault struct {
	// The API key of the app, `alter_rk_…`, or of an agent, `alter_ak_…`;
	// placeholders are allowed. Required.
	APIKey string `json:"api_key,omitempty"`

	// Former keys of the same app or agent; placeholders are allowed. What was to
	// be reported to the vault's audit with them, and was not sent when the key
	// changed, is sent with APIKey. Nothing else uses them, so they may be revoked.
	OlderAPIKeys []string `json:"older_api_keys,omitempty"`

	// Where the vault is; placeholders are allowed. https, or http on this
	// computer. Default: the environment variable ALTER_BASE_URL, as for Alter's
	// own SDK, or `https://backend.alterauth.com`.
	BaseURL string `json:"base_url,omitempty"`

	// Who calls, for the vault's record: a label, or the UUID of a managed
	// agent. At most 255 printable ASCII characters. Default: the endpoint's
	// name, if it is that.
	Caller string `json:"caller,omitempty"`

	// What the caller is: `service` or `agent`. Default: what the API key is of.
	CallerType string `json:"caller_type,omitempty"`

	// Whether tools' requests are made here with the person's token
	// (`retrieve`), by the vault (`proxy`), or here as long as the grant allows
	// it (`auto`). A tool may say otherwise. Default: `auto`.
	Mode string `json:"mode,omitempty"`

	// How much of each request that is made here is reported to the vault:
	// `none`, `meta`, or `full` with bodies. Default: `meta`.
	Audit string `json:"audit,omitempty"`

	// Which of the identity provider's tokens names a person to the vault: `id`
	// or `access`. Default: `id`.
	UserToken string `json:"user_token,omitempty"`

	// How long a token of the vault is kept in memory at most. Until then an
	// end of the grant at the vault is not noticed. 0 keeps none. Default: 5m.
	KeepTokens *caddy.Duration `json:"keep_tokens,omitempty"`

	// On what terms people connect their accounts.
	Connect *AlterConnect `json:"connect,omitempty"`

	config    alter.Config
	olderKeys []vaultclient.Secret
}

// CaddyModule implements caddy.Module.
func (AlterVault) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.alter_mcp.vaults.alter",
		New: func() caddy.Module { return new(AlterVault) },
	}
}

// Provision resolves the API key and checks the settings. The vault is asked for
// nothing before somebody needs it.
func (v *AlterVault) Provision(ctx caddy.Context) error {
	if err := v.resolve(); err != nil {
		return fmt.Errorf("vault alter: %w", err)
	}
	v.config.Logger = ctx.Logger()
	return nil
}

func (v *AlterVault) resolve() error {
	if err := oneOf("mode", &v.Mode, altervault.ModeAuto, altervault.ModeRetrieve, altervault.ModeProxy); err != nil {
		return err
	}
	if err := oneOf("audit", &v.Audit, string(alter.AuditMeta), string(alter.AuditNone), string(alter.AuditFull)); err != nil {
		return err
	}
	if err := oneOf("user_token", &v.UserToken, string(authserver.IdentityTokenID), string(authserver.IdentityTokenAccess)); err != nil {
		return err
	}
	var err error
	if v.config, err = alterConfig(v.APIKey, v.BaseURL); err != nil {
		return err
	}
	if err := v.resolveOlderKeys(); err != nil {
		return err
	}
	v.config.Caller = alter.Caller{Name: v.Caller, Type: alter.CallerType(v.CallerType)}
	if v.KeepTokens != nil {
		if v.config.Keep = time.Duration(*v.KeepTokens); v.config.Keep == 0 {
			v.config.Keep = -1 // none
		}
	}
	if _, err = alter.New(v.config); err != nil { // which only checks
		return err
	}
	if err := v.Connect.terms().Check(); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return nil
}

// alterConfig resolves where the vault is and the key to it.
func alterConfig(apiKey, baseURL string) (alter.Config, error) {
	key, err := expandSecret("api_key", apiKey)
	if err != nil {
		return alter.Config{}, err
	}
	cfg := alter.Config{APIKey: vaultclient.NewSecret(key), BaseURL: os.Getenv("ALTER_BASE_URL")}
	if baseURL != "" {
		cfg.BaseURL, err = expandSecret("base_url", baseURL)
	}
	return cfg, err
}

// oneOf checks a word; the first of want is the default.
func oneOf(setting string, value *string, want ...string) error {
	if *value == "" {
		*value = want[0]
	}
	for _, word := range want {
		if *value == word {
			return nil
		}
	}
	return fmt.Errorf("%s %q: want %s", setting, *value, strings.Join(want, ", "))
}

func (v *AlterVault) ownsClients() bool { return true }

// checkGrant implements vaultModule.
func (v *AlterVault) checkGrant(g *mcphandler.GrantConfig) error {
	if g.VaultRule == nil {
		return nil
	}
	if err := alterRule(g.VaultRule).Check(); err != nil {
		return fmt.Errorf("vault_rule: %w", err)
	}
	return nil
}

// alterRule is a tool's rule as the vault's client has it.
func alterRule(r *mcphandler.VaultRule) *alter.Rule {
	if r == nil {
		return nil
	}
	return &alter.Rule{Type: r.Type, Body: r.Body}
}

// identityToken implements tokenKeeper.
func (v *AlterVault) identityToken() authserver.IdentityTokenKind {
	return authserver.IdentityTokenKind(v.UserToken)
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Syntax:
//
//	vault alter {
//	    api_key     <key> [<older key>...]
//	    base_url    <url>
//	    caller      <name> [service|agent]
//	    mode        auto|retrieve|proxy
//	    audit       none|meta|full
//	    user_token  id|access
//	    keep_tokens <duration>
//	    connect     { ... }
//	}
func (v *AlterVault) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // module name
	if d.NextArg() {
		return d.ArgErr()
	}
	seen := make(once)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := seen.check(d); err != nil {
			return err
		}
		if err := v.unmarshalSetting(d); err != nil {
			return err
		}
	}
	return nil
}

func (v *AlterVault) unmarshalSetting(d *caddyfile.Dispenser) error {
	switch d.Val() {
	case "api_key":
		return v.unmarshalKeys(d)
	case "base_url":
		return oneArg(d, &v.BaseURL)
	case "caller":
		args := d.RemainingArgs()
		if len(args) == 0 || len(args) > 2 {
			return d.Errf("caller takes a name, and then service or agent, found %d values", len(args))
		}
		if v.Caller = args[0]; len(args) == 2 {
			v.CallerType = args[1]
			return oneWord(d, "caller", v.CallerType, string(alter.CallerService), string(alter.CallerAgent))
		}
		return nil
	case "mode":
		return word(d, &v.Mode, altervault.ModeAuto, altervault.ModeRetrieve, altervault.ModeProxy)
	case "audit":
		return word(d, &v.Audit, string(alter.AuditNone), string(alter.AuditMeta), string(alter.AuditFull))
	case "user_token":
		return word(d, &v.UserToken, string(authserver.IdentityTokenID), string(authserver.IdentityTokenAccess))
	case "keep_tokens":
		v.KeepTokens = new(caddy.Duration)
		return duration(d, v.KeepTokens)
	case "connect":
		v.Connect = new(AlterConnect)
		return v.Connect.unmarshal(d)
	}
	return unknown(d, "vault alter", "api_key", "audit", "base_url", "caller", "connect", "keep_tokens", "mode", "user_token")
}

// word reads a setting with one of some words.
func word(d *caddyfile.Dispenser, dst *string, want ...string) error {
	setting := d.Val()
	if err := oneArg(d, dst); err != nil {
		return err
	}
	return oneWord(d, setting, *dst, want...)
}

func oneWord(d *caddyfile.Dispenser, setting, value string, want ...string) error {
	for _, w := range want {
		if value == w {
			return nil
		}
	}
	return d.Errf("%s %q: want %s", setting, value, strings.Join(want, ", "))
}

// Interface guards
var (
	_ caddy.Provisioner     = (*AlterVault)(nil)
	_ caddyfile.Unmarshaler = (*AlterVault)(nil)
	_ tokenKeeper           = (*AlterVault)(nil)
	_ vaultModule           = (*AlterVault)(nil)
)
