package e2e

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// visitor is one of the people of TestWholeWay on the way.
type visitor struct {
	person, other browser.Person
	revision      string
	browser       *browser.Browser
	client        *mcpclient.Client
	link          string   // connect link
	secrets       []string // that were used and are replaced
}

// TestWholeWay goes the way of two people at the same time, one with a client of
// each era, from the bare URL to the end of their access.
func TestWholeWay(t *testing.T) {
	s := newServer(t)
	visitors := []*visitor{
		{person: alice, other: bob, revision: mcpclient.Modern},
		{person: bob, other: alice, revision: mcpclient.Legacy},
	}
	together := func(name string, step func(*testing.T, *visitor)) {
		ok := t.Run(name, func(t *testing.T) {
			for _, v := range visitors {
				t.Run(v.person.Name, func(t *testing.T) {
					t.Parallel()
					step(t, v)
				})
			}
		})
		if !ok {
			t.FailNow()
		}
	}
	together("logging in", func(t *testing.T, v *visitor) {
		v.browser = newBrowser(t, s, v.person)
		v.client = logIn(t, s, v.browser, v.revision)
	})
	together("first calls", firstCalls)
	t.Run("a link of another person is refused", func(t *testing.T) {
		otherLinkIsRefused(t, visitors[0].browser, visitors[1])
	})
	together("connecting", func(t *testing.T, v *visitor) {
		connect(t, v.browser, v.link)
		result := call(t, v.client, "list_messages")
		if result.IsError {
			t.Errorf("list_messages fails after connecting: %s", result.Text())
		}
		checkInbox(t, result.Text(), v.person, v.other)
	})
	together("refreshing", refresh)
	together("revoking", revoke)
	t.Run("the log holds no secret", func(t *testing.T) {
		for _, v := range visitors {
			for _, secret := range append(v.secrets, v.person.Password, v.client.Tokens.AccessToken, v.client.Tokens.RefreshToken) {
				if strings.Contains(s.Log(), secret) {
					t.Errorf("log holds a secret of %s", v.person.Name)
				}
			}
		}
	})
}

func firstCalls(t *testing.T, v *visitor) {
	tools, err := v.client.Tools(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"list_messages", "whoami"}, sorted(tools)); diff != "" {
		t.Errorf("tools (-want +got):\n%s", diff)
	}
	who := call(t, v.client, "whoami")
	if text := who.Text(); who.IsError || !strings.Contains(text, v.person.Name) || strings.Contains(text, v.other.Name) {
		t.Errorf("whoami gives %q, want %s", text, v.person.Name)
	}
	result := call(t, v.client, "list_messages")
	v.link = result.ConnectURL()
	if !result.IsError || !strings.HasPrefix(v.link, v.client.Endpoint+"/connect?") {
		t.Fatalf("list_messages gives %+v, want a failure with a connect link", result)
	}
	if !strings.Contains(result.Text(), v.link) {
		t.Errorf("text %q lacks the link %s", result.Text(), v.link)
	}
}

// otherLinkIsRefused opens the link of v in another person's browser, which is
// how an attacker would get a victim's account into his own hands.
func otherLinkIsRefused(t *testing.T, b *browser.Browser, v *visitor) {
	stop := open(t, b, v.link, browser.Visit{})
	if stop.Page.Status < 400 || stop.Client || stop.Visited("/connect/callback") {
		t.Errorf("opening the link of %s ends with %d on the page %q: %s\nway: %q", v.person.Name, stop.Page.Status, stop.Page.Title, stop.Page.Text, stop.Way)
	}
	if result := call(t, v.client, "list_messages"); !result.IsError || result.ConnectURL() == "" {
		t.Errorf("list_messages of %s gives %q after that, want a connect link still", v.person.Name, result.Text())
	}
}

func refresh(t *testing.T, v *visitor) {
	old := v.client.Tokens
	v.secrets = append(v.secrets, old.AccessToken, old.RefreshToken)
	if err := v.client.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v.client.Tokens.RefreshToken == old.RefreshToken || v.client.Tokens.AccessToken == old.AccessToken {
		t.Error("refresh gives an old token again")
	}
	checkInbox(t, call(t, v.client, "list_messages").Text(), v.person, v.other)
}

func revoke(t *testing.T, v *visitor) {
	if err := v.client.Revoke(t.Context(), v.client.Tokens.RefreshToken); err != nil {
		t.Fatal(err)
	}
	_, err := v.client.Call(t.Context(), "whoami", nil, nil)
	var status *mcpclient.StatusError
	if !errors.As(err, &status) || status.Status != http.StatusUnauthorized || !strings.Contains(status.Challenge, `error="invalid_token"`) {
		t.Errorf("call with a revoked token: %v, want 401 with invalid_token", err)
	}
	var refused *mcpclient.OAuthError
	if err := v.client.Refresh(t.Context()); !errors.As(err, &refused) || refused.Status != http.StatusBadRequest || refused.Code != "invalid_grant" {
		t.Errorf("refresh with a revoked token: %v, want 400 invalid_grant", err)
	}
}

