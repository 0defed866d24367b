package authserver_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// choiceEnv is a server where people log in at one of two identity providers, at
// a login's service, or by a password.
type choiceEnv struct {
	*env
	acme, other *idp
	hosted      *hosted
	clientID    string
}

// newChoiceEnv has the ways Acme and Other by OpenID Connect, Service by another
// service's page, and Password.
func newChoiceEnv(t *testing.T, change ...func(*authserver.Config, *authserver.OIDCConfig)) *choiceEnv {
	t.Helper()
	e := &choiceEnv{acme: newIDP(t), other: newIDP(t), hosted: &hosted{page: "https://login.example/page"}}
	e.env = newEnv(t, func(cfg *authserver.Config) {
		e.acme.clock, e.other.clock = &clock{t: cfg.Now()}, &clock{t: cfg.Now()}
		oidc := func(p *idp, callback string) authserver.Identity {
			config := authserver.OIDCConfig{Callback: callback, Issuer: p.URL, ClientID: idpClient, ClientSecret: idpSecret, Now: cfg.Now}
			for _, f := range change {
				f(cfg, &config)
			}
			o, err := authserver.NewOIDCIdentity(config)
			if err != nil {
				t.Fatal(err)
			}
			return o
		}
		of := func(issuer string) func(string, string) bool {
			return func(i, _ string) bool { return i == issuer }
		}
		choice, err := authserver.NewChoice([]authserver.Way{
			{Title: "Acme", Identity: oidc(e.acme, ""), Knows: of(e.acme.URL)},
			{Title: "Other", Identity: oidc(e.other, "other"), Knows: of(e.other.URL)},
			{Title: "Service", Identity: authserver.NewHostedIdentity(authserver.HostedConfig{Login: e.hosted, Title: "Service"}), Knows: of("https://idp.example")},
			{Title: "Password", Identity: authserver.NewPasswordIdentity(checkPassword), Knows: of("urn:test")},
		})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Identity, cfg.IdentityTitle = choice, choice.Title()
	})
	e.acme.clock, e.other.clock = e.clock, e.clock
	e.hosted.outcome = through(e.env, time.Hour)
	e.clientID = e.publicClient()
	return e
}

// choose goes from the client to the page with the ways, and returns its address
// and the links by title.
func (e *choiceEnv) choose(b *browser) (address string, ways map[string]string) {
	e.Helper()
	p := b.get(e.authorizeURL(e.clientID))
	if !strings.Contains(p.body, "You log in with <bdi>one of 4 kinds of accounts</bdi>") {
		e.Errorf("the consent page does not say by what one logs in:\n%s", p.body)
	}
	p = b.submit(p, "decision", "allow")
	return p.location, e.ways(b.get(p.location))
}

// ways are the links of the page.
func (e *choiceEnv) ways(p page) map[string]string {
	e.Helper()
	doc, err := html.Parse(strings.NewReader(p.body))
	if err != nil {
		e.Fatal(err)
	}
	ways := make(map[string]string)
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && n.Data == "bdi" && n.Parent.Data == "span" {
			ways[n.FirstChild.Data] = attr(n.Parent.Parent, "href")
		}
	}
	return ways
}

// end returns who logged in as the client learns it, or the error that it hears.
func (e *choiceEnv) end(p page) string {
	e.Helper()
	q := e.params(p)
	if q.Has("error") {
		return q.Get("error")
	}
	_, answer, _ := e.token(codeForm(e.clientID, q.Get("code")))
	token, _ := answer["access_token"].(string)
	access, err := e.server.Verify(e.Context(), token, e.base+testPath)
	if err != nil {
		e.Fatal(err)
	}
	return access.User.Issuer + " " + access.User.Subject
}

