package altervault_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/internal/web"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/altervault"
)

// link returns a link of alice to connect.
func (e *env) link() string {
	e.Helper()
	_, _, err := e.send(e.Context(), "ok", e.use())
	var asked *altervault.ConnectError
	if !errors.As(err, &asked) {
		e.Fatalf("Send: %v, want a link", err)
	}
	return asked.URL
}

// What a browser brings back is not believed: the vault is asked how it ended.
func TestConnectEnds(t *testing.T) {
	tests := map[string]struct {
		decision string
		status   int
		want     string
		errors   int // in the log
	}{
		"connected":              {"allow", 200, "Google is connected", 0},
		"denied":                 {"deny", 400, "Google was not connected", 0},
		"the app is not set up":  {"connect_config_error", 502, "Google was not connected", 1},
		"the vault is not there": {"service_unavailable", 503, "Not possible at the moment", 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			end := e.browser("alice").connect(e.link(), tt.decision)
			if end.status != tt.status || end.Message.Title != tt.want || end.Message.OK != (tt.status == 200) {
				t.Errorf("the way ends with %d %+v, want %d %q", end.status, end.Message, tt.status, tt.want)
			}
			if n := e.log.FilterLevelExact(2).Len(); n != tt.errors {
				t.Errorf("%d errors in the log, want %d: %v", n, tt.errors, e.log.All())
			}
		})
	}
}

// The operator's terms are those of each connection.
func TestConnectTerms(t *testing.T) {
	e := newEnv(t, func(c *altervault.Config) {
		c.Connect = altervault.ConnectTerms{
			Direct: true, NoUserRules: true, Life: alter.GrantBounds{MaxTTL: 48 * time.Hour, DefaultTTL: time.Hour},
		}
	})
	if end := e.browser("alice").connect(e.link(), "allow"); end.status != http.StatusOK || !end.Message.OK {
		t.Fatalf("the way ends with %d %+v", end.status, end.Message)
	}
	checkSession(t, e.calls("/sdk/oauth/connect/session")[0], map[string]any{
		"required_scopes": map[string]any{"google": []any{"read"}},
		"direct":          true, "allow_user_policy_rules": false,
		"grant_policy": map[string]any{"max_ttl_seconds": 172800.0, "default_ttl_seconds": 3600.0},
	}, "")
	e.works(e.use())
}

// Who comes back without having decided has connected nothing; and nobody else
// can come back.
//
// Security FED-04, FED-06 for connecting.
func TestConnectCallback(t *testing.T) {
	e := newEnv(t)
	alice := e.browser("alice")
	_, vaults := alice.agree(e.link())
	back, _ := e.calls("/sdk/oauth/connect/session")[0]["return_url"].(string)
	for _, person := range []string{"bob", "alice"} {
		if p := e.browser(person).do(http.MethodGet, back, nil); p.status != 400 || p.Message.OK {
			t.Errorf("coming back in another browser of %s: %d %+v", person, p.status, p.Message)
		}
	}
	if p := alice.do(http.MethodGet, back, nil); p.status != 400 || !strings.Contains(p.Message.Text[0], "not finished yet") {
		t.Errorf("coming back undecided: %d %+v", p.status, p.Message)
	}
	if !e.fake.CompleteConnect(vaults.Query().Get("session"), altertest.ConnectResult{}) {
		t.Fatal("no session to complete")
	}
	if p := alice.do(http.MethodGet, back, nil); p.Message.OK {
		t.Errorf("coming back twice: %d %+v", p.status, p.Message)
	}
	e.works(e.use()) // the vault has it all the same
}

// A link is of one person.
func TestLinkOfAnother(t *testing.T) {
	e := newEnv(t)
	link := e.link()
	if p := e.browser("bob").do(http.MethodGet, link, nil); p.status != 403 || p.Message.Title != "This link is for somebody else" {
		t.Errorf("the link of alice for bob: %d %+v", p.status, p.Message)
	}
	if n := e.fake.Count("/sdk/oauth/connect/session"); n != 0 {
		t.Errorf("%d connect sessions", n)
	}
}

// The page of a link says what is there already.
func TestLinkShowsWhatIsThere(t *testing.T) {
	e := newEnv(t)
	link := e.link()
	e.fake.AddGrant(altertest.Grant{Person: "alice", Provider: "google", Scopes: []string{"other"}})
	p := e.browser("alice").do(http.MethodGet, link, nil)
	if !p.Connected || !cmp.Equal(p.Missing, []string{"read"}) {
		t.Errorf("the page has connected %v and misses %q, want read", p.Connected, p.Missing)
	}
}

