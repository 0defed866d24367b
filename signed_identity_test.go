package altermcp

import (
	"strings"
	"testing"
)

// Whoever checks the audience alone must not take an access token for a
// statement: it says the endpoint.
func TestSignedIdentityForTheEndpoint(t *testing.T) {
	tool := func(audience string) string {
		return "tool orders {\ndescription Orders\nsigned_identity " + audience + "\nget https://orders.example.com/\n}\n"
	}
	for name, test := range map[string]struct {
		sites, failure string
	}{
		"the endpoint":        {"http://localhost:PORT {\nalter_mcp /mcp {\n" + identityAlice + tool("http://localhost/mcp") + "}\n}\n", `tool "orders": signed_identity: audience http://localhost/mcp: that is the endpoint`},
		"one of its names":    {"http://localhost:PORT {\nalter_mcp /mcp {\npublic_url https://a.example https://b.example\n" + identityAlice + tool("https://b.example/mcp") + "}\n}\n", "audience https://b.example/mcp: that is the endpoint"},
		"beside the endpoint": {"http://localhost:PORT {\nalter_mcp /mcp {\n" + identityAlice + tool("http://localhost:PORT") + "}\n}\n", ""},
		"somebody else":       {"http://localhost:PORT {\nalter_mcp /mcp {\n" + identityAlice + tool("urn:acme:orders") + "}\n}\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			err := s.load("", test.sites)
			if want := strings.ReplaceAll(test.failure, "PORT", s.port); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("the start says %v, want %q", err, want)
			}
		})
	}
}
