package authserver

import (
	"net/http"
)

// serverMetadata is the document of RFC 8414 section 2, with what OpenID
// Connect Discovery demands beside it: clients that find the
// openid-configuration variant refuse it without.
type serverMetadata struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	RegistrationEndpoint  string   `json:"registration_endpoint,omitempty"`
	DeviceEndpoint        string   `json:"device_authorization_endpoint,omitempty"` // RFC 8628 section 4
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	ScopesSupported       []string `json:"scopes_supported"`
	ResponseTypes         []string `json:"response_types_supported"`
	ResponseModes         []string `json:"response_modes_supported"`
	GrantTypes            []string `json:"grant_types_supported"`
	TokenAuthMethods      []string `json:"token_endpoint_auth_methods_supported"`
	RevocationAuthMethods []string `json:"revocation_endpoint_auth_methods_supported"`
	CodeChallengeMethods  []string `json:"code_challenge_methods_supported"`
	IssParameter          bool     `json:"authorization_response_iss_parameter_supported"`
	ClientDocuments       bool     `json:"client_id_metadata_document_supported"`
	SubjectTypes          []string `json:"subject_types_supported"`
	IDTokenSigningAlgs    []string `json:"id_token_signing_alg_values_supported"`
	RequestURIParameter   bool     `json:"request_uri_parameter_supported"` // its default is true
	PromptValuesSupported []string `json:"prompt_values_supported"`
	ProtectedResources    []string `json:"protected_resources"`
	UILocalesSupported    []string `json:"ui_locales_supported"`
}

// ServeServerMetadata serves the metadata of the authorization server (RFC 8414
// section 3), for each of the well-known URLs that clients derive of the issuer.
func (s *Server) ServeServerMetadata(w http.ResponseWriter, r *http.Request) {
	s.crossOrigin(http.MethodGet, func(w http.ResponseWriter, r *http.Request) {
		issuer := s.cfg.Endpoint(r)
		m := serverMetadata{
			Issuer:                issuer,
			AuthorizationEndpoint: issuer + "/authorize",
			TokenEndpoint:         issuer + "/token",
			RevocationEndpoint:    issuer + "/revoke",
			JWKSURI:               issuer + "/jwks.json",
			ScopesSupported:       append(s.scopeNames(), ScopeOfflineAccess),
			ResponseTypes:         []string{"code"},
			ResponseModes:         []string{"query"},
			GrantTypes:            s.grantTypes(),
			TokenAuthMethods:      authMethods(),
			RevocationAuthMethods: authMethods(),
			CodeChallengeMethods:  []string{"S256"},
			IssParameter:          true,
			ClientDocuments:       !s.cfg.Documents.Off,
			SubjectTypes:          []string{"public"},
			IDTokenSigningAlgs:    []string{"ES256"},
			PromptValuesSupported: []string{"none", "login", "consent", "select_account"},
			ProtectedResources:    []string{issuer},
			UILocalesSupported:    []string{"en"},
		}
		if !s.cfg.Registration.Off {
			m.RegistrationEndpoint = issuer + "/register"
		}
		if s.cfg.DeviceAuthorization {
			m.DeviceEndpoint = issuer + "/device_authorization"
		}
		s.writeMetadata(w, m)
	})(w, r)
}

// resourceMetadata is the document of RFC 9728 section 2.
type resourceMetadata struct {
	Resource             string   `json:"resource"`
	Name                 string   `json:"resource_name,omitempty"`
	AuthorizationServers []string `json:"authorization_servers"`
	Scopes               []string `json:"scopes_supported"`
	BearerMethods        []string `json:"bearer_methods_supported"`
}

// ServeResourceMetadata serves the metadata of the MCP endpoint as a protected
// resource (RFC 9728 section 3).
func (s *Server) ServeResourceMetadata(w http.ResponseWriter, r *http.Request) {
	s.crossOrigin(http.MethodGet, func(w http.ResponseWriter, r *http.Request) {
		endpoint := s.cfg.Endpoint(r)
		s.writeMetadata(w, resourceMetadata{
			Resource:             endpoint,
			Name:                 s.cfg.Name,
			AuthorizationServers: []string{endpoint},
			Scopes:               s.scopeNames(),
			BearerMethods:        []string{"header"},
		})
	})(w, r)
}

// writeMetadata lets clients keep a document for a while. It depends on the
// Host, which caches key by.
func (s *Server) writeMetadata(w http.ResponseWriter, doc any) {
	w.Header().Set("Cache-Control", "public, max-age=300")
	s.writeJSON(w, http.StatusOK, doc)
}

// scopeNames returns the names of the endpoint's own scopes.
func (s *Server) scopeNames() []string {
	names := make([]string, len(s.cfg.Scopes))
	for i, sc := range s.cfg.Scopes {
		names[i] = sc.Name
	}
	return names
}

// authMethods are the ways in which a client authenticates at the token and
// revocation endpoints (RFC 8414 section 2).
func authMethods() []string {
	return []string{authNone, authBasic, authPost}
}