// The account page has a person's own grants of this server's providers, and
// only those that are any.
func TestAccount(t *testing.T) {
	e := newEnv(t)
	for _, g := range []altertest.Grant{
		{Person: "alice", Provider: "google", Account: "a@x", Label: "work"},
		{Person: "alice", Provider: "google", Account: "b@x", State: altertest.Expired},
		{Person: "alice", Provider: "google", Account: "c@x", State: altertest.Revoked},
		{Person: "alice", Provider: "google", Account: "d@x", State: altertest.CredentialRevoked},
		{Person: "alice", Provider: "slack", Account: "e@x"},
		{Person: "bob", Provider: "google", Account: "f@x"},
		{Provider: "google", Account: "g@x"},
	} {
		e.fake.AddGrant(g)
	}
	page := e.browser("alice").do(http.MethodGet, e.base+"/mcp/account", nil)
	type row struct {
		Provider, Label, Account string
		Dead                     bool
	}
	var rows []row
	for _, c := range page.Account.Connections {
		rows = append(rows, row{c.Provider, c.Label, c.Account, c.Dead})
	}
	want := []row{{"google", "work", "a@x", false}, {"google", "", "b@x", true}, {"google", "", "d@x", true}, {"github", "", "", false}}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("connections (-want +got):\n%s", diff)
	}
}

// A person ends what is theirs, and cannot end what is another's.
//
// Security VAULT-09.
func TestDisconnect(t *testing.T) {
	e := newEnv(t)
	hers := e.fake.AddGrant(altertest.Grant{Person: "alice", Provider: "google"})
	his := e.fake.AddGrant(altertest.Grant{Person: "bob", Provider: "google"})
	apps := e.fake.AddGrant(altertest.Grant{Provider: "google"})
	alice := e.browser("alice")
	for _, g := range []altertest.Grant{his, apps, hers} {
		page := alice.do(http.MethodGet, e.base+"/mcp/account", nil)
		alice.do(http.MethodPost, e.base+"/mcp/account", url.Values{
			"token": {page.Account.Form.Token}, "disconnect": {web.EncodeConnection("google", g.ID)},
		})
	}
	states := map[string]string{}
	for _, g := range e.fake.Grants() {
		states[g.Person] = g.State
	}
	if diff := cmp.Diff(map[string]string{"alice": altertest.Revoked, "bob": altertest.Active, "": altertest.Active}, states); diff != "" {
		t.Errorf("grants (-want +got):\n%s", diff)
	}
}

// A person takes back what agents have of theirs, and keeps it; nobody takes
// another's back.
func TestTakeBackFromAgents(t *testing.T) {
	e := newEnv(t)
	agents := []string{altertest.AgentID("one"), altertest.AgentID("two")}
	hers := e.fake.AddGrant(altertest.Grant{Person: "alice", Provider: "google", Delegated: agents})
	his := e.fake.AddGrant(altertest.Grant{Person: "bob", Provider: "google", Delegated: agents})
	alice := e.browser("alice")
	page := alice.do(http.MethodGet, e.base+"/mcp/account", nil)
	if c := page.Account.Connections[0]; c.Agents != 2 || c.AgentsID != hers.ID+" agents" {
		t.Fatalf("connection %+v, want one that two agents have", c)
	}
	for _, g := range []altertest.Grant{his, hers} {
		page := alice.do(http.MethodGet, e.base+"/mcp/account", nil)
		alice.do(http.MethodPost, e.base+"/mcp/account", url.Values{
			"token": {page.Account.Form.Token}, "disconnect": {web.EncodeConnection("google", g.ID+" agents")},
		})
	}
	left := map[string]int{}
	for _, g := range e.fake.Grants() {
		if left[g.Person] = len(g.Delegated); g.State != altertest.Active {
			t.Errorf("the grant of %s is %s", g.Person, g.State)
		}
	}
	if diff := cmp.Diff(map[string]int{"alice": 0, "bob": 2}, left); diff != "" {
		t.Errorf("agents (-want +got):\n%s", diff)
	}
}

// A person whose token has ended is told so on the pages.
func TestPagesWithoutToken(t *testing.T) {
	e := newEnv(t)
	link := e.link()
	e.tokens.set("alice", "gone")
	for _, target := range []string{link, e.base + "/mcp/account"} {
		if p := e.browser("alice").do(http.MethodGet, target, nil); p.status == 200 {
			t.Errorf("%s without a token: %d %+v", target, p.status, p)
		}
	}
}

// The vault's log of connecting holds no secret.
//
// Security LOG-01.
func TestNoSecretsInTheLog(t *testing.T) {
	e := newEnv(t)
	e.browser("alice").connect(e.link(), "allow")
	e.works(e.use())
	for _, entry := range e.log.All() {
		text, err := json.Marshal(entry.ContextMap())
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{e.fake.APIKey(), "conn_sess_", "tok-google", "eyJ"} {
			if strings.Contains(string(text)+entry.Message, secret) {
				t.Errorf("the log holds %s: %s %s", secret, entry.Message, text)
			}
		}
	}
}