// back goes to an identity provider and returns the address of its answer.
func (e *choiceEnv) back(b *browser, way string) string {
	e.Helper()
	p := b.get(way)
	resp, err := http.DefaultTransport.RoundTrip(mustGet(e, p.location))
	if err != nil {
		e.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.Header.Get("Location")
}

func mustGet(e *choiceEnv, target string) *http.Request {
	e.Helper()
	req, err := http.NewRequestWithContext(e.Context(), http.MethodGet, target, nil)
	if err != nil {
		e.Fatal(err)
	}
	return req
}

func TestChoice(t *testing.T) {
	e := newChoiceEnv(t)
	for way, goes := range map[string]struct {
		by   func(b *browser, link string) page
		want string
	}{
		"Acme":  {func(b *browser, link string) page { return b.get(e.back(b, link)) }, e.acme.URL + " 42"},
		"Other": {func(b *browser, link string) page { return b.get(e.back(b, link)) }, e.other.URL + " 42"},
		"Service": {func(b *browser, link string) page {
			b.get(link)
			return b.get(link + "&wait=")
		}, "https://idp.example 42"},
		"Password": {func(b *browser, link string) page {
			wrong := b.submit(b.get(link), "username", "alice", "password", "wrong")
			return b.submit(wrong, "username", "alice", "password", passwordOf("alice"))
		}, "urn:test alice"},
	} {
		t.Run(way, func(t *testing.T) {
			b := e.newBrowser()
			_, ways := e.choose(b)
			if len(ways) != 4 || ways[way] == "" {
				t.Fatalf("the page offers %q", ways)
			}
			if got := e.end(goes.by(b, ways[way])); got != goes.want {
				t.Errorf("by %s one is %q, want %q", way, got, goes.want)
			}
			// Who is logged in sees by whom, and is not asked again.
			if p := b.get(e.authorizeURL(e.clientID)); !strings.Contains(p.body, "Logged in as") {
				t.Errorf("a second authorization does not know the browser:\n%s", p.body)
			}
		})
	}
}

// A way that names another one's people lets nobody in.
func TestChoiceOfAnothersPeople(t *testing.T) {
	e := newChoiceEnv(t)
	e.hosted.outcome = func(context.Context) (*authserver.HostedPerson, error) {
		return &authserver.HostedPerson{Issuer: "urn:test", Subject: "alice"}, nil
	}
	b := e.newBrowser()
	_, ways := e.choose(b)
	b.get(ways["Service"])
	if got := e.params(b.get(ways["Service"] + "&wait=")).Get("error"); got != fault {
		t.Errorf("client hears %q, want %q", got, fault)
	}
}

// What people do with tabs and the back button.
func TestChoiceChanged(t *testing.T) {
	e := newChoiceEnv(t)
	b := e.newBrowser()
	address, ways := e.choose(b)
	b.get(ways["Acme"])
	if got := e.ways(b.get(address)); len(got) != 4 {
		t.Fatalf("going back leads to %q, want all ways", got)
	}
	for _, title := range []string{"Password", "Service"} {
		if !strings.Contains(b.get(ways[title]).body, `<a href="`+strings.ReplaceAll(address, "&", "&amp;")+`">Log in another way</a>`) {
			t.Errorf("the page of %s has no way back", title)
		}
	}
	if got := e.end(b.get(e.back(b, ways["Other"]))); got != e.other.URL+" 42" {
		t.Errorf("after three others, Other is %q", got)
	}
	if p := b.submit(b.get(e.choosePage(b)), "decision", "deny"); e.params(p).Get("error") != "access_denied" || e.params(p).Get("state") == "" {
		t.Errorf("Cancel leads to %d %q, want access_denied for the client", p.status, p.location)
	}
}

// choosePage is the address of the page with the ways, for another login.
func (e *choiceEnv) choosePage(b *browser) string {
	e.Helper()
	p := b.submit(b.get(e.authorizeURL(e.clientID)), "decision", "switch")
	return p.location
}

// TestChoiceMixUp brings the answer of one identity provider where another one's
// is due (RFC 9700 section 4.4; security FED-07, FED-08): no code goes there, and nobody is
// logged in.
func TestChoiceMixUp(t *testing.T) {
	e := newChoiceEnv(t)
	for name, tc := range map[string]struct {
		prepare func(b *browser, ways map[string]string) string
		want    string
	}{
		"the answer of Acme after a choice of Other": {func(b *browser, ways map[string]string) string {
			answer := e.back(b, ways["Acme"])
			b.get(ways["Other"])
			return answer
		}, fault},
		"the same without iss": {func(b *browser, ways map[string]string) string {
			u := mustParse(t, e.back(b, ways["Acme"]))
			b.get(ways["Other"])
			q := u.Query()
			q.Del("iss")
			return u.Path + "?" + q.Encode()
		}, fault},
		"an answer to who chose a password": {func(b *browser, ways map[string]string) string {
			b.get(ways["Password"])
			return e.answerTo(ways)
		}, "invalid_request"},
		"an answer to who chose nothing": {func(_ *browser, ways map[string]string) string {
			return e.answerTo(ways)
		}, "invalid_request"},
		"an answer to the service's login": {func(b *browser, ways map[string]string) string {
			b.get(ways["Service"])
			return e.answerTo(ways)
		}, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			b := e.newBrowser()
			_, ways := e.choose(b)
			answer := tc.prepare(b, ways)
			before := e.acme.count("/token") + e.other.count("/token")
			p := b.get(answer)
			if got := e.params(p).Get("error"); got != tc.want {
				t.Errorf("client hears %q, want %q", got, tc.want)
			}
			if after := e.acme.count("/token") + e.other.count("/token"); after != before {
				t.Errorf("%d token requests came of it", after-before)
			}
			if p := b.get(e.authorizeURL(e.clientID)); strings.Contains(p.body, "Logged in as") {
				t.Error("somebody is logged in")
			}
		})
	}
}

