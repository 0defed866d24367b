package altermcp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

const oneEndpoint = "http://localhost:PORT {\nalter_mcp {\n" + identityAlice + "}\n}\n"

// Security DISC-03, DISC-05 to DISC-09, DISC-13: each form in which clients look
// for metadata.
func TestMetadataIsAtEveryURL(t *testing.T) {
	s := serve(t, oneEndpoint)
	endpoint := "http://localhost:" + s.port + "/mcp"
	for path, member := range map[string]string{
		"/.well-known/oauth-protected-resource/mcp":   "resource",
		"/.well-known/oauth-protected-resource/mcp/":  "resource",
		"/.well-known/oauth-protected-resource":       "resource",
		"/.well-known/oauth-protected-resource/":      "resource",
		"/mcp/.well-known/oauth-protected-resource":   "resource",
		"/.well-known/oauth-authorization-server/mcp": "issuer",
		"/.well-known/oauth-authorization-server":     "issuer",
		"/mcp/.well-known/oauth-authorization-server": "issuer",
		"/.well-known/openid-configuration/mcp":       "issuer",
		"/.well-known/openid-configuration":           "issuer",
		"/mcp/.well-known/openid-configuration":       "issuer",
		"/mcp/.well-known/openid-configuration/":      "issuer",
	} {
		if a := s.do("GET", "localhost:PORT", path); a.status != 200 || a.member(member) != endpoint {
			t.Errorf("GET %s = %d, %s = %q, want %q", path, a.status, member, a.member(member), endpoint)
		}
		if a := s.do("HEAD", "localhost:PORT", path); a.status != 200 || a.body != "" {
			t.Errorf("HEAD %s = %d %q", path, a.status, a.body)
		}
		if a := s.do("OPTIONS", "localhost:PORT", path); a.status != 204 || a.header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("OPTIONS %s = %d %v", path, a.status, a.header)
		}
	}
	for _, path := range []string{"/.well-known/oauth-protected-resource/other", "/.well-known/oauth-authorization-server/mcp/x", "/token", "/mcpx", "/"} {
		if a := s.do("GET", "localhost:PORT", path); strings.Contains(a.body, "issuer") || a.status == 405 {
			t.Errorf("GET %s = %d %s, want nothing of ours", path, a.status, a.body)
		}
	}
	for _, path := range []string{"/mcp/introspect", "/mcp/approve", "/mcp/assets/x.css"} {
		if a := s.do("GET", "localhost:PORT", path); a.status != 404 {
			t.Errorf("GET %s = %d, want 404", path, a.status)
		}
	}
}

// Security DISC-01, DISC-02, DISC-16: the endpoint, with and without a slash.
func TestChallenge(t *testing.T) {
	s := serve(t, oneEndpoint)
	want := `Bearer resource_metadata="http://localhost:` + s.port + `/.well-known/oauth-protected-resource/mcp", scope="mcp"`
	for _, path := range []string{"/mcp", "/mcp/"} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			if a := s.do(method, "localhost:PORT", path); a.status != 401 || a.header.Get("WWW-Authenticate") != want {
				t.Errorf("%s %s = %d %q, want 401 %q", method, path, a.status, a.header.Get("WWW-Authenticate"), want)
			}
		}
	}
}

