package altermcp

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// validate provisions a site with one endpoint, as `caddy validate` does, and
// returns the error.
func validate(t *testing.T, block string) error {
	t.Helper()
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	cfg, err := adaptJSON("{\nadmin off\n}\nhttp://localhost:1 {\nalter_mcp {\n" + block + "}\n}\n")
	if err != nil {
		return err
	}
	var c caddy.Config
	if err := caddy.StrictUnmarshalJSON(cfg, &c); err != nil {
		return err
	}
	return caddy.Validate(&c)
}

// Bad configuration stops the start and says what would be right.
func TestProvisionErrors(t *testing.T) {
	t.Setenv("EMPTY", "")
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const argonHash = "$argon2id$v=19$m=47104,t=1,p=1$P2nzckEdTZ3bxCiBCkRTyA$xQL3Z32eo5jKl7u5tcIsnEKObYiyNZQQf5/4sAau6Pg"
	const google = "client_id a\nclient_secret b\n"
	for name, tc := range map[string]struct{ block, want string }{
		"no identity":                   {"", "no identity: say how people log in"},
		"one identity twice":            {identityAlice + identityAlice, "identity local stands there twice"},
		"no user":                       {"identity local {\n}\n", "identity local has no user"},
		"unset password hash":           {"identity local {\nuser alice {env.UNSET_HASH}\n}\n", "{env.UNSET_HASH}"},
		"same name in another case":     {"identity local {\nuser alice " + aliceHash + "\nuser ALICE " + aliceHash + "\n}\n", "is taken"},
		"odd e-mail address":            {"identity local {\nuser alice " + aliceHash + " {\nemail Alice\n}\n}\n", `email "Alice"`},
		"unknown hash":                  {"identity local rot13 {\nuser alice x\n}\n", `hash algorithm "rot13"; there are argon2id, bcrypt, at Caddyfile:6`},
		"plain password":                {"identity local {\nuser alice secret\n}\n", "user 0 (alice): the password hash is none of bcrypt"},
		"cut hash":                      {"identity local {\nuser alice " + aliceHash[:40] + "\n}\n", "the password hash is none of bcrypt"},
		"hash of argon2id":              {"identity local {\nuser alice " + argonHash + "\n}\n", "or `identity local argon2id` for hashes of that algorithm"},
		"hash of bcrypt":                {"identity local argon2id {\nuser alice " + aliceHash + "\n}\n", "or `identity local bcrypt` for hashes of that algorithm"},
		"short key":                     {identityAlice + "encryption_key c2hvcnQ=\n", "want 32 bytes in base64"},
		"the same key twice":            {identityAlice + "encryption_key MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE= MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE\n", "the same key twice"},
		"unset key":                     {identityAlice + "encryption_key {env.UNSET_KEY}\n", "encryption_key: "},
		"empty key":                     {identityAlice + "encryption_key {env.EMPTY}\n", "encryption_key"},
		"public_url with a path":        {identityAlice + "public_url https://a.example/x\n", "want an origin"},
		"public_url without https":      {identityAlice + "public_url http://a.example\n", "OAuth needs https"},
		"origin with a path":            {identityAlice + "origin https://a.example/x\n", "want an origin"},
		"long access token":             {identityAlice + "lifetimes {\naccess_token 25h\n}\n", "access_token 25h0m0s: want"},
		"long grace":                    {identityAlice + "lifetimes {\nrefresh_grace 2m\n}\n", "refresh_grace 2m0s: want"},
		"big body":                      {identityAlice + "limits {\nbody 1GiB\n}\n", "limits: body"},
		"provider without secret":       {identityAlice + "provider google {\nclient_id a\n}\n", "client_secret is missing"},
		"callback with a blank":         {identityAlice + "provider google {\n" + google + "scopes openid\ncallback \"a b\"\n}\n", `callback "a b": want 1 to 64 letters, digits, - and _`},
		"one callback of two":           {identityAlice + "provider google {\n" + google + "scopes openid\ncallback x\n}\nprovider github {\n" + google + "scopes repo\ncallback x\n}\n", "callback x is that of provider google"},
		"provider with unset secret":    {identityAlice + "provider google {\nclient_id a\nclient_secret {env.UNSET_SECRET}\n}\n", "{env.UNSET_SECRET}"},
		"rewritten shorthand":           {identityAlice + "provider google {\nclient_id a\nclient_secret {file.secret}\n}\n", "a file, write its path with a slash"},
		"unknown preset":                {identityAlice + "provider x {\npreset nobody\n" + google + "}\n", "github, google, slack"},
		"unknown service":               {identityAlice + "provider x {\n" + google + "}\n", "authorization_url"},
		"tool without description":      {identityAlice + "tool a {\nrespond x\n}\n", "description"},
		"tool of another host":          {identityAlice + "provider github {\nclient_id a\nclient_secret b\nscopes repo\n}\ntool a {\ndescription d\nprovider github\nget https://api.example.com/user\n}\n", `tool "a": https://api.example.com is none of the api_hosts of provider github: api.github.com`},
		"tool of no provider":           {identityAlice + "tool a {\ndescription d\nprovider github\nget https://api.github.com/user\n}\n", `provider "github" is not declared`},
		"two tools of one name":         {identityAlice + "tool a {\ndescription d\nrespond x\n}\ntool a {\ndescription d\nrespond x\n}\n", "a"},
		"unknown placeholder":           {identityAlice + "tool a {\ndescription d\nrespond {arg.x}\n}\n", "{arg.x}"},
		"request shorthand in tool":     {identityAlice + "tool a {\ndescription d\nrespond {host}\n}\n", "{http.request.host}"},
		"schema that is not there":      {identityAlice + "tool a {\ndescription d\ninput_schema " + dir + "/none.json\nrespond x\n}\n", "none.json"},
		"schema that is none":           {identityAlice + "tool a {\ndescription d\ninput_schema " + file("bad.json", "[") + "\nrespond x\n}\n", "input_schema"},
		"host from an argument":         {identityAlice + "tool a {\ndescription d\ninput h string\nget https://{arg.h}/\n}\n", "host must be fixed"},
		"postgres without a key":        {identityAlice + "store postgres postgres://u:p@h/d\n", "encryption_key is missing: the nodes that share"},
		"postgres with an unset URL":    {identityAlice + "store postgres {env.UNSET_URL}\n", "{env.UNSET_URL}"},
		"postgres with an empty URL":    {identityAlice + "store postgres {env.EMPTY}\n", "store postgres: evaluated placeholder {env.EMPTY} is empty"},
		"postgres with another URL":     {identityAlice + "store postgres mysql://u:p@h/d\n", "not the URL of a PostgreSQL database"},
		"postgres with an empty schema": {identityAlice + "store postgres postgres://u:p@h/d {\nschema {env.EMPTY}\n}\n", "schema: evaluated placeholder {env.EMPTY} is empty"},
		"postgres with a long schema":   {identityAlice + "store postgres postgres://u:p@h/d {\nschema " + strings.Repeat("x", 64) + "\n}\n", "schema: want a name of at most 63 bytes"},
		"jq that does not parse":        {identityAlice + "tool a {\ndescription d\nget https://a.example/\nresult .[\n}\n", "result"},
	} {
		t.Run(name, func(t *testing.T) {
			err := validate(t, tc.block)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want it to hold %q", err, tc.want)
			}
		})
	}
}