// TestChoiceMixUpWithoutIss is what the redirect URIs are for: an identity provider
// that is chosen and sends people on to another one, whose answers do not say of
// whom they are, is not given the other's code (RFC 9700 section 4.4.2.2; security
// FED-08).
func TestChoiceMixUpWithoutIss(t *testing.T) {
	e := newChoiceEnv(t)
	for _, p := range []*idp{e.acme, e.other} {
		p.metadata = func(m map[string]any) { delete(m, "authorization_response_iss_parameter_supported") }
		p.answer = func(q url.Values) { q.Del("iss") }
	}
	for way, issuer := range map[string]string{"Acme": e.acme.URL, "Other": e.other.URL} {
		b := e.newBrowser()
		_, ways := e.choose(b)
		if got := e.end(b.get(e.back(b, ways[way]))); got != issuer+" 42" {
			t.Errorf("by %s one is %q, want 42 of %s", way, got, issuer)
		}
	}
	before := e.acme.count("/token") + e.other.count("/token")
	for name, chosen := range map[string][2]string{
		"Other sends people on to Acme": {"Acme", "Other"},
		"Acme sends people on to Other": {"Other", "Acme"},
	} {
		b := e.newBrowser()
		_, ways := e.choose(b)
		answer := e.back(b, ways[chosen[0]])
		b.get(ways[chosen[1]])
		if got := e.params(b.get(answer)).Get("error"); got != fault {
			t.Errorf("%s: client hears %q, want %q", name, got, fault)
		}
	}
	if after := e.acme.count("/token") + e.other.count("/token"); after != before {
		t.Errorf("%d codes were given away", after-before)
	}
}

// answerTo is an answer of Acme that nobody asked for, in the login of ways.
func (e *choiceEnv) answerTo(ways map[string]string) string {
	q := url.Values{"state": {mustParse(e, ways["Acme"]).Query().Get("state")}, "code": {"x"}, "iss": {e.acme.URL}}
	return testPath + "/login/callback?" + q.Encode()
}

