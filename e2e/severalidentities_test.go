package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
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
			lines = append(lines, fmt.Sprintf("identity oidc %s {\nclient_id e2e\nclient_secret e2e-secret\ntitle %[2]s\ncallback %[2]s\n}", idps[title].Issuer, title))
		}
		return withSettings(lines...)
	}
	s := harness.NewServer(t, "testdata", oidc("Staff", "Partners"))
	for title, idp := range idps {
		idp.RegisterCallback(s.Endpoint + "/login/callback/" + title)
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

// TestSeveralIdentitiesOneIsDown: a provider that is away is told the client of who
// chose it, and holds up nobody else.
func TestSeveralIdentitiesOneIsDown(t *testing.T) {
	idp := harness.StartIDP(t, "")
	s := harness.NewServer(t, "testdata", withSettings("identity oidc "+idp.Issuer+" {\nclient_id e2e\nclient_secret e2e-secret\ntitle Staff\n}"))
	idp.Register(s.Endpoint)
	s.Sites = append(s.Sites, strings.TrimSuffix(idp.Issuer, "/"))
	s.ExpectErrors(`"path":"/mcp/login`)
	idp.Fail(harness.Fault{Where: "discovery", What: "down"})
	person := alice
	person.LoginWith = "Staff"
	if code := tryLogIn(t, s, person); code != "temporarily_unavailable" {
		t.Errorf("the client hears %q, want temporarily_unavailable", code)
	}
	person.LoginWith = "your account on this server"
	if code := tryLogIn(t, s, person); code != "" {
		t.Errorf("the client of who chose another way hears %q", code)
	}
}

// TestSeveralIdentitiesWithAlter: of two identities beside the Alter Vault one is on
// Alter's pages, in another tab. The person's token goes to the vault.
func TestSeveralIdentitiesWithAlter(t *testing.T) {
	v, other := harness.StartVault(t), harness.StartIDP(t, "")
	t.Cleanup(v.CheckProtocol)
	s := harness.NewAlterServer(t, v, "testdata/alter/server.Caddyfile", "E2E_VAULT=choice", "E2E_ISSUER="+other.Issuer)
	for _, pair := range [][2]browser.Person{{alice, bob}, {bob, alice}} {
		person := pair[0]
		person.LoginWith = "Acme"
		b := newBrowser(t, s, person)
		c := logIn(t, s, b, mcpclient.Modern)
		connect(t, b, call(t, c, "list_messages").ConnectURL())
		checkGmail(t, call(t, c, "list_messages"), pair[0], pair[1])
	}
	if n := len(other.Seen().Authorize); n != 0 {
		t.Errorf("the provider that nobody chose got %d authorization requests", n)
	}
}
