package vaultclient

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

//go:embed presets.json
var presetsJSON []byte

// presets decodes the providers that are known beforehand. They are data: a new
// one needs no code. The file is part of the program, and a test reads it, so
// an error cannot happen here.
func presets() map[string]Provider {
	var all map[string]Provider
	_ = json.Unmarshal(presetsJSON, &all)
	return all
}

// Preset returns the description of a well-known provider, without a client.
func Preset(name string) (Provider, bool) {
	p, ok := presets()[name]
	return p, ok
}

// PresetNames returns the names of all presets, sorted.
func PresetNames() []string { return slices.Sorted(maps.Keys(presets())) }

// Merge fills what p leaves open from a preset. Another token endpoint than the
// preset's is that of another server, whose tokens and client secret are none of
// the business of the preset's revocation endpoint.
func (p *Provider) Merge(preset Provider) {
	if p.TokenURL != "" && p.TokenURL != preset.TokenURL {
		preset.RevocationURL = ""
	}
	for _, field := range []struct{ own, preset *string }{
		{&p.Title, &preset.Title},
		{&p.Issuer, &preset.Issuer},
		{&p.TokenAuth, &preset.TokenAuth},
		{&p.AuthorizationURL, &preset.AuthorizationURL},
		{&p.TokenURL, &preset.TokenURL},
		{&p.RevocationURL, &preset.RevocationURL},
		{&p.Revocation, &preset.Revocation},
		{&p.ScopeParam, &preset.ScopeParam},
		{&p.ScopeSeparator, &preset.ScopeSeparator},
		{&p.ScopePrefix, &preset.ScopePrefix},
		{&p.TokenField, &preset.TokenField},
	} {
		if *field.own == "" {
			*field.own = *field.preset
		}
	}
	if len(p.APIHosts) == 0 {
		p.APIHosts = preset.APIHosts
	}
	if len(p.Scopes) == 0 {
		p.Scopes = preset.Scopes
	}
	if len(p.ScopeVerbatim) == 0 {
		p.ScopeVerbatim = preset.ScopeVerbatim
	}
	if p.ScopeImplies == nil {
		p.ScopeImplies = preset.ScopeImplies
	}
	params := maps.Clone(preset.AuthorizeParams)
	if params == nil {
		params = make(map[string]string)
	}
	maps.Copy(params, p.AuthorizeParams)
	p.AuthorizeParams = params
	p.NoPKCE = p.NoPKCE || preset.NoPKCE
	p.ScopesAddUp = p.ScopesAddUp || preset.ScopesAddUp
}

// ownParams are what the authorization request consists of; a configured
// parameter must not change them.
func ownParams() []string {
	return []string{
		"response_type", "client_id", "redirect_uri", "state", "scope", "user_scope",
		"code_challenge", "code_challenge_method",
	}
}

// Validate reports what is missing or cannot work, each by the name of its
// setting.
func (p *Provider) Validate() error {
	return errors.Join(p.validateClient(), p.validateURLs(), p.validateHosts(), p.validateParams())
}

// ValidateHosts is Validate for a provider whose OAuth client another has: of
// what is used then only the hosts can be wrong. None are no error.
func (p *Provider) ValidateHosts() error {
	if len(p.APIHosts) == 0 {
		return nil
	}
	return p.validateHosts()
}

var callbackName = regexp.MustCompile(`^[A-Za-z0-9_-]{0,64}$`)

func (p *Provider) validateClient() error {
	var errs []error
	if p.ClientID == "" {
		errs = append(errs, errors.New("client_id is missing"))
	}
	if !callbackName.MatchString(p.Callback) {
		errs = append(errs, fmt.Errorf("callback %q: want 1 to 64 letters, digits, - and _", p.Callback))
	}
	switch p.TokenAuth {
	case "", AuthPost, AuthBasic:
		if p.ClientSecret.IsZero() {
			errs = append(errs, errors.New("client_secret is missing; a public client says `token_auth none`"))
		}
	case AuthNone:
	default:
		errs = append(errs, fmt.Errorf("token_auth %q: want %s, %s or %s", p.TokenAuth, AuthPost, AuthBasic, AuthNone))
	}
	return errors.Join(errs...)
}

func (p *Provider) validateURLs() error {
	var errs []error
	for _, at := range []struct{ setting, url string }{
		{"authorization_url", p.AuthorizationURL}, {"token_url", p.TokenURL}, {"revocation_url", p.RevocationURL},
	} {
		if at.url == "" && at.setting == "revocation_url" {
			continue
		}
		if err := checkURL(at.url); err != nil {
			errs = append(errs, fmt.Errorf("%s %q: %w", at.setting, at.url, err))
		}
	}
	switch p.Revocation {
	case "", RevocationRFC7009, RevocationGitHub, RevocationSlack:
	default:
		errs = append(errs, fmt.Errorf("revocation %q: want %s, %s or %s", p.Revocation, RevocationRFC7009, RevocationGitHub, RevocationSlack))
	}
	return errors.Join(errs...)
}

func (p *Provider) validateHosts() error {
	if len(p.APIHosts) == 0 {
		return errors.New("api_hosts is missing: name the hosts that may see a person's token")
	}
	var errs []error
	for _, host := range p.APIHosts {
		if err := checkHostPattern(host); err != nil {
			errs = append(errs, fmt.Errorf("api_hosts %q: %w", host, err))
		}
	}
	return errors.Join(errs...)
}

func (p *Provider) validateParams() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(p.AuthorizeParams)) {
		if slices.Contains(ownParams(), name) {
			errs = append(errs, fmt.Errorf("authorize_param %s: it is set by the server itself", name))
		}
	}
	return errors.Join(errs...)
}

// checkURL wants https, except on loopback: secrets and codes travel there.
func checkURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return fmt.Errorf("want an absolute URL, such as https://provider.example/oauth")
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return fmt.Errorf("want https, except on loopback")
	}
	return nil
}

// checkHostPattern accepts what [hostAllowed] understands.
func checkHostPattern(pattern string) error {
	name := strings.TrimPrefix(pattern, "*.")
	u, err := url.Parse("https://" + name)
	if err != nil || u.Host != name || u.Hostname() == "" || !isASCII(name) || strings.ContainsAny(name, "*/ {}@") ||
		strings.HasPrefix(pattern, "*.") && !strings.Contains(u.Hostname(), ".") {
		return fmt.Errorf("want a host name, *.example.com for all below one, or host:port")
	}
	return nil
}
