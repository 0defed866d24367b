package altermcp

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

// command runs `caddy alter-mcp` with arguments.
func command(t *testing.T, args ...string) (out, log string, err error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	root, cmd := &cobra.Command{Use: "caddy", SilenceUsage: true, SilenceErrors: true}, &cobra.Command{Use: "alter-mcp"}
	addCommands(cmd)
	root.AddCommand(cmd)
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	root.SetArgs(append([]string{"alter-mcp"}, args...))
	err = root.ExecuteContext(t.Context())
	return stdout.String(), stderr.String(), err
}

// withVault starts a fake vault that commands find by the environment.
func withVault(t *testing.T, cfg altertest.Config) *altertest.Vault {
	t.Helper()
	v := altertest.Start(t, cfg)
	t.Setenv("ALTER_API_KEY", v.APIKey())
	t.Setenv("ALTER_BASE_URL", v.URL)
	t.Chdir(t.TempDir())
	return v
}

func TestProvidersCommand(t *testing.T) {
	withVault(t, altertest.Config{})
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"all": {nil, `
NAME    TITLE   DEFAULT SCOPES  API HOSTS                          OPERATIONS
github  GitHub  read:user       api.github.com uploads.github.com  2
google  Google  openid          *.googleapis.com                   1
notion  Notion  -               -                                  -
`},
		"by category": {[]string{"productivity"}, `
NAME    TITLE   DEFAULT SCOPES  API HOSTS         OPERATIONS
google  Google  openid          *.googleapis.com  1
`},
		"by title": {[]string{"NOTION"}, `
NAME    TITLE   DEFAULT SCOPES  API HOSTS  OPERATIONS
notion  Notion  -               -          -
`},
	} {
		t.Run(name, func(t *testing.T) {
			out, _, err := command(t, append([]string{"providers"}, test.args...)...)
			if diff := cmp.Diff(strings.TrimPrefix(test.want, "\n"), out); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestOperationsCommand(t *testing.T) {
	var many []altertest.APIOperation
	for i := range 1001 {
		many = append(many, altertest.APIOperation{ID: "op" + strings.Repeat("x", i%7), Method: "GET", Path: "/", Summary: "A\x1b[31mB\tC\nD"})
	}
	v := withVault(t, altertest.Config{Catalogue: append(altertest.DefaultCatalogue(), altertest.CatalogueItem{ID: "many", Title: "Many", Operations: many})})
	out, _, err := command(t, "operations", "github", "CREATE an")
	want := "OPERATION      METHOD  PATH                          SUMMARY\nissues/create  POST    /repos/{owner}/{repo}/issues  Create an issue\n"
	if diff := cmp.Diff(want, out); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if out, _, err = command(t, "operations", "many"); err != nil || strings.Count(out, "\n") != 1002 {
		t.Errorf("%v, %d lines, want 1001 operations", err, strings.Count(out, "\n"))
	}
	if strings.ContainsAny(out, "\x1b\t") {
		t.Error("what the vault says reaches the terminal as it is")
	}
	if n := v.Count("/sdk/provider-specs/oauth/many/operations"); n != 3 {
		t.Errorf("%d pages were asked for, want 3", n)
	}
}

// Whatever is wrong is said in words that lead on.
func TestCommandErrors(t *testing.T) {
	v := withVault(t, altertest.Config{})
	for name, test := range map[string]struct {
		args  []string
		fault *altertest.Fault
		want  string
	}{
		"an unknown command":      {[]string{"provider"}, nil, `no command "provider"; there are operations, providers, tool`},
		"nothing found":           {[]string{"providers", "zzz"}, nil, `no provider has "zzz" in its name, title or category; there are 3`},
		"a provider of that name": {[]string{"operations", "gihtub"}, nil, `no description of the API of "gihtub"; did you mean github?`},
		"none like it":            {[]string{"tool", "dropbox", "x"}, nil, `no description of the API of "dropbox"`},
		"of another kind":         {[]string{"operations", "github", "--kind", "managed"}, nil, `no description of the API of "github"`},
		"a kind that is none":     {[]string{"operations", "github", "--kind", "oath"}, nil, `of a provider: want oauth or managed`},
		"an operation":            {[]string{"tool", "github", "issues/creat"}, nil, `github has no operation "issues/creat"; did you mean issues/create?`},
		"no such operation":       {[]string{"operations", "github", "zzz"}, nil, `no operation of github has "zzz"`},
		"too little":              {[]string{"tool", "github"}, nil, "accepts 2 arg(s), received 1"},
		"a scope of the key":      {[]string{"providers"}, &altertest.Fault{Path: "/sdk/oauth/*", Status: 403, Body: json.RawMessage(`{"error":"insufficient_scope","missing":["providers:read"]}`)}, "it needs the scope providers:read"},
		"the key":                 {[]string{"providers"}, &altertest.Fault{Path: "/sdk/oauth/*", Status: 401, Body: json.RawMessage(`{"error":"key_revoked"}`)}, "refuses the API key"},
		"a vault that is away":    {[]string{"providers"}, &altertest.Fault{Path: "/sdk/oauth/*", Status: 504, Times: -1}, "does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			v.Reset()
			if test.fault != nil {
				v.AddFault(*test.fault)
			}
			_, _, err := command(t, test.args...)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), v.APIKey()) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

// The key comes from where Caddy has it, and never from the command line.
func TestCommandKey(t *testing.T) {
	v := withVault(t, altertest.Config{})
	t.Setenv("ALTER_API_KEY", "")
	t.Setenv("ALTER_BASE_URL", "")
	t.Setenv("KEY", v.APIKey())
	block := func(path, key, url string) string {
		return "\talter_mcp " + path + " {\n\t\tvault alter {\n\t\t\tapi_key " + key + "\n\t\t\tbase_url " + url + "\n\t\t}\n\t\tidentity alter\n\t}\n"
	}
	const other = "alter_rk_aaaaaaaaaaaaaaaaaaaaaa_" + "aaaaaa"
	site := func(blocks ...string) string { return "http://localhost {\n" + strings.Join(blocks, "") + "}\n" }
	good := block("/mcp", "{env.KEY}", v.URL)
	for name, test := range map[string]struct {
		file string // Caddyfile of the current directory; "" for none
		env  bool
		args []string
		want string // error; "" for none
	}{
		"none":                          {"", false, nil, "no API key: want --config"},
		"the environment":               {"", true, nil, ""},
		"the Caddyfile":                 {site(good), false, []string{"--config", "Caddyfile"}, ""},
		"the Caddyfile there is":        {site(good), false, nil, ""},
		"two of the same vault":         {site(good, block("/b", "{env.KEY}", v.URL)), false, nil, ""},
		"two of two vaults":             {site(good, block("/b", "{env.KEY}", "https://b.example")), false, nil, "has several vaults; want --endpoint with one of /b, /mcp"},
		"one of two vaults":             {site(good, block("/b", "{env.KEY}", "https://b.example")), false, []string{"--endpoint", "/mcp"}, ""},
		"an endpoint that is not there": {site(good), false, []string{"--endpoint", "/c"}, "has no alter_mcp /c with vault alter; there are /mcp"},
		"the same path at two sites":    {site(good) + strings.Replace(site(block("/mcp", "{env.KEY}", "https://b.example")), "localhost", "b.localhost", 1), false, nil, "several alter_mcp /mcp have different vaults"},
		"no vault":                      {site("\talter_mcp {\n" + identityAlice + "\t}\n"), false, nil, "has no alter_mcp with vault alter"},
		"a bad Caddyfile":               {"http://localhost {\n\talter_mcp {\n\t\tnonsense\n\t}\n}\n", false, nil, "adapting Caddyfile"},
		"no such file":                  {"", true, []string{"--config", "nowhere"}, "reading the configuration: open nowhere"},
		"no such adapter":               {site(good), false, []string{"--config", "Caddyfile", "--adapter", "yamlish"}, `adapter "yamlish": there is none`},
		"an empty key":                  {site(block("/mcp", "{env.NO_SUCH_KEY}", v.URL)), false, nil, "api_key"},
		"a wrong key":                   {site(block("/mcp", other, v.URL)), false, nil, "api key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if test.file != "" {
				if err := os.WriteFile("Caddyfile", []byte(test.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if test.env {
				t.Setenv("ALTER_API_KEY", v.APIKey())
				t.Setenv("ALTER_BASE_URL", v.URL)
			}
			out, _, err := command(t, append([]string{"providers"}, test.args...)...)
			if test.want == "" {
				if err != nil || !strings.Contains(out, "github") {
					t.Errorf("%q, %v", out, err)
				}
				return
			}
			if err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(test.want)) || strings.Contains(err.Error(), other) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

// A configuration in JSON is read, too.
func TestCommandKeyOfJSON(t *testing.T) {
	v := withVault(t, altertest.Config{})
	t.Setenv("KEY", v.APIKey())
	cfg, err := adaptJSON("http://localhost {\nroute {\nalter_mcp {\nvault alter {\napi_key {env.KEY}\nbase_url " + v.URL + "\n}\nidentity alter\n}\n}\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "caddy.json")
	if err := os.WriteFile(file, cfg, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ALTER_API_KEY", "")
	if out, _, err := command(t, "providers", "--config", file); err != nil || !strings.Contains(out, "github") {
		t.Errorf("%q, %v", out, err)
	}
}
