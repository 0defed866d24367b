package mcpclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
)

// ResourceMetadata is the protected resource metadata (RFC 9728) as far as a
// client needs it.
type ResourceMetadata struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers"`
	ScopesSupported      []string `json:"scopes_supported"`
}

// ServerMetadata is the authorization server metadata (RFC 8414) as far as a
// client needs it.
type ServerMetadata struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	RegistrationEndpoint  string   `json:"registration_endpoint"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	ChallengeMethods      []string `json:"code_challenge_methods_supported"`
	ResponseTypes         []string `json:"response_types_supported"`
	AuthMethods           []string `json:"token_endpoint_auth_methods_supported"`
	IssParameter          bool     `json:"authorization_response_iss_parameter_supported"`
	// Only in the form for OpenID Connect, where clients insist on them.
	JWKSURI      string   `json:"jwks_uri"`
	SubjectTypes []string `json:"subject_types_supported"`
	SigningAlgs  []string `json:"id_token_signing_alg_values_supported"`
}

// Documents returns the addresses at which clients look for the metadata of an
// endpoint with a path, in the order of the MCP specification, each also with
// the trailing slash that some clients add.
func Documents(endpoint string) (resource, server, openID []string, err error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("reading the endpoint: %w", err)
	}
	at := func(paths ...string) (list []string) {
		for _, path := range paths {
			list = append(list, u.Scheme+"://"+u.Host+path, u.Scheme+"://"+u.Host+path+"/")
		}
		return list
	}
	const known = "/.well-known/"
	return at(known+"oauth-protected-resource"+u.Path, u.Path+known+"oauth-protected-resource", known+"oauth-protected-resource"),
		at(known+"oauth-authorization-server"+u.Path, u.Path+known+"oauth-authorization-server", known+"oauth-authorization-server"),
		at(known+"openid-configuration"+u.Path, u.Path+known+"openid-configuration", known+"openid-configuration"), nil
}

var challengeParam = regexp.MustCompile(`(\w+)="([^"]*)"`)

// Discover goes the way of the MCP specification from the 401 of the endpoint to
// the metadata of its authorization server.
func (c *Client) Discover(ctx context.Context) error {
	params, err := c.challenge(ctx)
	if err != nil {
		return err
	}
	if params["error"] != "" {
		return fmt.Errorf("challenge names the error %q though no token was sent (RFC 6750 section 3)", params["error"])
	}
	c.scope = params["scope"]
	if err := c.Read(ctx, params["resource_metadata"], &c.Resource); err != nil {
		return fmt.Errorf("reading the resource metadata: %w", err)
	}
	if c.Resource.Resource != c.Endpoint || len(c.Resource.AuthorizationServers) == 0 {
		return fmt.Errorf("resource metadata is for %q with servers %v, want %q", c.Resource.Resource, c.Resource.AuthorizationServers, c.Endpoint)
	}
	issuer, err := url.Parse(c.Resource.AuthorizationServers[0])
	if err != nil {
		return fmt.Errorf("reading the issuer: %w", err)
	}
	document := *issuer
	document.Path = "/.well-known/oauth-authorization-server" + issuer.Path
	if err := c.Read(ctx, document.String(), &c.Server); err != nil {
		return fmt.Errorf("reading the server metadata: %w", err)
	}
	if c.Server.Issuer != c.Resource.AuthorizationServers[0] {
		return fmt.Errorf("server metadata has issuer %q, want %q", c.Server.Issuer, c.Resource.AuthorizationServers[0])
	}
	if !slices.Contains(c.Server.ChallengeMethods, "S256") || !slices.Contains(c.Server.ResponseTypes, "code") {
		return fmt.Errorf("server metadata offers challenges %v and responses %v", c.Server.ChallengeMethods, c.Server.ResponseTypes)
	}
	return nil
}

// challenge asks the endpoint without a token and returns the parameters of the
// WWW-Authenticate header.
func (c *Client) challenge(ctx context.Context) (map[string]string, error) {
	_, err := c.call(ctx, "tools/list", nil, "")
	var status *StatusError
	if !errors.As(err, &status) || status.Status != http.StatusUnauthorized {
		return nil, fmt.Errorf("endpoint answers a request without token with %w, want 401", err)
	}
	params := make(map[string]string)
	for _, match := range challengeParam.FindAllStringSubmatch(status.Challenge, -1) {
		params[match[1]] = match[2]
	}
	if params["resource_metadata"] == "" {
		return nil, fmt.Errorf("challenge %q names no resource_metadata", status.Challenge)
	}
	return params, nil
}
