package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// TestSeveralIdentities is an endpoint where people log in at one of two OpenID
// Connect providers or by a local account. Three people of the same name are three
// people; taking a way out cuts off those who came by it, and nobody else.
func TestSeveralIdentities(t *testing.T) {
	idps := map[string]*harness.IDP{"Staff": harness.StartIDP(t, ""), "Partners": harness.StartIDP(t, "")}
	oidc := func(titles ...string) string {
		var lines []string
		for _, title := range titles {
			lines = append(lines, fmt.Sprintf("identity oidc %s {\nclient_id e2e\nclient_secret e2e-secret\ntitle %s\n}", idps[title].Issuer, title))
		}
		return withSettings(lines...)
	}
	s := harness.NewServer(t, "testdata", oidc("Staff", "Partners"))
	for _, idp := range idps {
		idp.Register(s.Endpoint)
		s.Sites = append(s.Sites, strings.TrimSuffix(idp.Issuer, "/"))
	}
	const local = "your account on this server"
	clients := make(map[string]*mcpclient.Client)
	for _, way := range []string{"Staff", "Partners", local} {
		person := alice
		person.LoginWith = way
		b := newBrowser(t, s, person)
		c := logIn(t, s, b, mcpclient.Modern)
		clients[way] = c
		if r := call(t, c, "list_messages"); r.ConnectURL() == "" {
			t.Errorf("alice by %s has a grant that she did not give: %s", way, r.Text())
		}
		connect(t, b, call(t, c, "list_messages").ConnectURL())
		checkInbox(t, call(t, c, "list_messages").Text(), alice, bob)
	}
	for title, idp := range idps {
		if n := len(idp.Seen().Authorize); n != 1 {
			t.Errorf("%d people were sent to %s, want 1", n, title)
		}
	}
	s.Reload(s.Admin, oidc("Staff"))
	for way, c := range clients {
		_, err := c.Call(t.Context(), "whoami", nil, nil)
		if gone := err != nil; gone != (way == "Partners") {
			t.Errorf("alice by %s after Partners was taken out: %v", way, err)
		}
		if err := c.Refresh(t.Context()); (err != nil) != (way == "Partners") {
			t.Errorf("refresh of alice by %s after Partners was taken out: %v", way, err)
		}
	}
}
