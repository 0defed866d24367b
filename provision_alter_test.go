package altermcp

import (
	"strings"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

const gmailTool = "tool list_messages {\ndescription d\nprovider google\nget https://gmail.googleapis.com/gmail/v1/users/me/messages\n"

// What does not go together with Alter, or without it, stops the start.
func TestProvisionErrorsOfAlter(t *testing.T) {
	const (
		vault  = "vault alter {\napi_key " + altertest.DefaultAPIKey + "\n}\n"
		google = "provider google {\nclient_id a\nclient_secret b\n}\n"
	)
	ofGrant := func(line string) string { return identityAlice + google + gmailTool + line + "\n}\n" }
	for name, tc := range map[string]struct{ block, want string }{
		"accounts of this server":        {identityAlice + vault, "the vault knows people by a token of an identity provider"},
		"client of a provider":           {"api_key " + altertest.DefaultAPIKey + "\n" + google, "client_id, client_secret and callback are the vault's own"},
		"no key":                         {"vault alter\nidentity alter\n", "api_key"},
		"unset key":                      {"api_key {env.UNSET_ALTER_KEY}\n", "{env.UNSET_ALTER_KEY}"},
		"key with a typing error":        {"api_key alter_rk_fakevaultfakevaultfake_2whbux\n", "vault alter: "},
		"unset older key":                {"api_key " + altertest.DefaultAPIKey + " {env.UNSET_ALTER_KEY}\n", "{env.UNSET_ALTER_KEY}"},
		"older key with a typing error":  {"api_key " + altertest.DefaultAPIKey + " alter_rk_fakevaultfakevaultfake_2whbux\n", "vault alter: api_key: an older one: "},
		"the same API key twice":         {"api_key " + altertest.DefaultAPIKey + " " + altertest.DefaultAPIKey + "\n", "the same key twice"},
		"an older API key twice":         {"api_key " + altertest.DefaultAPIKey + " " + olderAPIKey + " " + olderAPIKey + "\n", "the same key twice"},
		"vault without https":            {"vault alter {\napi_key " + altertest.DefaultAPIKey + "\nbase_url http://vault.example.com\n}\nidentity alter\n", "https"},
		"odd caller":                     {"vault alter {\napi_key " + altertest.DefaultAPIKey + "\ncaller Ä\n}\nidentity alter\n", "caller"},
		"a longer life than the longest": {"vault alter {\napi_key " + altertest.DefaultAPIKey + "\nconnect {\nmax_lifetime 1d\ndefault_lifetime 2d\n}\n}\nidentity alter\n", "vault alter: connect: "},
		"a life of half a second":        {"vault alter {\napi_key " + altertest.DefaultAPIKey + "\nconnect {\nmax_lifetime 500ms\n}\n}\nidentity alter\n", "want whole seconds"},
		"a rule that is no object":       {"api_key " + altertest.DefaultAPIKey + "\n" + gmailTool + "vault_rule json_match []\n}\n", `tool "list_messages": vault_rule: `},
		"a rule in the local vault":      {ofGrant("vault_rule json_match `{}`"), "vault_rule: vault local"},
		"login without a key":            {"identity alter\n", "identity alter: api_key is missing"},
		"login of another vault's URL":   {vault + "identity alter {\nbase_url https://vault.example.com\n}\n", "base_url goes with an api_key of its own"},
		"unset issuer":                   {vault + "identity alter {\nissuer {env.UNSET_ISSUER}\n}\n", "identity alter: issuer"},
		"account in the local vault":     {ofGrant("account a@example.com"), `tool "list_messages": account: vault local has no such thing`},
		"agent in the local vault":       {ofGrant("agent bot"), "agent: vault local"},
		"mode in the local vault":        {ofGrant("mode proxy"), "mode: vault local"},
		"reason in the local vault":      {ofGrant("reason why"), "reason: vault local"},
		"constraints in the local vault": {ofGrant("constraints a"), "constraints: vault local"},
		"label without provider":         {identityAlice + "tool a {\ndescription d\nlabel x\nrespond x\n}\n", "accepted only with provider"},
		"long label":                     {ofGrant("label " + strings.Repeat("x", 65)), "at most 64 bytes"},
		"unknown account placeholder":    {"api_key " + altertest.DefaultAPIKey + "\n" + gmailTool + "account {arg.box}\n}\n", "{arg.box}"},
	} {
		t.Run(name, func(t *testing.T) {
			err := validate(t, tc.block)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want it to hold %q", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), altertest.DefaultAPIKey) {
				t.Errorf("the error holds the API key: %v", err)
			}
		})
	}
}

func TestProvisionOfAlter(t *testing.T) {
	const key = "api_key " + altertest.DefaultAPIKey + "\n"
	for name, block := range map[string]string{
		"an API key and a tool":      key + gmailTool + "}\n",
		"the login of another app":   "vault alter {\n" + key + "}\nidentity alter {\n" + key + "base_url https://vault.example.com\n}\n",
		"an own login":               key + "identity oidc https://login.example.com {\nclient_id a\n}\n",
		"Alter for logins alone":     "identity alter {\n" + key + "}\n",
		"labels in the local vault":  identityAlice + "provider google {\nclient_id a\nclient_secret b\n}\n" + gmailTool + "label work\n}\n",
		"an older API key":           "api_key " + altertest.DefaultAPIKey + " " + olderAPIKey + "\n" + gmailTool + "}\n",
		"every setting of a tool":    key + gmailTool + "label work\naccount a@example.com\nagent bot\nmode proxy\nreason why\nconstraints a b\n}\n",
		"a service without a preset": key + "tool a {\ndescription d\nprovider tracker\nget https://api.tracker.example/items\n}\n",
	} {
		t.Run(name, func(t *testing.T) {
			if err := validate(t, block); err != nil {
				t.Error(err)
			}
		})
	}
}
