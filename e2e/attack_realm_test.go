package e2e

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// neighbours are the endpoints that nothing of /mcp is good at.
var neighbours = map[string]string{"of the same realm": "/same", "of another realm": "/other"}

// TestAttackTokensOfANeighbour: what one endpoint gave a client is no good at
// another, and is not spent there.
//
// Security RS-10, ISO-05.
func TestAttackTokensOfANeighbour(t *testing.T) {
	a := newTarget(t)
	for name, path := range neighbours {
		t.Run(name, func(t *testing.T) {
			a := *a
			a.T = t
			other := logIn(t, a.at(path), newBrowser(t, a.Server, alice), mcpclient.Modern)

			own := mcpclient.New(a.Endpoint, mcpclient.Modern)
			if err := own.Discover(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := own.Register(t.Context(), "neighbour", "http://127.0.0.1:49152/callback"); err != nil {
				t.Fatal(err)
			}
			stop := open(t, newBrowser(t, a.Server, alice), own.AuthorizeURL(), browser.Visit{Hold: true})
			elsewhere := func() []*mcpclient.Client {
				asked, named := *own, *own
				asked.Server.TokenEndpoint, named.Server.TokenEndpoint = other.Server.TokenEndpoint, other.Server.TokenEndpoint
				named.Resource = other.Resource
				return []*mcpclient.Client{&asked, &named}
			}
			var refused *mcpclient.OAuthError
			for _, c := range elsewhere() {
				if err := c.Redeem(t.Context(), stop.URL); !errors.As(err, &refused) {
					t.Errorf("the code for %s = %v, want a refusal", c.Resource.Resource, err)
				}
			}
			if err := own.Redeem(t.Context(), stop.URL); err != nil {
				t.Fatalf("the code at its own endpoint after that: %v", err)
			}
			for _, c := range elsewhere() {
				if err := c.Refresh(t.Context()); !errors.As(err, &refused) {
					t.Errorf("the refresh token for %s = %v, want a refusal", c.Resource.Resource, err)
				}
			}
			if err := own.Refresh(t.Context()); err != nil {
				t.Fatalf("the refresh token at its own endpoint after that: %v", err)
			}
			for _, c := range []struct{ token, path string }{{own.Tokens.AccessToken, path}, {other.Tokens.AccessToken, "/mcp"}} {
				r := a.send("POST", c.path, strings.NewReader(whoami), "Authorization", "Bearer "+c.token, "Content-Type", jsonType)
				if r.status != 401 || !strings.Contains(r.header.Get("Www-Authenticate"), `error="invalid_token"`) {
					t.Errorf("an access token at %s = %d %s, want 401 with invalid_token", c.path, r.status, r.body)
				}
			}
			a.alive(own.Tokens.AccessToken)

			const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`
			session := a.post(own.Tokens.AccessToken, initialize).header.Get("Mcp-Session-Id")
			if r := a.post(own.Tokens.AccessToken, whoami, "Mcp-Session-Id", session); session == "" || r.status != 200 {
				t.Errorf("session %q at its own endpoint = %d %s", session, r.status, r.body)
			}
			r := a.send("POST", path, strings.NewReader(whoami), "Authorization", "Bearer "+other.Tokens.AccessToken, "Content-Type", jsonType, "Mcp-Session-Id", session)
			if r.status != 404 {
				t.Errorf("a session at %s = %d %s, want 404", path, r.status, r.body)
			}
		})
	}
}

// TestAttackLinksOfANeighbour: a connect link is good at its own endpoint, and a
// connected account in its own realm.
//
// Security RS-10, ISO-05, VAULT-03.
func TestAttackLinksOfANeighbour(t *testing.T) {
	a := newTarget(t)
	b := newBrowser(t, a.Server, alice)
	own := logIn(t, a.Server, b, mcpclient.Modern)
	link := call(t, own, "list_messages").ConnectURL()
	others := make(map[string]*mcpclient.Client)
	for name, path := range neighbours {
		others[path] = logIn(t, a.at(path), b, mcpclient.Modern)
		moved := strings.Replace(link, "/mcp/connect?", path+"/connect?", 1)
		if moved == link {
			t.Fatalf("connect link %s is of another form", link)
		}
		if stop := open(t, b, moved, browser.Visit{}); stop.Page.Status < 400 || stop.Visited("/connect/callback") {
			t.Errorf("a link at the endpoint %s ends with %d on %q", name, stop.Page.Status, stop.Page.Title)
		}
	}
	connect(t, b, link)
	checkInbox(t, call(t, own, "list_messages").Text(), alice, bob)
	if shared := call(t, others["/same"], "list_messages"); shared.IsError {
		t.Errorf("list_messages in the same realm = %s, want the account that was connected", shared.Text())
	}
	if apart := call(t, others["/other"], "list_messages"); !apart.IsError || apart.ConnectURL() == "" {
		t.Errorf("list_messages in another realm = %s, want a connect link", apart.Text())
	}
}

var (
	formAction = regexp.MustCompile(`<form[^>]* action="([^"]+)"`)
	formToken  = regexp.MustCompile(`name="token" value="([^"]+)"`)
)

// raider is a browser that sends its cookies wherever it is told to.
type raider struct {
	*target
	cookies map[string]string
}

func (b *raider) visit(method, address string, form url.Values, as func(name string) string) reply {
	b.Helper()
	var list []string
	for name, value := range b.cookies {
		list = append(list, as(name)+"="+value)
	}
	header := []string{"Cookie", strings.Join(list, "; "), "Origin", "http://" + b.host}
	if method == "POST" {
		header = append(header, "Content-Type", "application/x-www-form-urlencoded")
	}
	r := b.send(method, address, strings.NewReader(form.Encode()), header...)
	for _, line := range r.header.Values("Set-Cookie") {
		name, value, _ := strings.Cut(line, "=")
		value, attributes, _ := strings.Cut(value, ";")
		if !strings.Contains(attributes, "Path="+b.pathOf(address)+";") || !strings.Contains(attributes, "HttpOnly") || !strings.Contains(attributes, "SameSite=Lax") {
			b.Errorf("cookie %s has%s, want the endpoint's path, HttpOnly and SameSite=Lax", name, attributes)
		}
		b.cookies[name] = value
	}
	return r
}

// pathOf returns the path of the endpoint that an address belongs to.
func (b *raider) pathOf(address string) string {
	address = strings.TrimPrefix(address, "http://"+b.host)
	return "/" + strings.Split(strings.SplitN(address, "?", 2)[0], "/")[1]
}

func asIs(name string) string { return name }

// submit posts the form of a page, at another endpoint if to names one.
func (b *raider) submit(page reply, to string, as func(string) string, fields url.Values) reply {
	b.Helper()
	action, token := formAction.FindStringSubmatch(page.body), formToken.FindStringSubmatch(page.body)
	if action == nil || token == nil {
		b.Fatalf("no form in %d %s", page.status, page.body)
	}
	fields.Set("token", token[1])
	return b.visit("POST", strings.Replace(strings.ReplaceAll(action[1], "&amp;", "&"), "/mcp/", to+"/", 1), fields, as)
}

// TestAttackFormsOfANeighbour: forms and cookies of one endpoint, sent to
// another under its own names, count for nothing there.
//
// Security RS-10, ISO-05, CONS-07, CONS-11.
func TestAttackFormsOfANeighbour(t *testing.T) {
	a := newTarget(t)
	for name, path := range neighbours {
		t.Run(name, func(t *testing.T) {
			a := *a
			a.T = t
			own, other := mcpclient.New(a.Endpoint, mcpclient.Modern), mcpclient.New(a.at(path).Endpoint, mcpclient.Modern)
			for _, c := range []*mcpclient.Client{own, other} {
				if err := errors.Join(c.Discover(t.Context()), c.Register(t.Context(), "forms", "http://127.0.0.1:49152/callback")); err != nil {
					t.Fatal(err)
				}
			}
			there := &raider{&a, map[string]string{}}
			there.visit("GET", other.AuthorizeURL(), nil, asIs)
			b := &raider{&a, map[string]string{}}
			consent := b.visit("GET", own.AuthorizeURL(), nil, asIs)
			if len(b.cookies) != 1 || len(there.cookies) != 1 {
				t.Fatalf("cookies %v and %v, want one each", b.cookies, there.cookies)
			}
			renamed := renaming(b.cookies, there.cookies)

			if r := b.submit(consent, path, renamed, url.Values{"decision": {"allow"}}); r.status < 400 || r.header.Get("Location") != "" {
				t.Errorf("the consent form at %s = %d %q, want 4xx", path, r.status, r.header.Get("Location"))
			}
			login := b.visit("GET", b.submit(consent, "/mcp", asIs, url.Values{"decision": {"allow"}}).header.Get("Location"), nil, asIs)
			person := url.Values{"username": {alice.Name}, "password": {alice.Password}}
			if r := b.submit(login, path, renamed, person); r.status < 400 || r.header.Get("Location") != "" {
				t.Errorf("the login form at %s = %d %q, want 4xx", path, r.status, r.header.Get("Location"))
			}
			if r := b.submit(login, "/mcp", asIs, person); !strings.Contains(r.header.Get("Location"), "code=") {
				t.Fatalf("the login form at its own endpoint = %d %s", r.status, r.body)
			}
			if r := b.visit("GET", "/mcp/account", nil, asIs); !strings.Contains(r.body, "alice@example.com") {
				t.Errorf("the account page at its own endpoint = %d, without the person", r.status)
			}
			// In one realm people are the same. There the path of the cookie,
			// which visit checks, keeps browsers from sending it.
			if path == "/other" {
				if r := b.visit("GET", path+"/account", nil, renamed); strings.Contains(r.body, "alice@example.com") || r.status == 200 {
					t.Errorf("the account page of another realm = %d %s", r.status, r.body)
				}
			}
		})
	}
}

// renaming names cookies as another endpoint names its own.
func renaming(own, other map[string]string) func(string) string {
	base := func(cookies map[string]string) string {
		for name := range cookies {
			return strings.TrimSuffix(name, "_b")
		}
		return ""
	}
	from, to := base(own), base(other)
	return func(name string) string { return to + strings.TrimPrefix(name, from) }
}
