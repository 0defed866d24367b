package e2e

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// TestAlterGuideWithClaude goes the way of the guide, word for word: its Caddyfile
// of an API key and one Gmail tool, with Claude Code as the client. Nobody logs in
// twice, not even when the server was killed.
func TestAlterGuideWithClaude(t *testing.T) {
	const tool = "mcp__mail__list_messages"
	v := harness.StartVault(t)
	t.Cleanup(v.CheckProtocol)
	port := harness.FreePorts(t, 1)[0]
	origin := fmt.Sprintf("http://localhost:%d", port)
	s := harness.NewSite(t, guide(t, v, origin), origin+"/mcp", "ALTER_API_KEY="+v.APIKey, "ALTER_BASE_URL="+v.BaseURL)
	s.Sites = []string{origin, v.BaseURL}
	b := newBrowser(t, s, alice)
	c := newClaude(t, b)

	c.run(t, "mcp", "add", "--transport", "http", "mail", s.Endpoint)
	c.logIn(t, "mail")
	before := mcpclient.Result{Content: []mcpclient.Content{{Text: c.ask(t, tool)}}}
	if before.ConnectURL() == "" {
		t.Fatalf("the model got %q, want a connect link", before.Text())
	}
	connect(t, b, before.ConnectURL())
	answered := func() {
		t.Helper()
		if got := c.ask(t, tool); !strings.Contains(got, "alice@google") || !strings.Contains(got, "/gmail/v1/users/me/messages") {
			t.Errorf("the model got %q, want the Gmail of alice", got)
		}
	}
	answered()
	s.Kill()
	s.Restart()
	answered()
	if logins := v.Calls(signIn); len(logins) != 1 {
		t.Errorf("%d logins at the vault, want one", len(logins))
	}
	checkScopes(t, v)
}

// checkScopes looks whether the person was asked for what the guide's tool needs.
func checkScopes(t *testing.T, v *harness.Vault) {
	t.Helper()
	sessions := v.Calls("/sdk/oauth/connect/session")
	if len(sessions) != 1 || !strings.Contains(string(sessions[0].Body), `"required_scopes":{"google":["https://www.googleapis.com/auth/gmail.readonly"]}`) {
		t.Errorf("connect sessions %+v, want one that asks for gmail.readonly", sessions)
	}
}

// guide writes the guide's Caddyfile for this machine: another address of the
// site, a fake in place of Gmail, whose host has to be allowed, and no documents
// of clients, which lie in the public Internet. All else is as it stands.
func guide(t *testing.T, v *harness.Vault, origin string) string {
	t.Helper()
	root, err := harness.Repository()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "examples", "gmail.Caddyfile"))
	if err != nil {
		t.Fatal(err)
	}
	fake, err := url.JoinPath(v.BaseURL, "provider/ok")
	if err != nil {
		t.Fatal(err)
	}
	config := string(text)
	for from, to := range map[string]string{
		"mcp.example.com {":            origin + " {",
		"https://gmail.googleapis.com": fake,
		"		tool list_messages {":       "		client_documents off\n\n		provider google {\n			api_hosts " + v.Host() + "\n		}\n\n		tool list_messages {",
	} {
		if strings.Count(config, from) != 1 {
			t.Fatalf("the guide has %q %d times, want once", from, strings.Count(config, from))
		}
		config = strings.Replace(config, from, to, 1)
	}
	file := filepath.Join(t.TempDir(), "Caddyfile")
	global := "{\n	admin off\n	default_bind 127.0.0.1\n	persist_config off\n}\n\n"
	if err := os.WriteFile(file, []byte(global+config), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
