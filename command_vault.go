package altermcp

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/caddyconfig"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
)

// keyVariable is the environment variable with the API key for commands. There is
// no flag for it: others on the machine would see it.
const keyVariable = "ALTER_API_KEY"

// whichVault says whose API key a command uses.
type whichVault struct {
	config, adapter, endpoint string
}

// vaultSettings are those of a `vault alter`, as they are written.
type vaultSettings struct {
	Type    string `json:"type"`
	APIKey  string `json:"api_key"`
	BaseURL string `json:"base_url"`
}

// client returns a client with the key that was meant. It sends nothing.
func (w *whichVault) client() (*alter.Client, error) {
	v, err := w.settings()
	if err != nil {
		return nil, err
	}
	cfg, err := alterConfig(v.APIKey, v.BaseURL)
	if err != nil {
		return nil, err
	}
	cfg.Timeout = 30 * time.Second
	return alter.New(cfg)
}

func (w *whichVault) settings() (vaultSettings, error) {
	const usual = "Caddyfile"
	file := w.config
	if file == "" {
		if os.Getenv(keyVariable) != "" && w.endpoint == "" {
			return vaultSettings{APIKey: "{env." + keyVariable + "}"}, nil
		}
		if _, err := os.Stat(usual); err != nil {
			return vaultSettings{}, fmt.Errorf("no API key: want --config with a file that has one, or the environment variable %s", keyVariable)
		}
		file = usual
	}
	found, err := vaultsIn(file, w.adapter)
	if err != nil {
		return vaultSettings{}, err
	}
	return w.choose(file, found)
}

// vaultsIn returns the Alter Vaults of a configuration by the endpoints that use
// them.
func vaultsIn(file, adapter string) (map[string]vaultSettings, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	if adapter == "" && !strings.HasSuffix(file, ".json") {
		adapter = "caddyfile"
	}
	if adapter != "" {
		a := caddyconfig.GetAdapter(adapter)
		if a == nil {
			return nil, fmt.Errorf("adapter %q: there is none of that name", adapter)
		}
		if text, _, err = a.Adapt(text, map[string]any{"filename": file}); err != nil {
			return nil, fmt.Errorf("adapting %s: %w", file, err)
		}
	}
	var config any
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	found := make(map[string]vaultSettings)
	return found, collectVaults(config, found)
}

// collectVaults looks for endpoints wherever they stand: below hosts, in subroutes,
// in handlers of others.
func collectVaults(at any, found map[string]vaultSettings) error {
	switch v := at.(type) {
	case []any:
		for _, inner := range v {
			if err := collectVaults(inner, found); err != nil {
				return err
			}
		}
	case map[string]any:
		if v["handler"] == "alter_mcp" {
			return addVault(v, found)
		}
		for _, inner := range v {
			if err := collectVaults(inner, found); err != nil {
				return err
			}
		}
	}
	return nil
}

func addVault(handler map[string]any, found map[string]vaultSettings) error {
	raw, err := json.Marshal(handler)
	if err != nil {
		return fmt.Errorf("reading an alter_mcp: %w", err)
	}
	var h struct {
		Path  string        `json:"path"`
		Vault vaultSettings `json:"vault"`
	}
	if err := json.Unmarshal(raw, &h); err != nil {
		return fmt.Errorf("reading an alter_mcp: %w", err)
	}
	if h.Vault.Type != "alter" {
		return nil
	}
	if h.Path == "" {
		h.Path = defaultPath
	}
	if before, taken := found[h.Path]; taken && before != h.Vault {
		return fmt.Errorf("several alter_mcp %s have different vaults; want a configuration with one of them", h.Path)
	}
	found[h.Path] = h.Vault
	return nil
}

// choose returns the vault of the endpoint that is meant.
func (w *whichVault) choose(file string, found map[string]vaultSettings) (vaultSettings, error) {
	var paths []string
	for path := range found {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	switch {
	case len(found) == 0:
		return vaultSettings{}, fmt.Errorf("%s has no alter_mcp with vault alter", file)
	case w.endpoint != "":
		v, ok := found[w.endpoint]
		if !ok {
			return v, fmt.Errorf("%s has no alter_mcp %s with vault alter; there are %s", file, w.endpoint, strings.Join(paths, ", "))
		}
		return v, nil
	}
	for _, path := range paths[1:] {
		if found[path] != found[paths[0]] {
			return vaultSettings{}, fmt.Errorf("%s has several vaults; want --endpoint with one of %s", file, strings.Join(paths, ", "))
		}
	}
	return found[paths[0]], nil
}

// explainCommand says of what the vault refused what can be done.
func explainCommand(err error, c *alter.Client) error {
	switch where := c.BaseURL(); {
	case errors.Is(err, alter.ErrInsufficientScope):
		return fmt.Errorf("the API key may not read the catalogue: it needs the scope providers:read: %w", err)
	case errors.Is(err, alter.ErrOperator):
		return fmt.Errorf("the vault at %s refuses the API key: %w", where.Host, err)
	case errors.Is(err, alter.ErrUnavailable):
		return fmt.Errorf("the vault at %s does not answer: %w", where.Host, err)
	}
	return err
}