// Security DISC-17, MCP-33: only hosts of the site, and behind a proxy only what
// a trusted one says.
func TestHosts(t *testing.T) {
	const prm = "/.well-known/oauth-protected-resource/mcp"
	https := []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "mcp.example.com"}
	for name, tc := range map[string]struct {
		sites, host string
		header      []string
		want        string // resource, or empty for 421
	}{
		"any host: localhost":            {"http://:PORT {\nalter_mcp {\n" + identityAlice + "}\n}\n", "localhost:PORT", nil, "http://localhost:PORT/mcp"},
		"any host: 127.0.0.1":            {"http://:PORT {\nalter_mcp {\n" + identityAlice + "}\n}\n", "127.0.0.1:PORT", nil, "http://127.0.0.1:PORT/mcp"},
		"any host: a foreign one":        {"http://:PORT {\nalter_mcp {\n" + identityAlice + "}\n}\n", "evil.example", nil, ""},
		"any host: another port":         {"http://:PORT {\nalter_mcp {\n" + identityAlice + "}\n}\n", "localhost:1", nil, ""},
		"any host: forwarded, untrusted": {"http://:PORT {\nalter_mcp {\n" + identityAlice + "}\n}\n", "localhost:PORT", https, "http://localhost:PORT/mcp"},
		"public_url: its host":           {"http://:PORT {\nalter_mcp {\npublic_url https://mcp.example.com\n" + identityAlice + "}\n}\n", "mcp.example.com", nil, "https://mcp.example.com/mcp"},
		"public_url: with the path":      {"http://:PORT {\nalter_mcp {\npublic_url https://mcp.example.com/mcp\n" + identityAlice + "}\n}\n", "MCP.example.com.", nil, "https://mcp.example.com/mcp"},
		"public_url: another host":       {"http://:PORT {\nalter_mcp {\npublic_url https://mcp.example.com\n" + identityAlice + "}\n}\n", "localhost:PORT", nil, ""},
		"public_url: the second":         {"http://:PORT {\nalter_mcp {\npublic_url https://a.example https://b.example:8443\n" + identityAlice + "}\n}\n", "b.example:8443", nil, "https://b.example:8443/mcp"},
		"hosts: the first":               {"http://a.example:PORT, http://b.example:PORT {\nalter_mcp {\n" + identityAlice + "}\n}\n", "a.example:PORT", nil, "http://a.example:PORT/mcp"},
		"hosts: the second":              {"http://a.example:PORT, http://b.example:PORT {\nalter_mcp {\n" + identityAlice + "}\n}\n", "b.example", nil, "http://b.example/mcp"},
		"behind a trusted proxy":         {"http://mcp.example.com:PORT {\nalter_mcp {\n" + identityAlice + "}\n}\n", "mcp.example.com", https, "https://mcp.example.com/mcp"},
		"a foreign forwarded host":       {"http://mcp.example.com:PORT {\nalter_mcp {\n" + identityAlice + "}\n}\n", "mcp.example.com", []string{"X-Forwarded-Host", "evil.example"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			options := ""
			if strings.Contains(name, "trusted proxy") || strings.Contains(name, "foreign forwarded") {
				options = "servers {\ntrusted_proxies static 127.0.0.1/32\n}\n"
			}
			s := serveWith(t, options, tc.sites)
			a := s.do("GET", tc.host, prm, tc.header...)
			want := strings.ReplaceAll(tc.want, "PORT", s.port)
			if want == "" && a.status != 421 || want != "" && a.member("resource") != want {
				t.Errorf("resource = %d %q, want %q (empty: 421)", a.status, a.member("resource"), want)
			}
			if strings.Contains(a.body, "evil") {
				t.Errorf("the foreign host shows up: %s", a.body)
			}
		})
	}
}

