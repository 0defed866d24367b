package altermcp

import (
	"errors"
	"fmt"
	"strings"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// Provider declares a service whose API tools call, and the OAuth client that
// the operator registered there. What is not set comes from the preset of its
// name, if there is one.
type Provider struct {
	// Name of the provider in this configuration: letters, digits and `-_`. The
	// presets are `google`, `github` and `slack`.
	Name string `json:"name,omitempty"`

	// Use this preset, when the name is another.
	Preset string `json:"preset,omitempty"`

	// Client ID of the OAuth client registered at the provider; placeholders
	// are allowed. Required.
	ClientID string `json:"client_id,omitempty"`

	// Its secret; placeholders are allowed.
	ClientSecret string `json:"client_secret,omitempty"`

	vaultclient.Provider

	// Who may use the provider's tools.
	Rules
}

// resolve fills in the preset and the secrets. A vault that has clients of its
// own at the providers needs no more than the name.
func (p *Provider) resolve(vaultHasClient bool) (*vaultclient.Provider, error) {
	if p.Name == "" || strings.Trim(strings.ToLower(p.Name), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		return nil, fmt.Errorf("name %q: want letters, digits, - and _", p.Name)
	}
	out := p.Provider
	out.Name = p.Name
	preset := p.Preset
	if preset == "" {
		preset = p.Name
	}
	if base, ok := vaultclient.Preset(preset); ok {
		out.Merge(base)
	} else if p.Preset != "" {
		return nil, fmt.Errorf("preset %q: there are %s", p.Preset, strings.Join(vaultclient.PresetNames(), ", "))
	}
	if out.Title == "" {
		out.Title = p.Name
	}
	if vaultHasClient {
		if p.ClientID != "" || p.ClientSecret != "" || p.Callback != "" {
			return nil, errors.New("client_id, client_secret and callback are the vault's own; remove them")
		}
		return &out, out.ValidateHosts() // without any, those of the tools
	}
	var err error
	if out.ClientID, err = expandSecret("client_id", p.ClientID); err != nil {
		return nil, err
	}
	if p.ClientSecret != "" {
		secret, err := expandSecret("client_secret", p.ClientSecret)
		if err != nil {
			return nil, err
		}
		out.ClientSecret = vaultclient.NewSecret(secret)
	}
	return &out, out.Validate()
}
