package authserver_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Security DISC-03, DISC-04, DISC-07, DISC-10 to DISC-16, DISC-21, REV-09.
func TestMetadataDocuments(t *testing.T) {
	e := newEnv(t)
	issuer := e.base + testPath
	for path, want := range map[string]map[string]any{
		"/.well-known/oauth-protected-resource" + testPath: {
			"resource": issuer, "resource_name": "Test tools", "authorization_servers": []any{issuer},
			"scopes_supported": []any{"mcp"}, "bearer_methods_supported": []any{"header"},
		},
		"/.well-known/oauth-authorization-server" + testPath: {
			"issuer": issuer, "authorization_endpoint": issuer + "/authorize", "token_endpoint": issuer + "/token",
			"registration_endpoint": issuer + "/register", "revocation_endpoint": issuer + "/revoke", "jwks_uri": issuer + "/jwks.json",
			"scopes_supported": []any{"mcp", "offline_access"}, "response_types_supported": []any{"code"},
			"response_modes_supported": []any{"query"}, "grant_types_supported": []any{"authorization_code", "refresh_token"},
			"token_endpoint_auth_methods_supported":          []any{"none", "client_secret_basic", "client_secret_post"},
			"revocation_endpoint_auth_methods_supported":     []any{"none", "client_secret_basic", "client_secret_post"},
			"code_challenge_methods_supported":               []any{"S256"},
			"authorization_response_iss_parameter_supported": true, "client_id_metadata_document_supported": true,
			"subject_types_supported": []any{"public"}, "id_token_signing_alg_values_supported": []any{"ES256"},
			"request_uri_parameter_supported": false, "prompt_values_supported": []any{"none", "login", "consent", "select_account"},
			"protected_resources": []any{issuer}, "ui_locales_supported": []any{"en"},
		},
	} {
		t.Run(path, func(t *testing.T) {
			p := e.newBrowser().get(path)
			var got map[string]any
			if err := json.Unmarshal([]byte(p.body), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("document (-want +got):\n%s", diff)
			}
			if p.header.Get("Content-Type") != "application/json" || p.header.Get("Access-Control-Allow-Origin") != "*" {
				t.Errorf("headers = %v", p.header)
			}
		})
	}
}

// Security DISC-18, DISC-19, CORS-01, CORS-02, CORS-04.
func TestMethodsAndCORS(t *testing.T) {
	e := newEnv(t)
	for path, methods := range map[string]string{
		"/.well-known/oauth-protected-resource" + testPath:   "GET, HEAD, OPTIONS",
		"/.well-known/oauth-authorization-server" + testPath: "GET, HEAD, OPTIONS",
		testPath + "/jwks.json":                              "GET, HEAD, OPTIONS",
		testPath + "/token":                                  "POST, OPTIONS",
		testPath + "/register":                               "POST, OPTIONS",
		testPath + "/revoke":                                 "POST, OPTIONS",
	} {
		for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "TRACE"} {
			req, err := http.NewRequest(method, e.base+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Origin", "https://inspector.example")
			p := e.newBrowser().do(req)
			allowed := strings.Contains(methods, method)
			if !allowed && (p.status != 405 || p.header.Get("Allow") != methods) {
				t.Errorf("%s %s = %d, Allow %q, want 405 and %q", method, path, p.status, p.header.Get("Allow"), methods)
			}
			if allowed && p.status == 405 {
				t.Errorf("%s %s = 405", method, path)
			}
			if method == "OPTIONS" && (p.status != 204 || p.header.Get("Access-Control-Allow-Methods") != methods ||
				!strings.Contains(p.header.Get("Access-Control-Allow-Headers"), "Content-Type")) {
				t.Errorf("preflight of %s = %d %v", path, p.status, p.header)
			}
			if p.header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s %s lets foreign pages send cookies", method, path)
			}
		}
	}
}

// Security DISC-20.
func TestKeySetIsPublic(t *testing.T) {
	e := newEnv(t)
	access, _ := e.login(e.publicClient(), "alice")
	head, _ := decodeJWT(t, access)
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal([]byte(e.newBrowser().get(testPath+"/jwks.json").body), &set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 1 || set.Keys[0]["kid"] != head["kid"] || set.Keys[0]["alg"] != "ES256" || set.Keys[0]["use"] != "sig" {
		t.Fatalf("key set = %v", set)
	}
	for _, private := range []string{"d", "p", "q", "k"} {
		if set.Keys[0][private] != nil {
			t.Errorf("the key set has the private member %s", private)
		}
	}
}
