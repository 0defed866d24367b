package altermcp

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	httpcaddyfile.RegisterDirective("alter_mcp", parseDirective)
	// Before what answers requests, after what guards and changes them: rate
	// limits and basic_auth of the site cover the endpoint. A site-wide
	// try_files comes before it too, which shows at once.
	httpcaddyfile.RegisterDirectiveOrder("alter_mcp", httpcaddyfile.Before, "invoke")
}

// parseDirective makes one route that matches the endpoint's own path and its
// well-known paths. The first argument is a path and not a matcher: a matcher
// on /mcp alone would hide the well-known documents at the site root.
func parseDirective(d httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h := new(Handler)
	if err := h.UnmarshalCaddyfile(d.Dispenser); err != nil {
		return nil, err
	}
	// The directive is not told which site it stands in: which of its endpoints
	// has the root documents is decided when all are known.
	if h.RootDocuments == "" {
		h.RootDocuments = rootUnlessClaimed
	}
	match := caddy.ModuleMap{"path": d.JSON(caddyhttp.MatchPath(h.matchedPaths()))}
	return d.NewRoute(match, h), nil
}

// UnmarshalCaddyfile implements caddyfile.Unmarshaler. Syntax:
//
//	alter_mcp [<path>] {
//	    name             <text>
//	    instructions     <text>
//	    public_url       <url>...
//	    realm            <name>
//	    root
//	    legacy_root
//	    origin           <origin>...
//	    encryption_key   <key> [<older key>...]
//	    store            <type> ...
//	    identity         <type> ...
//	    allow            email|domain|group|subject <value>... or any
//	    deny             email|domain|group|subject <value>...
//	    api_key          <key> [<older key>...]
//	    vault            <type> ...
//	    provider         <name> { ... }
//	    tool             <name> [<type>] { ... }
//	    registration     off | { ... }
//	    client_documents off | <host>...
//	    consent          remember
//	    device_authorization
//	    lifetimes        { ... }
//	    limits           { ... }
//	}
func (h *Handler) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // directive name
	h.Path = defaultPath
	if d.NextArg() {
		if strings.HasPrefix(d.Val(), "@") || strings.Contains(d.Val(), "*") {
			return d.Errf("alter_mcp takes a path such as /mcp, not the matcher %q", d.Val())
		}
		h.Path = d.Val()
		if err := checkPath(h.Path); err != nil {
			return d.WrapErr(err)
		}
	}
	if d.NextArg() {
		return d.Errf("alter_mcp takes one path; found also %q", d.Val())
	}
	seen := make(once)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := h.unmarshalSetting(d, seen); err != nil {
			return err
		}
	}
	if _, short := seen["api_key"]; short && len(h.IdentitiesRaw) == 0 {
		h.IdentitiesRaw = []json.RawMessage{caddyconfig.JSONModuleObject(AlterIdentity{}, "type", "alter", nil)}
	}
	return nil
}

// unmarshalAPIKey reads the short form for Alter: it stands for a vault, and for
// an identity too where there is no other.
func (h *Handler) unmarshalAPIKey(d *caddyfile.Dispenser) error {
	if h.VaultRaw != nil {
		return d.Err("api_key stands for vault alter, and there is a vault already; put the key there")
	}
	var v AlterVault
	err := v.unmarshalKeys(d)
	h.VaultRaw = caddyconfig.JSONModuleObject(v, "type", "alter", nil)
	return err
}

func (h *Handler) unmarshalVault(d *caddyfile.Dispenser) (err error) {
	if h.VaultRaw != nil { // a second vault is found before
		return d.Err("vault: api_key stands for vault alter already; put the key there in its place")
	}
	h.VaultRaw, err = guest(d, "vaults")
	return err
}

// unmarshalEncryptionKey reads the current key and those before it.
func (h *Handler) unmarshalEncryptionKey(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.Err("encryption_key takes the key, and then older ones, found nothing")
	}
	h.EncryptionKey, h.OlderEncryptionKeys = args[0], args[1:]
	return nil
}