// Must show 4: beside other directives, endpoints and sites; other paths are
// untouched.
func TestBesideOtherSites(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("upstream " + r.URL.Path + " " + r.Header.Get("Cookie")))
	}))
	defer upstream.Close()
	host := strings.TrimPrefix(upstream.URL, "http://")
	endpoint := "alter_mcp {\n" + identityAlice + "}\n"
	for name, tc := range map[string]struct {
		site  string
		other string // path beside the endpoint
		want  string // in its answer
	}{
		"reverse_proxy":           {endpoint + "reverse_proxy " + host + "\n", "/mcpx", "upstream /mcpx"},
		"reverse_proxy, below":    {endpoint + "reverse_proxy " + host + "\n", "/mcp/other", "upstream /mcp/other"},
		"reverse_proxy, other":    {endpoint + "reverse_proxy " + host + "\n", "/.well-known/oauth-protected-resource/other", "upstream"},
		"reverse_proxy, OAuth":    {endpoint + "reverse_proxy " + host + "\n", "/token", "upstream /token"},
		"reverse_proxy, case":     {endpoint + "reverse_proxy " + host + "\n", "/MCP", "upstream /MCP"},
		"file_server":             {endpoint + "root * DIR/www\nfile_server\n", "/hello.txt", "hello file"},
		"handle":                  {endpoint + "handle {\nrespond \"handled {path}\"\n}\n", "/x", "handled /x"},
		"route":                   {"route {\n" + endpoint + "respond \"routed {path}\"\n}\n", "/x", "routed /x"},
		"try_files in handle":     {endpoint + "handle {\nroot * DIR/www\ntry_files {path} /index.html\nfile_server\n}\n", "/page", "index file"},
		"a second endpoint":       {endpoint + "alter_mcp /two {\n" + identityAlice + "}\nrespond other\n", "/x", "other"},
		"a nested endpoint":       {endpoint + "alter_mcp /mcp/two {\n" + identityAlice + "}\nrespond other\n", "/mcp/three", "other"},
		"handlers before it, too": {"header X-Site yes\n" + endpoint + "respond other\n", "/x", "other"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, "http://localhost:PORT {\n"+tc.site+"}\nhttp://other.example:PORT {\nrespond \"the other site\"\n}\n")
			if a := s.do("GET", "localhost:PORT", tc.other, "Cookie", "alter_mcp_12345678=secret; own=1"); !strings.Contains(a.body, tc.want) {
				t.Errorf("GET %s = %d %q, want %q", tc.other, a.status, a.body, tc.want)
			}
			if a := s.do("POST", "localhost:PORT", "/mcp"); a.status != 401 {
				t.Errorf("POST /mcp = %d, want 401", a.status)
			}
			for _, path := range []string{"/two", "/mcp/two"} {
				if !strings.Contains(tc.site, "alter_mcp "+path+" ") {
					continue
				}
				a := s.do("GET", "localhost:PORT", "/.well-known/oauth-authorization-server"+path)
				if want := "http://localhost:" + s.port + path; a.member("issuer") != want {
					t.Errorf("issuer of the second endpoint = %q, want %q", a.member("issuer"), want)
				}
			}
			if a := s.do("GET", "other.example:PORT", "/mcp"); a.body != "the other site" {
				t.Errorf("the other site's /mcp = %q", a.body)
			}
		})
	}
}

func TestBasicAuthOfTheSiteCoversTheEndpoint(t *testing.T) {
	s := serve(t, "http://localhost:PORT {\nbasic_auth {\nalice "+aliceHash+"\n}\nalter_mcp {\n"+identityAlice+"}\n}\n")
	for _, path := range []string{"/mcp", "/.well-known/oauth-protected-resource/mcp", "/mcp/register"} {
		if a := s.do("GET", "localhost:PORT", path); a.status != 401 || !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic") {
			t.Errorf("GET %s = %d %q, want Caddy's own 401", path, a.status, a.header.Get("WWW-Authenticate"))
		}
	}
}

// Cookies of endpoints are not for the handlers after them.
func TestCookiesArePassedOnWithoutOurs(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(r.Header.Get("Cookie")))
	}))
	defer upstream.Close()
	s := serve(t, "http://localhost:PORT {\nalter_mcp {\n"+identityAlice+"}\nreverse_proxy "+strings.TrimPrefix(upstream.URL, "http://")+"\n}\n")
	// Browsers send them for all below the endpoint's path.
	for _, path := range []string{"/MCP/login", "/mcp/other", "/mcp/login/x"} {
		a := s.do("GET", "localhost:PORT", path, "Cookie", "a=1; alter_mcp_0=x; __Secure-alter_mcp_0_b=y; b=2")
		if a.body != "a=1; b=2" {
			t.Errorf("cookies passed on to %s = %q, want a and b", path, a.body)
		}
	}
}

