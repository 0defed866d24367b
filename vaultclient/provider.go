package vaultclient

// Provider is a service whose API tools call, and the OAuth client that the
// operator registered there. The JSON form is that of presets.json; what the
// operator sets wins over the preset.
type Provider struct {
	// Name within the configuration, such as google.
	Name string `json:"-"`
	// Title for people, such as "Google".
	Title string `json:"title,omitempty"`

	// ClientID and ClientSecret of the operator's OAuth client.
	ClientID     string `json:"-"`
	ClientSecret Secret `json:"-"`
	// Callback is the last segment of the redirect URI registered at the
	// provider, which is then <endpoint>/connect/callback/<callback>: 1 to 64
	// letters, digits, - and _. Only its own answers are taken there, so that it
	// cannot get at codes of another provider (RFC 9700 section 4.4). Default:
	// none, and the redirect URI is <endpoint>/connect/callback.
	Callback string `json:"callback,omitempty"`
	// TokenAuth is how the client authenticates at the token endpoint:
	// client_secret_basic or client_secret_post (default), or none.
	TokenAuth string `json:"token_auth,omitempty"`

	// Issuer is what the provider names itself in the iss parameter of its
	// answers (RFC 9207). An answer that names another is refused. Optional.
	Issuer string `json:"issuer,omitempty"`
	// AuthorizationURL is where a person's browser goes to grant.
	AuthorizationURL string `json:"authorization_url,omitempty"`
	// TokenURL is the token endpoint.
	TokenURL string `json:"token_url,omitempty"`
	// RevocationURL is told when a person disconnects. `{client_id}` in it stands
	// for the client ID where Revocation is github. Optional.
	RevocationURL string `json:"revocation_url,omitempty"`
	// Revocation is how RevocationURL is told: rfc7009 (default), or github or slack
	// as those services want it.
	Revocation string `json:"revocation,omitempty"`

	// APIHosts are the hosts that may see a person's token: host names,
	// "*.example.com" for any name below, or host:port.
	APIHosts []string `json:"api_hosts,omitempty"`

	// Scopes that are always asked for.
	Scopes []string `json:"scopes,omitempty"`
	// ScopeParam is the parameter that carries them. Default "scope"; Slack's
	// user tokens use "user_scope".
	ScopeParam string `json:"scope_param,omitempty"`
	// ScopeSeparator between scopes. Default a blank.
	ScopeSeparator string `json:"scope_separator,omitempty"`
	// ScopePrefix is put before short scope names, such as gmail.readonly:
	// those without a colon and not in ScopeVerbatim.
	ScopePrefix string `json:"scope_prefix,omitempty"`
	// ScopeVerbatim are names that ScopePrefix leaves alone, such as openid.
	ScopeVerbatim []string `json:"scope_verbatim,omitempty"`
	// ScopeImplies maps a scope to those that it includes, for comparing what
	// is needed with what was granted.
	ScopeImplies map[string][]string `json:"scope_implies,omitempty"`

	// ScopesAddUp says that what a person grants is added to what was granted
	// before. At other providers a new grant replaces the old one, so that the
	// old scopes are asked for again together with new ones.
	ScopesAddUp bool `json:"scopes_add_up,omitempty"`

	// AuthorizeParams are added to the authorization request, such as
	// access_type=offline.
	AuthorizeParams map[string]string `json:"authorize_params,omitempty"`
	// TokenField is the path of members, with dots between, to the object that
	// holds access_token, scope, refresh_token and expires_in in the token
	// endpoint's answer to a code, such as "authed_user". Default: the answer
	// itself.
	TokenField string `json:"token_field,omitempty"`
	// NoPKCE turns RFC 7636 off, for a provider that refuses its parameters.
	NoPKCE bool `json:"no_pkce,omitempty"`
}