// TestDenied lets a person say no: the client hears of it and gets nothing.
func TestDenied(t *testing.T) {
	s := newServer(t)
	c := mcpclient.New(s.Endpoint, mcpclient.Modern)
	if err := c.Discover(t.Context()); err != nil {
		t.Fatalf("discovery: %v", err)
	}
	if err := c.Register(t.Context(), "unwanted", "http://127.0.0.1:49152/callback"); err != nil {
		t.Fatalf("registration: %v", err)
	}
	stop := open(t, newBrowser(t, s, alice), c.AuthorizeURL(), browser.Visit{Decision: "deny", Hold: true})
	var refused *mcpclient.OAuthError
	if err := c.Redeem(t.Context(), stop.URL); !errors.As(err, &refused) || refused.Code != "access_denied" {
		t.Errorf("client hears %v, want access_denied", err)
	}
}

// TestElicitation connects with a client that can show the person an address: it
// gets an input request and tries again in the modern era, and an error that
// names the address in the old one.
func TestElicitation(t *testing.T) {
	s := newServer(t)
	t.Run("2026-07-28", func(t *testing.T) {
		b := newBrowser(t, s, alice)
		c := logIn(t, s, b, mcpclient.Modern)
		c.Elicitation = true
		asked := call(t, c, "list_messages")
		if asked.Type != "input_required" || len(asked.InputRequests) != 1 {
			t.Fatalf("list_messages gives %+v, want one input request", asked)
		}
		responses := make(map[string]any)
		for key, request := range asked.InputRequests {
			if request.Method != "elicitation/create" || request.Params.Mode != "url" {
				t.Errorf("input request is %+v, want an elicitation of mode url", request)
			}
			connect(t, b, request.Params.URL)
			responses[key] = map[string]any{"action": "accept"}
		}
		result, err := c.Call(t.Context(), "list_messages", nil, map[string]any{"inputResponses": responses, "requestState": asked.RequestState})
		if err != nil {
			t.Fatal(err)
		}
		checkInbox(t, result.Text(), alice, bob)
	})
	t.Run("2025-11-25", func(t *testing.T) {
		b := newBrowser(t, s, bob)
		c := logIn(t, s, b, mcpclient.Legacy)
		c.Elicitation = true
		if err := c.Initialize(t.Context()); err != nil {
			t.Fatalf("opening a session: %v", err)
		}
		_, err := c.Call(t.Context(), "list_messages", nil, nil)
		var failure *mcpclient.RPCError
		if !errors.As(err, &failure) || failure.Code != -32042 {
			t.Fatalf("list_messages: %v, want the error -32042", err)
		}
		asked, err := failure.Elicitations()
		if err != nil || len(asked) != 1 {
			t.Fatalf("error data %s has the elicitations %v (%v), want one", failure.Data, asked, err)
		}
		connect(t, b, asked[0].URL)
		checkInbox(t, call(t, c, "list_messages").Text(), bob, alice)
	})
}

// TestRenewal calls with a grant that lives a second: the server renews it at the
// provider, and the person notices nothing.
func TestRenewal(t *testing.T) {
	s := harness.NewServer(t, "testdata", "E2E_TOKEN_LIFETIME=1s")
	b := newBrowser(t, s, alice)
	c := logIn(t, s, b, mcpclient.Modern)
	connect(t, b, call(t, c, "list_messages").ConnectURL())
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	// One request for tokens was for the code, the others renew.
	for strings.Count(s.Provider.Log(), `"uri":"/token"`) < 3 {
		checkInbox(t, call(t, c, "list_messages").Text(), alice, bob)
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the server did not renew the grant twice")
		}
	}
}

// TestDocuments reads the metadata wherever clients look for it.
func TestDocuments(t *testing.T) {
	s := newServer(t)
	c := mcpclient.New(s.Endpoint, mcpclient.Modern)
	if err := c.Discover(t.Context()); err != nil {
		t.Fatalf("discovery: %v", err)
	}
	resource, server, openID, err := mcpclient.Documents(s.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range resource {
		var got mcpclient.ResourceMetadata
		read(t, c, address, &got)
		if diff := cmp.Diff(c.Resource, got); diff != "" {
			t.Errorf("GET %s (-want +got):\n%s", address, diff)
		}
	}
	for _, address := range append(server, openID...) {
		var got mcpclient.ServerMetadata
		read(t, c, address, &got)
		if got.Issuer != c.Server.Issuer || got.TokenEndpoint != c.Server.TokenEndpoint {
			t.Errorf("GET %s is about %q, want %q", address, got.Issuer, c.Server.Issuer)
		}
		if u, err := url.Parse(address); err != nil || !strings.Contains(u.Path, "openid-configuration") {
			continue
		}
		if got.JWKSURI == "" || len(got.SubjectTypes) == 0 || len(got.SigningAlgs) == 0 {
			t.Errorf("GET %s gives %+v, which lacks what OpenID clients insist on", address, got)
		}
	}
}

func read(t *testing.T, c *mcpclient.Client, address string, v any) {
	t.Helper()
	if err := c.Read(t.Context(), address, v); err != nil {
		t.Error(err)
	}
}