// unmarshalSetting reads one line of the block.
func (h *Handler) unmarshalSetting(d *caddyfile.Dispenser, seen once) error {
	settings := map[string]func(*caddyfile.Dispenser) error{
		"name":                 func(d *caddyfile.Dispenser) error { return oneArg(d, &h.Name) },
		"instructions":         func(d *caddyfile.Dispenser) error { return oneArg(d, &h.Instructions) },
		"public_url":           func(d *caddyfile.Dispenser) error { return manyArgs(d, &h.PublicURLs) },
		"realm":                func(d *caddyfile.Dispenser) error { return oneArg(d, &h.Realm) },
		"root":                 h.unmarshalRoot,
		"legacy_root":          func(d *caddyfile.Dispenser) error { return noArgs(d, &h.LegacyRoot) },
		"origin":               func(d *caddyfile.Dispenser) error { return manyArgs(d, &h.Origins) },
		"encryption_key":       h.unmarshalEncryptionKey,
		"store":                func(d *caddyfile.Dispenser) (err error) { h.StoreRaw, err = guest(d, "stores"); return },
		"api_key":              h.unmarshalAPIKey,
		"vault":                h.unmarshalVault,
		"registration":         h.unmarshalRegistration,
		"client_documents":     h.unmarshalClientDocuments,
		"consent":              h.unmarshalConsent,
		"device_authorization": func(d *caddyfile.Dispenser) error { return noArgs(d, &h.DeviceAuthorization) },
		"lifetimes":            h.unmarshalLifetimes,
		"limits":               h.unmarshalLimits,
	}
	lists := map[string]func(*caddyfile.Dispenser) error{ // may come more than once
		"identity": h.unmarshalIdentity,
		"provider": h.unmarshalProvider,
		"tool":     h.unmarshalTool,
		"allow":    h.unmarshalRule,
		"deny":     h.unmarshalRule,
	}
	name := d.Val()
	if parse := lists[name]; parse != nil {
		return parse(d)
	}
	parse := settings[name]
	if parse == nil {
		return unknown(d, "alter_mcp", "allow", "api_key", "client_documents", "consent", "deny", "device_authorization", "encryption_key", "identity", "instructions",
			"legacy_root", "lifetimes", "limits", "name", "origin", "provider", "public_url", "realm", "registration",
			"root", "store", "tool", "vault")
	}
	if err := seen.check(d); err != nil {
		return err
	}
	return parse(d)
}

func (h *Handler) unmarshalRoot(d *caddyfile.Dispenser) error {
	var set bool
	err := noArgs(d, &set)
	h.RootDocuments = rootClaimed
	return err
}

func (h *Handler) unmarshalIdentity(d *caddyfile.Dispenser) error {
	raw, err := guest(d, "identities")
	h.IdentitiesRaw = append(h.IdentitiesRaw, raw)
	return err
}

func (h *Handler) unmarshalConsent(d *caddyfile.Dispenser) error {
	var word string
	if err := oneArg(d, &word); err != nil {
		return err
	}
	if word != "remember" {
		return d.Errf("consent %q: want remember, or no such line", word)
	}
	h.RememberConsent = true
	return nil
}

func (h *Handler) unmarshalClientDocuments(d *caddyfile.Dispenser) error {
	h.ClientDocuments = new(ClientDocuments)
	if err := manyArgs(d, &h.ClientDocuments.Hosts); err != nil {
		return err
	}
	if slices.Equal(h.ClientDocuments.Hosts, []string{"off"}) {
		h.ClientDocuments = &ClientDocuments{Off: true}
	}
	if err := h.ClientDocuments.check(); err != nil {
		return d.WrapErr(err)
	}
	return nil
}

// guest reads `<setting> <type> ...` as a module of the namespace, which parses
// the rest itself.
func guest(d *caddyfile.Dispenser, namespace string) ([]byte, error) {
	setting, guests := d.Val(), "http.alter_mcp."+namespace
	if !d.NextArg() {
		return nil, d.Errf("%s takes a type; there are %s", setting, moduleNames(guests))
	}
	kind := d.Val()
	id := guests + "." + kind
	if _, err := caddy.GetModule(id); err != nil {
		return nil, d.Errf("%s %q: there are %s", setting, kind, moduleNames(guests))
	}
	mod, err := caddyfile.UnmarshalModule(d, id)
	if err != nil {
		return nil, err // already carries file and line
	}
	return caddyconfig.JSONModuleObject(mod, "type", kind, nil), nil
}

// moduleNames lists the modules of a namespace.
func moduleNames(namespace string) string {
	var names []string
	for _, mod := range caddy.GetModules(namespace) {
		names = append(names, mod.ID.Name())
	}
	return strings.Join(names, ", ")
}