func TestProvisionAccepts(t *testing.T) {
	dir := t.TempDir()
	schema := filepath.Join(dir, "schema.json")
	if err := os.WriteFile(schema, []byte(`{"type":"object","properties":{"q":{"type":"string"}}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]string{
		"nothing but an identity": "",
		"a schema file":           "tool a {\ndescription d\ninput_schema " + schema + "\nrespond {arg.q}\n}\n",
		"a secret from a file":    "provider google {\nclient_id a\nclient_secret {file." + schema + "}\n}\n",
		"the URL as base_url":     "public_url https://a.example/mcp\n",
		"grace off":               "lifetimes {\nrefresh_grace 0\n}\n",
	} {
		t.Run(name, func(t *testing.T) {
			if err := validate(t, identityAlice+block); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestParseKey(t *testing.T) {
	for text, ok := range map[string]bool{
		"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=":   true,
		"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE":    true,
		"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n": true,
		"--__Mzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU=":   true,
		"":         false,
		"c2hvcnQ=": false,
		"not base64 at all, but of some length, you see":   false,
		"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEyMw==": false,
	} {
		if key, err := parseKey(text); (err == nil) != ok || ok && len(key) != 32 {
			t.Errorf("parseKey(%q) = %d bytes, %v, want ok=%v", text, len(key), err, ok)
		}
	}
}
