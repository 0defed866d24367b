package e2e

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// restSite is what stands beside the endpoint: routes for people, one for
// everybody and one for bob.
const restSite = `
	alter_auth /api/* {
		identity_token_header X-User-Token
	}
	alter_auth /open/* {
		optional
	}
	alter_auth /bob/* {
		allow email bob@example.com
	}
	@rest path /api/* /open/* /bob/*
	reverse_proxy @rest UPSTREAM {
		header_up X-User-Id {http.auth.user.id}
		header_up X-User-Email {http.auth.user.email}
		header_up X-Client {http.auth.user.client_name}
	}
`

// newUpstream answers with what it was told of the person.
func newUpstream(t *testing.T) string {
	t.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"X-User-Id", "X-User-Email", "X-Client", "X-User-Token", "X_user_token", "Authorization", "Cookie"} {
			w.Header()["Got-"+name] = r.Header[name]
		}
	}))
	t.Cleanup(upstream.Close)
	return strings.TrimPrefix(upstream.URL, "http://")
}

// rest asks a route as somebody who also tries to be the administrator and to
// have what the proxy says dropped, and returns the status and what the upstream
// got.
func rest(t *testing.T, origin, path, token string) (*http.Response, map[string]string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, origin+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"X-User-Id", "X-User-Email", "X-Client", "X-User-Token"} {
		req.Header.Set(name, "administrator")
		req.Header.Add("Connection", name)
	}
	req.Header["X_User_Token"] = []string{"administrator"} // the same to many programs
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for name := range resp.Header {
		if told, ok := strings.CutPrefix(name, "Got-"); ok {
			got[told] = resp.Header.Get(name)
		}
	}
	return resp, got
}

// claimsOf reads a JWT without looking at its signature.
func claimsOf(t *testing.T, token string) (iss, email string) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWT", token)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ Iss, Email string }
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims.Iss, claims.Email
}

// TestAlterAuth uses the access token of an MCP client on routes beside the
// endpoint, whose upstream hears who asks, and of nobody else. Security RS-20.
func TestAlterAuth(t *testing.T) {
	v, s := newAlter(t, "E2E_SITE="+strings.ReplaceAll(restSite, "UPSTREAM", newUpstream(t)))
	origin := strings.TrimSuffix(s.Endpoint, "/mcp")
	clients := make(map[string]*mcpclient.Client)
	ids := make(map[string]string)
	for _, person := range []browser.Person{alice, bob} {
		c := logIn(t, s, newBrowser(t, s, person), mcpclient.Modern)
		clients[person.Name] = c
		resp, got := rest(t, origin, "/api/notes", c.Tokens.AccessToken)
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("status %d with the token of %s", resp.StatusCode, person.Name)
		}
		if iss, email := claimsOf(t, got["X-User-Token"]); iss != v.Issuer || email != person.Name+"@example.com" {
			t.Errorf("the upstream of %s got an identity token of %s for %s", person.Name, iss, email)
		}
		ids[person.Name] = got["X-User-Id"]
		delete(got, "X-User-Token")
		delete(got, "X-User-Id")
		want := map[string]string{"X-User-Email": person.Name + "@example.com", "X-Client": "e2e " + mcpclient.Modern}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the upstream of %s heard (-want +got):\n%s", person.Name, diff)
		}
	}
	if ids["alice"] == "" || ids["alice"] == ids["bob"] {
		t.Errorf("people are called %q", ids)
	}
	token := clients["alice"].Tokens.AccessToken
	for name, test := range map[string]struct {
		path, token string
		status      int
		challenge   string
	}{
		"no token":               {"/api/notes", "", 401, `Bearer resource_metadata="` + origin + `/.well-known/oauth-protected-resource/mcp"`},
		"a bad token":            {"/api/notes", token[:len(token)-4], 401, `Bearer error="invalid_token"`},
		"nobody where they may":  {"/open/notes", "", 200, ""},
		"a bad one where nobody": {"/open/notes", "x", 401, `Bearer error="invalid_token"`},
		"who may not":            {"/bob/notes", token, 403, ""},
		"who may":                {"/bob/notes", clients["bob"].Tokens.AccessToken, 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			resp, got := rest(t, origin, test.path, test.token)
			if challenge := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != test.status || !strings.HasPrefix(challenge, test.challenge) {
				t.Errorf("status %d, challenge %q; want %d, %q", resp.StatusCode, challenge, test.status, test.challenge)
			}
			for field, value := range got {
				if value == "administrator" && !strings.HasSuffix(strings.ToLower(field), "token") { // which these routes do not use
					t.Errorf("the upstream believes %s: %s", field, value)
				}
			}
		})
	}
	if err := clients["alice"].Revoke(t.Context(), clients["alice"].Tokens.RefreshToken); err != nil {
		t.Fatal(err)
	}
	if resp, _ := rest(t, origin, "/api/notes", token); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %d with a revoked token, want 401", resp.StatusCode)
	}
	s.Kill()
	s.Restart()
	if resp, got := rest(t, origin, "/api/notes", clients["bob"].Tokens.AccessToken); resp.StatusCode != http.StatusOK || got["X-User-Id"] != ids["bob"] {
		t.Errorf("status %d after a restart, for %q; want 200 for %q", resp.StatusCode, got["X-User-Id"], ids["bob"])
	}
}