func TestRootDocuments(t *testing.T) {
	for name, tc := range map[string]struct{ first, second, want string }{
		"the first has them":     {"", "", "/one"},
		"unless another says so": {"", "root\n", "/two"},
		"or it says so itself":   {"root\n", "", "/one"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, "http://localhost:PORT {\nalter_mcp /one {\n"+tc.first+identityAlice+"}\nalter_mcp /two {\n"+tc.second+identityAlice+"}\n}\n")
			a := s.do("GET", "localhost:PORT", "/.well-known/oauth-authorization-server")
			if want := "http://localhost:" + s.port + tc.want; a.member("issuer") != want {
				t.Errorf("issuer at the root = %q, want %q", a.member("issuer"), want)
			}
		})
	}
}

// Sites do not get into each other's way: the second has an endpoint of the same
// path, with root documents of its own.
func TestTwoSites(t *testing.T) {
	s := serve(t, "http://a.example:PORT {\nalter_mcp {\n"+identityAlice+"}\n}\nhttp://b.example:PORT {\nalter_mcp {\n"+identityAlice+"}\n}\n")
	for _, host := range []string{"a.example", "b.example"} {
		for _, path := range []string{"/.well-known/oauth-authorization-server", "/.well-known/oauth-authorization-server/mcp"} {
			a := s.do("GET", host+":PORT", path)
			if want := "http://" + host + ":" + s.port + "/mcp"; a.member("issuer") != want {
				t.Errorf("issuer at %s%s = %q, want %q", host, path, a.member("issuer"), want)
			}
		}
	}
}

