package altermcp

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/mcphandler"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

// What an endpoint answers without a token is no way around alter_auth. Caddy
// matches and serves cleaned paths, while the request keeps the one that was
// sent. Security RS-19.
func TestAlterAuthLetsNoOtherPathPass(t *testing.T) {
	for name, matcher := range map[string]string{"for a folder": "/private/*", "for all of the site": "*"} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, "http://localhost:PORT {\nalter_mcp /mcp {\n"+identityAlice+"}\n"+
				"alter_auth "+matcher+"\nroot DIR/www\nfile_server\n}\n")
			private := filepath.Join(s.dir, "www", "private")
			if err := os.Mkdir(private, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(private, "notes.txt"), []byte("private notes"), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{
				"/private/notes.txt",
				"/mcp/assets/../../private/notes.txt",
				"/mcp/assets/%2e%2e/%2e%2e/private/notes.txt",
				"/mcp/assets/..%2f..%2fprivate/notes.txt",
				"/mcp/assets//../../../private/notes.txt",
				"/mcp/token/../../private/notes.txt",
				"//mcp/../private/notes.txt",
				"/MCP/../private/notes.txt",
				"/PRIVATE/notes.txt",
			} {
				if got := s.do("GET", "localhost:PORT", path); got.status != http.StatusUnauthorized {
					t.Errorf("GET %s: status %d %q, want 401", path, got.status, got.body)
				}
			}
		})
	}
}

// Routes that lead to no endpoint have paths of their own, even where they read
// like the endpoint's: an MCP server behind such a route has a /mcp too.
// Security RS-19.
func TestAlterAuthLetsNoPathOfAnotherRoutePass(t *testing.T) {
	const block = "alter_auth\nrespond \"let in\"\n"
	s := serve(t, "http://localhost:PORT, http://b.localhost:PORT {\n"+
		"handle_path /app/* {\n"+block+"}\n"+
		"@b host b.localhost\n"+
		"route {\nhandle @b {\n"+block+"}\nalter_mcp /mcp {\nlegacy_root\n"+identityAlice+"}\n}\n}\n")
	for _, path := range []string{"/mcp", "/mcp/token", "/token", "/register", "/mcp/assets/style.css", "/.well-known/oauth-authorization-server"} {
		if got := s.do("POST", "localhost:PORT", "/app"+path); got.status != http.StatusUnauthorized || strings.Contains(got.body, "let in") {
			t.Errorf("POST /app%s: status %d %q, want 401", path, got.status, got.body)
		}
		if got := s.do("POST", "b.localhost:PORT", path); got.status != http.StatusUnauthorized || strings.Contains(got.body, "let in") {
			t.Errorf("POST %s of the other host: status %d %q, want 401", path, got.status, got.body)
		}
	}
	if got := s.do("GET", "localhost:PORT", "/mcp/jwks.json"); got.status != http.StatusOK {
		t.Errorf("GET /mcp/jwks.json: status %d, want the endpoint's 200", got.status)
	}
}

// What others send in the header for the identity token is dropped on every path,
// and in the spelling that CGI, PHP and WSGI take for the same name by Caddy.
// Security RS-20.
func TestAlterAuthDropsForeignIdentityTokens(t *testing.T) {
	got := make(chan http.Header, 1)
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header }))
	t.Cleanup(upstream.Close)
	s := serve(t, "http://localhost:PORT {\nalter_mcp /mcp {\napi_key "+altertest.DefaultAPIKey+"\n}\n"+
		"alter_auth {\noptional\nidentity_token_header X-User-Token\n}\nreverse_proxy "+strings.TrimPrefix(upstream.URL, "http://")+" {\n"+
		"header_up X-User-Id {http.auth.user.id}\n}\n}\n")
	for _, path := range []string{"/x", "/mcp/elsewhere"} {
		answer := s.do("GET", "localhost:PORT", path, "X-User-Token", "forged", "x_user_token", "forged", "X_User-Token", "forged", "X-User-Id", "forged", "X-Other", "kept")
		if answer.status != http.StatusOK {
			t.Fatalf("%s: status %d %q", path, answer.status, answer.body)
		}
		header := <-got
		for name, values := range header {
			if strings.Join(values, "") == "forged" {
				t.Errorf("%s: the upstream got %s: %q", path, name, values)
			}
		}
		if header.Get("X-Other") != "kept" {
			t.Errorf("%s: the upstream got %v, without another header", path, header)
		}
	}
}

// A client cannot have the proxy drop what the program behind is told.
// Security RS-20.
func TestSetForNext(t *testing.T) {
	for name, test := range map[string]struct{ connection, want []string }{
		"no Connection":          {nil, nil},
		"the name":               {[]string{"X-User-Token"}, []string{""}},
		"the name in other case": {[]string{"close, x-user-TOKEN ,te"}, []string{"close,te"}},
		"in a second line":       {[]string{"Upgrade", "close,X-User-Token"}, []string{"Upgrade", "close"}},
		"another name":           {[]string{"X-User-Token-Id, X-User"}, []string{"X-User-Token-Id, X-User"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := http.Header{"X-User-Token": {"forged", "forged"}}
			if test.connection != nil {
				h["Connection"] = test.connection
			}
			setForNext(h, "x-user-token", "token")
			want := http.Header{"X-User-Token": {"token"}}
			if test.want != nil {
				want["Connection"] = test.want
			}
			if diff := cmp.Diff(want, h); diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
		})
	}
}

// What is told of a person is one header line, and no name reads like another's.
// Security RS-20.
func TestUserPlaceholders(t *testing.T) {
	for name, test := range map[string]struct {
		caller mcphandler.Caller
		key    string
		want   string
	}{
		"groups":                     {mcphandler.Caller{Groups: []string{"a", "b c"}}, "groups", "a,b c"},
		"a group with a comma":       {mcphandler.Caller{Groups: []string{"x,admins", "b"}}, "groups", "x%2Cadmins,b"},
		"no group":                   {mcphandler.Caller{}, "groups", ""},
		"a name with line ends":      {mcphandler.Caller{Name: "Eve\r\nX-User-Id: 1\x00"}, "name", "EveX-User-Id: 1"},
		"a client with a line end":   {mcphandler.Caller{ClientName: "App\n\u0085x"}, "client_name", "Appx"},
		"a name of other letters":    {mcphandler.Caller{Name: "Jürgen"}, "name", "Jürgen"},
		"a verified e-mail address":  {mcphandler.Caller{Email: "eve@example.com", EmailVerified: true}, "email", "eve@example.com"},
		"an unverified one":          {mcphandler.Caller{Email: "alice@example.com"}, "email", ""},
		"nobody is somebody unnamed": {mcphandler.Caller{}, "id", ""},
	} {
		t.Run(name, func(t *testing.T) {
			repl := caddy.NewEmptyReplacer()
			setUser(httptest.NewRequestWithContext(context.WithValue(t.Context(), caddy.ReplacerCtxKey, repl), http.MethodGet, "/", nil), &test.caller)
			if got, known := repl.GetString("http.auth.user." + test.key); !known || got != test.want {
				t.Errorf("{http.auth.user.%s} = %q, known: %v; want %q", test.key, got, known, test.want)
			}
		})
	}
}
