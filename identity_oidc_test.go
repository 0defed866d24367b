package altermcp

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

func TestProvisionOIDC(t *testing.T) {
	t.Setenv("EMPTY", "")
	t.Setenv("SECRET", "secret")
	const client = " {\nclient_id acme\nclient_secret {env.SECRET}\n"
	for name, tc := range map[string]struct{ block, want string }{
		"enough":                      {"identity oidc https://login.example.com" + client + "}\n", ""},
		"a public client":             {"identity oidc https://login.example.com {\nclient_id acme\n}\n", ""},
		"http on loopback":            {"identity oidc http://127.0.0.1:9000/realms/acme" + client + "}\n", ""},
		"http elsewhere":              {"identity oidc http://login.example.com" + client + "}\n", "want https, except on loopback"},
		"an unset issuer":             {"identity oidc {env.UNSET_ISSUER}" + client + "}\n", "{env.UNSET_ISSUER}"},
		"no client ID":                {"identity oidc https://login.example.com {\nclient_secret x\n}\n", "client_id is empty"},
		"an unset secret":             {"identity oidc https://login.example.com {\nclient_id acme\nclient_secret {env.UNSET_SECRET}\n}\n", "{env.UNSET_SECRET}"},
		"an empty secret":             {"identity oidc https://login.example.com {\nclient_id acme\nclient_secret {env.EMPTY}\n}\n", "client_secret"},
		"all tenants of Entra":        {"identity oidc https://login.microsoftonline.com/common/v2.0" + client + "}\n", "https://login.microsoftonline.com/<tenant id>/v2.0"},
		"a parameter of the login's":  {"identity oidc https://login.example.com" + client + "authorize_param state x\n}\n", `"state"`},
		"Google without a rule":       {"identity oidc https://accounts.google.com" + client + "}\n", "anybody can have an account at accounts.google.com"},
		"Google for a domain":         {"identity oidc https://accounts.google.com" + client + "}\nallow domain example.com\n", ""},
		"Microsoft's personal tenant": {"identity oidc https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0" + client + "}\n", "anybody can have an account"},
		"beside local accounts":       {"identity oidc https://login.example.com" + client + "}\n" + identityAlice, ""},
		"two providers":               {"identity oidc https://a.example.com" + client + "}\nidentity oidc https://b.example.com" + client + "callback b\n}\n", ""},
		"two of one redirect URI":     {"identity oidc https://a.example.com" + client + "}\nidentity oidc https://b.example.com" + client + "}\n", "answers of \"a.example.com\" and \"b.example.com\" come to the same redirect URI"},
		"two of one callback":         {"identity oidc https://a.example.com" + client + "callback x\n}\nidentity oidc https://b.example.com" + client + "callback x\n}\n", "`callback <name>` tell them apart"},
		"a callback with a slash":     {"identity oidc https://a.example.com" + client + "callback a/b\n}\n", "callback \"a/b\": want 1 to 64 letters, digits, - and _"},
		"one provider twice":          {"identity oidc https://a.example.com" + client + "}\nidentity oidc https://a.example.com/" + client + "title b\n}\n", "identity oidc https://a.example.com stands there twice"},
		"beside Alter":                {"vault alter {\napi_key alter_rk_fakevaultfakevaultfake_2whbul\n}\nidentity oidc https://a.example.com" + client + "}\nidentity alter\n", "identity alter takes a line `issuer`"},
		"beside one of Alter":         {"vault alter {\napi_key alter_rk_fakevaultfakevaultfake_2whbul\n}\nidentity oidc https://a.example.com" + client + "}\nidentity alter {\nissuer https://b.example.com\n}\n", ""},
		"local beside Alter":          {"vault alter {\napi_key alter_rk_fakevaultfakevaultfake_2whbul\n}\nidentity oidc https://a.example.com" + client + "}\n" + identityAlice, "a login by your account on this server leaves none"},
		"two of one title":            {"identity oidc https://a.example.com/one" + client + "}\nidentity oidc https://a.example.com/two" + client + "}\n", "two ways to log in are called \"a.example.com\"; people tell them by their titles; `title <text>`"},
		"an open one among several":   {identityAlice + "identity oidc https://accounts.google.com" + client + "}\n", "anybody can have an account at accounts.google.com"},
		"a tenant of Entra":           {"identity oidc https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0" + client + "}\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := validate(t, tc.block)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("validating\n%s= %v, want %q", tc.block, err, tc.want)
			}
		})
	}
}

func TestOIDCTitle(t *testing.T) {
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	for want, i := range map[string]*OIDCIdentity{
		"login.example.com": {Issuer: "https://login.example.com/realms/acme", ClientID: "acme"},
		"Acme login":        {Issuer: "https://login.example.com", ClientID: "acme", LoginTitle: "Acme login"},
	} {
		if err := i.Provision(ctx); err != nil {
			t.Fatal(err)
		}
		if got := i.Title(); got != want {
			t.Errorf("title of %s is %q, want %q", i.Issuer, got, want)
		}
	}
}
