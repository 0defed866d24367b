package e2e

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// TestAcceptTokens is a program that has people's access tokens of the identity
// provider: it calls tools without a login here, each call as the person of the
// token, who is the one that logs in by a browser.
func TestAcceptTokens(t *testing.T) {
	const audience = "https://tools.example.com"
	idp := harness.StartIDP(t, "")
	s := harness.NewServer(t, "testdata", withSettings("deny subject id-nobody"), "E2E_IDENTITY=oidc", "E2E_ISSUER="+idp.Issuer,
		"E2E_IDENTITY_SETTINGS=accept_tokens "+audience)
	idp.Register(s.Endpoint)
	s.Sites = append(s.Sites, strings.TrimSuffix(idp.Issuer, "/"))
	program := func(token string) *mcpclient.Client {
		c := mcpclient.New(s.Endpoint, mcpclient.Modern)
		c.Tokens.AccessToken = token
		return c
	}
	var tokens []string
	for _, pair := range [][2]browser.Person{{alice, bob}, {bob, alice}} {
		person, other := pair[0], pair[1]
		t.Run(person.Name, func(t *testing.T) {
			token := idp.AccessToken(person.Name, audience)
			tokens = append(tokens, token)
			c := program(token)
			if text := call(t, c, "whoami").Text(); strings.Contains(text, "@") {
				t.Errorf("before a login whoami gives %q, but the token has no address", text)
			}
			connect(t, newBrowser(t, s, person), call(t, c, "list_messages").ConnectURL())
			checkInbox(t, call(t, c, "list_messages").Text(), person, other)
			if text := call(t, c, "whoami").Text(); !strings.HasPrefix(text, person.Name+"@example.com by e2e") {
				t.Errorf("after a login whoami gives %q", text)
			}
			checkInbox(t, call(t, logIn(t, s, newBrowser(t, s, person), mcpclient.Legacy), "list_messages").Text(), person, other)
		})
	}
	for name, token := range map[string]string{
		"for another API":       idp.AccessToken("alice", "https://other.example.com"),
		"of who may not":        idp.AccessToken("nobody", audience),
		"with a part cut off":   tokens[0][:len(tokens[0])-8],
		"of alice and of bob":   strings.Join(append(strings.Split(tokens[0], ".")[:2], strings.Split(tokens[1], ".")[2]), "."),
		"ID token of the login": idp.Seen().Secrets[0]["id_token"],
	} {
		_, err := program(token).Call(t.Context(), "whoami", nil, nil)
		var status *mcpclient.StatusError
		if !errors.As(err, &status) || status.Status != http.StatusUnauthorized || !strings.Contains(status.Challenge, `error="invalid_token"`) {
			t.Errorf("a token %s: %v, want 401 with invalid_token", name, err)
		}
	}
	idp.Rotate()
	s.Kill()
	s.Restart()
	if _, err := program(tokens[0]).Call(t.Context(), "whoami", nil, nil); err == nil {
		t.Error("a token by a key that the provider has withdrawn is good after a restart")
	}
	checkInbox(t, call(t, program(idp.AccessToken("alice", audience)), "list_messages").Text(), alice, bob)
	for _, token := range tokens {
		if strings.Contains(s.Log(), token) {
			t.Error("the log holds a token")
		}
	}
}

// TestAcceptTokensWithAlter is a program of the Alter SDK that passes on the token
// of the identity provider that it has of a person: it is the person's at the vault
// too. The person never logged in at this server.
func TestAcceptTokensWithAlter(t *testing.T) {
	v := harness.StartVault(t)
	t.Cleanup(v.CheckProtocol)
	elsewhere := harness.NewAlterServer(t, v, "testdata/alter/server.Caddyfile",
		"E2E_SITE="+strings.ReplaceAll(restSite, "UPSTREAM", newUpstream(t)))
	s := harness.NewAlterServer(t, v, "testdata/alter/server.Caddyfile", "E2E_VAULT=oidc", "E2E_IDENTITY_SETTINGS=accept_tokens altertest")
	c := logIn(t, elsewhere, newBrowser(t, elsewhere, alice), mcpclient.Modern)
	_, got := rest(t, strings.TrimSuffix(elsewhere.Endpoint, "/mcp"), "/api/notes", c.Tokens.AccessToken)
	program := mcpclient.New(s.Endpoint, mcpclient.Modern)
	program.Tokens.AccessToken = got["X-User-Token"]
	if text := call(t, program, "whoami").Text(); !strings.HasPrefix(text, "alice@example.com by") {
		t.Errorf("whoami gives %q", text)
	}
	connect(t, newBrowser(t, s, alice), call(t, program, "list_messages").ConnectURL())
	checkGmail(t, call(t, program, "list_messages"), alice, bob)
}
