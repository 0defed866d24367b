package altermcp

import (
	"strings"
	"testing"
)

// restRoute answers with what is known of the person.
const restRoute = `respond /api/* "id={http.auth.user.id} email={http.auth.user.email} auth={http.request.header.Authorization}"` + "\n"

// A handler for all of a site leaves the endpoint alone, or nobody could log in.
func TestAlterAuthForAllOfASite(t *testing.T) {
	s := serve(t, "http://localhost:PORT {\nalter_mcp /mcp {\n"+identityAlice+"}\nalter_auth\n"+restRoute+"}\n"+
		"http://a.localhost:PORT {\nalter_mcp /mcp {\n"+identityAlice+"}\nhandle_path /api/* {\nalter_auth\nrespond secret\n}\n}\n")
	for _, path := range []string{"/api/mcp", "/api/mcp/token", "/api/mcp/jwks.json", "/api/.well-known/oauth-protected-resource/mcp"} {
		if got := s.do("GET", "a.localhost:PORT", path); got.status != 401 {
			t.Errorf("%s, which becomes a path of the endpoint: %d %q, want 401", path, got.status, got.body)
		}
	}
	for path, want := range map[string]int{
		"/api/x": 401, "/mcp/x": 401, "/": 401,
		"/mcp/authorize": 400, "/.well-known/oauth-authorization-server/mcp": 200, "/mcp/jwks.json": 200,
	} {
		if got := s.do("GET", "localhost:PORT", path); got.status != want {
			t.Errorf("%s: status %d, want %d", path, got.status, want)
		}
	}
	if got := s.do("POST", "localhost:PORT", "/mcp"); got.status != 401 || !strings.Contains(got.body, "jsonrpc") {
		t.Errorf("/mcp: %d %q, want the endpoint's own 401", got.status, got.body)
	}
}

// With a token it is tried end to end, in TestAlterAuth.
func TestAlterAuth(t *testing.T) {
	s := serve(t, "http://localhost:PORT {\nalter_mcp /mcp {\n"+identityAlice+"}\nalter_auth /api/*\nalter_auth /api/open/* {\noptional\n}\n"+
		"route /twice/* {\nalter_auth {\noptional\n}\n"+strings.ReplaceAll(restRoute, "/api/*", "/twice/*")+"}\n"+
		"handle /api/open/* {\n"+restRoute+"}\n"+restRoute+"}\n")
	const challenge = `resource_metadata="http://localhost:PORT/.well-known/oauth-protected-resource/mcp"`
	for name, test := range map[string]struct {
		path, authorization string
		status              int
		challenge, body     string
	}{
		"without a token":              {"/api/x", "", 401, "Bearer " + challenge, ""},
		"another scheme":               {"/api/x", "Basic eDp5", 401, "Bearer " + challenge, ""},
		"no token of ours":             {"/api/x", "Bearer x", 401, `Bearer error="invalid_token", error_description="the access token is invalid or expired", ` + challenge, ""},
		"an empty token":               {"/api/x", "Bearer ", 401, `Bearer error="invalid_token", error_description="the access token is invalid or expired", ` + challenge, ""},
		"optional, without a token":    {"/twice/x", "", 200, "", "id= email= auth="},
		"optional, another scheme":     {"/twice/x", "Basic eDp5", 200, "", "id= email= auth=Basic eDp5"},
		"optional, no token of ours":   {"/twice/x", "Bearer x", 401, `Bearer error="invalid_token", error_description="the access token is invalid or expired", ` + challenge, ""},
		"both that match have to pass": {"/api/open/x", "", 401, "Bearer " + challenge, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var header []string
			if test.authorization != "" {
				header = []string{"Authorization", test.authorization}
			}
			got := s.do("GET", "localhost:PORT", test.path, header...)
			want := strings.ReplaceAll(test.challenge, "PORT", s.port)
			if full := got.header.Get("WWW-Authenticate"); got.status != test.status || !strings.HasPrefix(full, want) || got.body != test.body {
				t.Errorf("%d %q %q, want %d %q %q", got.status, full, got.body, test.status, want, test.body)
			}
		})
	}
}