// Security CONS-07, CONS-08, CONS-09.
func TestChoiceForged(t *testing.T) {
	e := newChoiceEnv(t)
	b := e.newBrowser()
	address, ways := e.choose(b)
	_, token := b.form(b.get(address))
	for name, p := range map[string]page{
		"of another site":      b.post(address, url.Values{"token": {token}, "decision": {"deny"}}, "Origin", "https://evil.example"),
		"without a token":      b.post(address, url.Values{"decision": {"deny"}}, "Origin", e.base),
		"with another's token": b.post(address, url.Values{"token": {otherToken(e)}, "decision": {"deny"}}, "Origin", e.base),
	} {
		if p.status != http.StatusForbidden || p.location != "" {
			t.Errorf("Cancel %s = %d %q, want 403", name, p.status, p.location)
		}
	}
	if p := e.newBrowser().get(ways["Password"]); p.status != http.StatusBadRequest {
		t.Errorf("a way in another browser = %d, want 400", p.status)
	}
	if got := e.ways(b.get(address + "&with=made-up")); len(got) != 4 {
		t.Errorf("a way that is none leads to %q, want all ways", got)
	}
}

func otherToken(e *choiceEnv) string {
	b := e.newBrowser()
	address, _ := e.choose(b)
	_, token := b.form(b.get(address))
	return token
}

// Tokens of each identity provider are good where that one's identity takes them.
func TestChoiceVerifiesTokens(t *testing.T) {
	e := newChoiceEnv(t, func(_ *authserver.Config, oidc *authserver.OIDCConfig) { acceptTokens(oidc) })
	for issuer, p := range map[string]*idp{"Acme": e.acme, "Other": e.other} {
		o := &oidcEnv{env: e.env, idp: p}
		access, err := e.server.Verify(t.Context(), o.bearer(nil, nil), e.base+testPath)
		if err != nil || access.User.Issuer != p.URL {
			t.Errorf("a token of %s: %+v, %v", issuer, access, err)
		}
	}
	stranger := &oidcEnv{env: e.env, idp: newIDP(t)}
	stranger.idp.clock = e.clock
	if _, err := e.server.Verify(t.Context(), stranger.bearer(nil, nil), e.base+testPath); err == nil {
		t.Error("a token of an identity provider that is no way to log in is good")
	}
}

// renewing is an identity whose renewals are told apart.
type renewing struct {
	authserver.Identity
	name string
}

func (r renewing) RenewTokens(context.Context, authserver.IdentityTokens) (authserver.IdentityTokens, error) {
	return authserver.IdentityTokens{Subject: r.name}, nil
}

func TestChoiceRenewsByTheIdentityOfThePerson(t *testing.T) {
	of := func(issuer string) func(string, string) bool {
		return func(i, _ string) bool { return i == issuer }
	}
	c, err := authserver.NewChoice([]authserver.Way{
		{Title: "none", Identity: authserver.NewPasswordIdentity(checkPassword), Knows: of("b")},
		{Title: "a", Identity: renewing{name: "by a"}, Knows: of("a")},
		{Title: "b", Identity: renewing{name: "by b"}, Knows: of("b")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for issuer, want := range map[string]string{"a": "by a", "b": "by b"} {
		if got, err := c.RenewTokens(t.Context(), authserver.IdentityTokens{Issuer: issuer}); err != nil || got.Subject != want {
			t.Errorf("tokens of %s are renewed %q, %v, want %q", issuer, got.Subject, err, want)
		}
	}
	if _, err := c.RenewTokens(t.Context(), authserver.IdentityTokens{Issuer: "gone"}); err == nil {
		t.Error("tokens of an identity that is gone are renewed")
	}
}

func TestChoiceTitles(t *testing.T) {
	way := func(title string) authserver.Way {
		return authserver.Way{Title: title, Identity: renewing{}, Knows: func(string, string) bool { return true }}
	}
	if _, err := authserver.NewChoice([]authserver.Way{way("Acme"), way("acme")}); err == nil || !strings.Contains(err.Error(), `"acme"`) {
		t.Errorf("two ways of one title = %v", err)
	}
	c, err := authserver.NewChoice([]authserver.Way{way("Acme"), way("GitHub")})
	if err != nil || c.Title() != "Acme or GitHub" {
		t.Errorf("title %q, %v", c.Title(), err)
	}
}