func TestEndpointsThatCollide(t *testing.T) {
	s := serve(t, "http://localhost:PORT {\n}\n")
	for name, tc := range map[string]struct{ first, second, want string }{
		"both say root":            {"/one {\nroot\n", "/two {\nroot\n", "both say root"},
		"the same path":            {"/mcp {\n", "/mcp {\n", "its path is one that"},
		"below, on a path of ours": {"/mcp {\n", "/mcp/token {\n", "its path is one that"},
		"above, in other order":    {"/mcp/login {\n", "/mcp {\n", "its path is one that"},
		"below the callback":       {"/mcp {\n", "/mcp/login/callback/x {\n", "its path is one that"},
		"below the assets":         {"/mcp {\n", "/mcp/assets/x {\n", "its path is one that"},
	} {
		err := s.load("", "http://localhost:PORT {\nalter_mcp "+tc.first+identityAlice+"}\nalter_mcp "+tc.second+identityAlice+"}\n}\n")
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

func TestLegacyRoot(t *testing.T) {
	s := serve(t, "http://localhost:PORT {\nalter_mcp {\nlegacy_root\n"+identityAlice+"}\n}\n")
	for path, want := range map[string]int{"/authorize": 303, "/token": 405, "/register": 405} {
		if a := s.do("GET", "localhost:PORT", path); a.status != want {
			t.Errorf("GET %s = %d, want %d", path, a.status, want)
		}
	}
}

// All that is answered is matched.
func TestRoutesServeWhatIsMatched(t *testing.T) {
	s := serve(t, "http://localhost:PORT {\nalter_mcp {\nlegacy_root\n"+identityAlice+"}\nrespond \"not ours\"\n}\n")
	h := &Handler{Path: "/mcp", RootDocuments: rootUnlessClaimed, LegacyRoot: true}
	for _, path := range h.ownPaths() {
		if a := s.do("GET", "localhost:PORT", strings.ReplaceAll(path, "*", "x")); a.body == "not ours" {
			t.Errorf("%s is matched and not served", path)
		}
	}
}

// Redirect URIs of their own are served, each below its kind, and nothing beside
// them.
func TestRoutesOfCallbacks(t *testing.T) {
	s := serve(t, "http://localhost:PORT {\nalter_mcp {\n"+identityAlice+
		"identity oidc https://login.example.com {\nclient_id a\ncallback staff\n}\n"+
		"provider google {\nclient_id a\nclient_secret b\nscopes openid\ncallback mail\n}\n}\nrespond \"not ours\"\n}\n")
	for path, ours := range map[string]bool{
		"/mcp/login/callback": true, "/mcp/login/callback/staff": true, "/mcp/login/callback/mail": false,
		"/mcp/connect/callback": true, "/mcp/connect/callback/mail": true, "/mcp/connect/callback/staff": false,
	} {
		a := s.do("GET", "localhost:PORT", path)
		if (a.body != "not ours") != ours || ours && a.status != http.StatusBadRequest {
			t.Errorf("GET %s = %d %q, want it served: %v", path, a.status, a.body, ours)
		}
	}
}

// Must show 3: nothing is touched by `caddy validate`.
func TestValidateLeavesTheDataDirectoryEmpty(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_DATA_HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", dir)
	cfg, err := adaptJSON("{\nadmin off\nstorage file_system " + dir + "\n}\nhttp://localhost:1 {\nalter_mcp {\nstore sqlite " + dir + "/x/y.db\n" + identityAlice + "}\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	var c caddy.Config
	if err := caddy.StrictUnmarshalJSON(cfg, &c); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Validate(&c); err != nil {
		t.Fatal(err)
	}
	if files := filesBelow(t, dir); len(files) > 0 {
		t.Errorf("validating made %v", files)
	}
}

// Must show 3: the examples are as `caddy fmt` writes them, and they are valid.
func TestExamples(t *testing.T) {
	for _, name := range []string{"KEY", "ALTER_MCP_KEY"} {
		t.Setenv(name, "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
	}
	for _, name := range []string{
		"ALICE_HASH", "BOB_HASH", "GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET", "GITHUB_CLIENT_ID", "GITHUB_CLIENT_SECRET",
		"TRACKER_CLIENT_ID", "TRACKER_CLIENT_SECRET", "OIDC_CLIENT_ID", "OIDC_CLIENT_SECRET", "PARTNER_CLIENT_ID", "PARTNER_CLIENT_SECRET",
	} {
		t.Setenv(name, aliceHash)
	}
	t.Setenv("ALTER_API_KEY", altertest.DefaultAPIKey)
	t.Setenv("OLD_ALTER_API_KEY", olderAPIKey)
	t.Setenv("DATABASE_URL", "postgres://u:p@db.example.com/alter?sslmode=verify-full")
	dir := t.TempDir()
	t.Setenv("XDG_DATA_HOME", dir)
	examples := documentedCaddyfiles(t)
	for _, file := range []string{"Caddyfile.example", "demo/Caddyfile", "docs/examples/fake.Caddyfile", "docs/examples/gmail.Caddyfile"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		examples[file] = string(text)
	}
	for name, text := range examples {
		t.Run(name, func(t *testing.T) {
			if got := string(caddyfile.Format([]byte(text))); got != text && !strings.HasPrefix(name, fragment) {
				t.Errorf("caddy fmt changes it to:\n%s", got)
			}
			if strings.HasPrefix(name, "demo/") {
				return // it needs the demo's module; the end-to-end tests run it
			}
			cfg, err := adaptJSON(text)
			if err != nil {
				t.Fatal(err)
			}
			var c caddy.Config
			if err := caddy.StrictUnmarshalJSON(cfg, &c); err != nil {
				t.Fatal(err)
			}
			if err := caddy.Validate(&c); err != nil {
				t.Error(err)
			}
		})
	}
}

// fragment begins the name of an example that is a part of a Caddyfile.
const fragment = "part of "

// documentedCaddyfiles are the Caddyfiles that stand in the documentation, by
// file and line. Parts of one are put where they belong.
func documentedCaddyfiles(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	for _, file := range append(files, "README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, part := range strings.Split(string(text), "\n```") {
			block, ok := strings.CutPrefix(part, "\n")
			if i%2 == 0 || !ok || strings.HasPrefix(block, "make ") || strings.Contains(block, "<") { // text, another language, a syntax
				continue
			}
			block += "\n"
			line := strings.Count(string(text)[:strings.Index(string(text), block)], "\n")
			name := fmt.Sprintf("%s:%d", file, line)
			const site, key = "http://localhost:1 {\nalter_mcp {\n", "api_key {env.ALTER_API_KEY}\n"
			switch {
			case strings.HasPrefix(block, "mcp.example.com {"):
				found[name] = block
			case strings.HasPrefix(block, "alter_auth"):
				found[fragment+name] = site + key + "}\n" + block + "}\n"
			case strings.Contains(block, "api_key"):
				found[fragment+name] = site + block + "}\n}\n"
			default:
				found[fragment+name] = site + key + block + "}\n}\n"
			}
		}
	}
	if len(found) < 14 {
		t.Errorf("found %d Caddyfiles in the documentation, fewer than there are", len(found))
	}
	return found
}

// Each setting has a line in README.md and one in Caddyfile.example.
func TestSettingsAreDocumented(t *testing.T) {
	for file, exempt := range map[string][]string{
		"README.md": nil,
		// One request and one schema of each kind would make the example long.
		"Caddyfile.example": {"input_schema", "output_schema", "respond", "put", "patch", "delete", "head", "form", "max_length"},
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		words := strings.FieldsFunc(string(text), func(c rune) bool { return strings.ContainsRune(" \n\t`*|,(){}", c) })
		for _, setting := range documentedSettings(t) {
			if !slices.Contains(words, setting) && !slices.Contains(exempt, setting) {
				t.Errorf("%s does not name the setting %s", file, setting)
			}
		}
	}
}

// An endpoint that does not serve says so without handing Caddy an error, whose
// log line would have the address with its code.
//
// Security LOG-02.
func TestUnavailableLogsNoQuery(t *testing.T) {
	core, log := observer.New(zapcore.DebugLevel)
	h := &Handler{logger: zap.New(core), opening: new(opening)}
	h.once.Do(func() { h.failure = errors.New("the key does not fit") })
	w := httptest.NewRecorder()
	if err := h.ServeHTTP(w, httptest.NewRequest("GET", "/mcp/login/callback?code=hush&state=hush", nil), nil); err != nil {
		t.Errorf("Caddy is handed the error %v", err)
	}
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("answer = %d %v", w.Code, w.Header())
	}
	if lines := log.All(); len(lines) != 1 || strings.Contains(fmt.Sprint(lines[0].ContextMap()), "hush") {
		t.Errorf("log = %+v, want one line without the query", lines)
	}
}

// A handler around the directive that changes the path makes clients fail in ways
// that nobody can read: the operator is told, once.
func TestWarnRewritten(t *testing.T) {
	for name, tc := range map[string]struct {
		original, path string
		want           int
	}{
		"as it came":                 {"/mcp", "/mcp", 0},
		"handle_path /mcp*":          {"/mcp", "/", 1},
		"handle_path /x/*":           {"/x/mcp", "/mcp", 1},
		"uri strip_suffix /":         {"/mcp/", "/mcp", 0},
		"another page, not the path": {"/about", "/index.html", 0},
	} {
		t.Run(name, func(t *testing.T) {
			core, log := observer.New(zapcore.WarnLevel)
			serve := func(http.ResponseWriter, *http.Request) {}
			h := &Handler{Path: "/mcp", logger: zap.New(core), opening: &opening{
				running: &running{exact: map[string]http.HandlerFunc{"/mcp": serve, "/mcp/": serve}, assets: "/mcp/assets/"},
			}}
			for range 2 {
				original := httptest.NewRequest("GET", tc.original, nil)
				r := httptest.NewRequest("GET", tc.path, nil)
				r = r.WithContext(context.WithValue(r.Context(), caddyhttp.OriginalRequestCtxKey, *original))
				h.warnRewritten(r, h.running.route(tc.path) != nil)
			}
			if log.Len() != tc.want {
				t.Errorf("%d lines, want %d: %v", log.Len(), tc.want, log.All())
			}
		})
	}
}