func TestAlterAuthFindsItsEndpoint(t *testing.T) {
	const (
		one   = "alter_mcp /one {\n" + identityAlice + "}\n"
		two   = "alter_mcp /two {\n" + identityAlice + "}\n"
		named = "alter_auth /api/* {\nendpoint NAME\n}\n"
	)
	site := func(host string, lines ...string) string {
		return "http://" + host + ":PORT {\n" + strings.Join(lines, "") + restRoute + "}\n"
	}
	for name, test := range map[string]struct {
		sites   string
		want    string // in the challenge
		failure string // of the start
	}{
		"the only one of the site":      {site("localhost", one, "alter_auth /api/*\n") + site("a.localhost", two), "/oauth-protected-resource/one", ""},
		"by its path":                   {site("localhost", one, two, strings.ReplaceAll(named, "NAME", "/two")), "/oauth-protected-resource/two", ""},
		"by its path, on another site":  {site("localhost", strings.ReplaceAll(named, "NAME", "/one")) + site("a.localhost", one), "http://a.localhost/.well-known/oauth-protected-resource/one", ""},
		"by its URL":                    {site("localhost", strings.ReplaceAll(named, "NAME", "http://b.localhost/one")) + site("a.localhost", one) + site("b.localhost", one), "http://b.localhost/.well-known/oauth-protected-resource/one", ""},
		"the nearest of the same path":  {site("localhost", one, strings.ReplaceAll(named, "NAME", "/one")) + site("b.localhost", one), "http://localhost:PORT/.well-known/oauth-protected-resource/one", ""},
		"several on the site":           {site("localhost", one, two, "alter_auth /api/*\n"), "", "alter_auth: endpoint: the site has 2 endpoints; want the path or the URL of one: http://localhost/one, http://localhost/two"},
		"none on the site":              {site("localhost", "alter_auth /api/*\n") + site("a.localhost", one), "", "alter_auth: endpoint: the site has 0 endpoints; want the path or the URL of one: http://a.localhost/one"},
		"none at all":                   {site("localhost", "alter_auth /api/*\n"), "", "alter_auth: there is no alter_mcp in the configuration"},
		"no such path":                  {site("localhost", one, strings.ReplaceAll(named, "NAME", "/three")), "", "alter_auth: endpoint /three: there is no alter_mcp at that path; there are http://localhost/one"},
		"no such URL":                   {site("localhost", one, strings.ReplaceAll(named, "NAME", "https://localhost/one")), "", "alter_auth: endpoint https://localhost/one: there is no alter_mcp with that URL; there are http://localhost/one"},
		"the same path on other sites":  {site("localhost", strings.ReplaceAll(named, "NAME", "/one")) + site("a.localhost", one) + site("b.localhost", one), "", "alter_auth: endpoint /one: there are 2 at that path; want the URL of one: http://a.localhost/one, http://b.localhost/one"},
		"no path and no URL":            {site("localhost", one, strings.ReplaceAll(named, "NAME", "one")), "", `alter_auth: endpoint "one": want the path of an alter_mcp, such as /mcp, or its URL`},
		"a header that is none":         {site("localhost", one, "alter_auth /api/* {\nidentity_token_header \"a b\"\n}\n"), "", `alter_auth: identity_token_header "a b": want the name of a header`},
		"a header of HTTP itself":       {site("localhost", one, "alter_auth /api/* {\nidentity_token_header authorization\n}\n"), "", `alter_auth: identity_token_header "authorization": that header has a meaning of its own`},
		"a statement for the endpoint":  {site("localhost", one, "alter_auth /api/* {\nsigned_identity http://localhost/one\n}\n"), "", "alter_auth: signed_identity: audience http://localhost/one: that is the endpoint, for which access tokens are"},
		"two things in one header":      {site("localhost", one, "alter_auth /api/* {\nsigned_identity https://x.example x-who\nidentity_token_header X-WHO\n}\n"), "", "alter_auth: signed_identity: header X-Who is that of identity_token_header; want another"},
		"identity tokens that are none": {site("localhost", one, "alter_auth /api/* {\nidentity_token_header X-Token\n}\n"), "", "alter_auth: identity_token_header: alter_mcp /one keeps no such tokens; it does with vault alter"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			err := s.load("", test.sites)
			if test.failure != "" {
				if want := strings.ReplaceAll(test.failure, "PORT", s.port); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("the start says %v, want %q", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := s.do("GET", "localhost:PORT", "/api/x").header.Get("WWW-Authenticate")
			if want := strings.ReplaceAll(test.want, "PORT", s.port); !strings.Contains(got, want) {
				t.Errorf("challenge %q, want one with %q", got, want)
			}
		})
	}
}
