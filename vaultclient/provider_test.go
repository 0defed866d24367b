package vaultclient

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPresets(t *testing.T) {
	if diff := cmp.Diff([]string{"github", "google", "slack"}, PresetNames()); diff != "" {
		t.Fatalf("presets (-want +got):\n%s", diff)
	}
	for _, name := range PresetNames() {
		p := Provider{Name: name, ClientID: "id", ClientSecret: NewSecret("s"), AuthorizeParams: map[string]string{"login_hint": "a"}}
		preset, ok := Preset(name)
		if !ok {
			t.Fatalf("no preset %s", name)
		}
		p.Merge(preset)
		if err := p.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if p.AuthorizeParams["login_hint"] != "a" || p.Title == "" {
			t.Errorf("%s: merging lost something: %+v", name, p)
		}
	}
	if _, ok := Preset("nobody"); ok {
		t.Error("there is a preset nobody")
	}
}

func TestMergeKeepsWhatIsSet(t *testing.T) {
	preset, _ := Preset("google")
	p := Provider{Title: "G", TokenURL: "https://g.example/token", APIHosts: []string{"g.example"}, AuthorizeParams: map[string]string{"prompt": "none"}}
	p.Merge(preset)
	got := []string{p.Title, p.TokenURL, p.APIHosts[0], p.AuthorizeParams["prompt"], p.AuthorizeParams["access_type"]}
	if diff := cmp.Diff([]string{"G", "https://g.example/token", "g.example", "none", "offline"}, got); diff != "" {
		t.Errorf("merged (-want +got):\n%s", diff)
	}
	if again, _ := Preset("google"); again.AuthorizeParams["prompt"] != "consent" {
		t.Error("merging changed the preset")
	}
}

func TestValidate(t *testing.T) {
	good := func() *Provider {
		return &Provider{
			ClientID: "id", ClientSecret: NewSecret("s"), AuthorizationURL: "https://p.example/a",
			TokenURL: "https://p.example/t", APIHosts: []string{"api.p.example"},
		}
	}
	for name, tc := range map[string]struct {
		change func(*Provider)
		want   string // beginning of the error; empty: none
	}{
		"good":                     {func(*Provider) {}, ""},
		"http on loopback":         {func(p *Provider) { p.TokenURL = "http://localhost:8001/t" }, ""},
		"host with port":           {func(p *Provider) { p.APIHosts = []string{"localhost:8001", "*.p.example"} }, ""},
		"public client":            {func(p *Provider) { p.ClientSecret, p.TokenAuth = Secret{}, "none" }, ""},
		"no client":                {func(p *Provider) { p.ClientID = "" }, "client_id is missing"},
		"no secret":                {func(p *Provider) { p.ClientSecret = Secret{} }, "client_secret is missing"},
		"unknown authentication":   {func(p *Provider) { p.TokenAuth = "tls" }, `token_auth "tls": want`},
		"no authorization URL":     {func(p *Provider) { p.AuthorizationURL = "" }, `authorization_url "": want`},
		"http on the internet":     {func(p *Provider) { p.TokenURL = "http://p.example/t" }, `token_url "http://p.example/t": want https`},
		"relative URL":             {func(p *Provider) { p.RevocationURL = "/revoke" }, `revocation_url "/revoke": want`},
		"client id in a URL":       {func(p *Provider) { p.Revocation, p.RevocationURL = "github", "https://p.example/{client_id}/grant" }, ""},
		"unknown revocation":       {func(p *Provider) { p.Revocation = "post" }, `revocation "post": want rfc7009, github or slack`},
		"user in a URL":            {func(p *Provider) { p.TokenURL = "https://a@p.example/t" }, "token_url"},
		"no API host":              {func(p *Provider) { p.APIHosts = nil }, "api_hosts is missing"},
		"any host":                 {func(p *Provider) { p.APIHosts = []string{"*"} }, `api_hosts "*": want`},
		"any host below a top one": {func(p *Provider) { p.APIHosts = []string{"*.com"} }, `api_hosts "*.com": want`},
		"URL for a host":           {func(p *Provider) { p.APIHosts = []string{"https://p.example"} }, "api_hosts"},
		"host beyond ASCII":        {func(p *Provider) { p.APIHosts = []string{"apİ.p.example"} }, "api_hosts"},
		"several":                  {func(p *Provider) { p.ClientID, p.TokenURL = "", "" }, "client_id is missing\ntoken_url"},
		"own parameter":            {func(p *Provider) { p.AuthorizeParams = map[string]string{"state": "x"} }, "authorize_param state"},
	} {
		t.Run(name, func(t *testing.T) {
			p := good()
			tc.change(p)
			err := p.Validate()
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tc.want)) {
				t.Errorf("Validate() = %v, want %q", err, tc.want)
			}
		})
	}
}

// Security PROV-02: the rules of which host may see a token.
func TestHostAllowed(t *testing.T) {
	patterns := []string{"api.p.example", "*.q.example", "localhost:8001", "r.example:8443", "[::1]:9", "api.kit.example"}
	for raw, want := range map[string]bool{
		"https://api.p.example/x":             true,
		"https://API.P.EXAMPLE/x":             true,
		"https://api.p.example:443/x":         true,
		"https://api.p.example./x":            true,
		"https://a.q.example/":                true,
		"https://a.b.q.example/":              true,
		"http://localhost:8001/":              true,
		"https://localhost:8001/":             true,
		"https://r.example:8443/":             true,
		"http://[::1]:9/":                     true,
		"http://api.p.example/x":              false,
		"https://api.p.example:8443/":         false,
		"https://p.example/":                  false,
		"https://xapi.p.example/":             false,
		"https://api.p.example.evil.example/": false,
		"https://api.p.example@evil.example/": false,
		"https://q.example/":                  false,
		"https://aq.example/":                 false,
		"https://r.example/":                  false,
		"http://localhost/":                   false,
		"http://localhost:8002/":              false,
		"http://127.0.0.1:8001/":              false,
		"ftp://api.p.example/":                false,
		"https:///x":                          false,
		"https://api.kit.example/":            true,
		"https://apİ.kit.example/":            false, // folds to i, resolves as another name
		"https://api.kİt.example/":            false,
		"https://api.Kit.example/":            false, // Kelvin
		"https:api.p.example/x":               false,
	} {
		t.Run(raw, func(t *testing.T) {
			u, err := url.Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			if got := hostAllowed(patterns, u); got != want {
				t.Errorf("hostAllowed(%q) = %v, want %v", raw, got, want)
			}
		})
	}
}

func TestScopes(t *testing.T) {
	google, _ := Preset("google")
	github, _ := Preset("github")
	google.Scopes = []string{"openid", "gmail.readonly"}
	const prefix = "https://www.googleapis.com/auth/"
	if diff := cmp.Diff([]string{"openid", prefix + "gmail.readonly", prefix + "drive"}, google.AllScopes([]string{"drive", prefix + "gmail.readonly"})); diff != "" {
		t.Errorf("AllScopes (-want +got):\n%s", diff)
	}
	for name, tc := range map[string]struct {
		p                     *Provider
		granted, needed, want []string
	}{
		"the same":              {&google, []string{prefix + "gmail.readonly"}, []string{"gmail.readonly"}, nil},
		"implied":               {&google, []string{prefix + "gmail.modify"}, []string{"gmail.readonly", "gmail.send"}, nil},
		"implied twice over":    {&google, []string{"https://mail.google.com/"}, []string{"gmail.metadata"}, nil},
		"not implied":           {&google, []string{prefix + "gmail.readonly"}, []string{"gmail.send"}, []string{prefix + "gmail.send"}},
		"email by its new name": {&google, []string{"openid", prefix + "userinfo.email"}, []string{"openid", "email"}, nil},
		"GitHub's repo":         {&github, []string{"repo"}, []string{"public_repo", "read:org"}, []string{"read:org"}},
		"nothing granted":       {&github, nil, []string{"repo"}, []string{"repo"}},
		"nothing needed":        {&github, nil, nil, nil},
		"no permission":         {&github, []string{"repo"}, []string{"repo", "offline_access"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.p.Missing(tc.granted, tc.needed)); diff != "" {
				t.Errorf("Missing (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAuthorizeURL(t *testing.T) {
	const verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM" // RFC 7636 appendix B
	for name, want := range map[string]map[string]string{
		"google": {"scope": "a b", "access_type": "offline", "prompt": "consent", "code_challenge": challenge, "code_challenge_method": "S256"},
		"github": {"scope": "a b", "code_challenge": challenge},
		// PKCE makes a Slack app a public client for good.
		"slack": {"user_scope": "a,b", "scope": "", "code_challenge": ""},
	} {
		p, _ := Preset(name)
		p.ClientID = "id"
		u, err := url.Parse(p.AuthorizeURL("https://m.example/mcp/connect/callback", "st", verifier, []string{"a", "b"}))
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		for param, value := range want {
			if q.Get(param) != value {
				t.Errorf("%s: %s = %q, want %q", name, param, q.Get(param), value)
			}
		}
		if q.Get("client_id") != "id" || q.Get("state") != "st" || q.Get("response_type") != "code" ||
			q.Get("redirect_uri") != "https://m.example/mcp/connect/callback" {
			t.Errorf("%s: %v", name, q)
		}
	}
	p := Provider{AuthorizationURL: "https://p.example/a?tenant=1", NoPKCE: true}
	if got := p.AuthorizeURL("r", "s", "v", nil); !strings.HasPrefix(got, "https://p.example/a?tenant=1&") || strings.Contains(got, "code_challenge") {
		t.Errorf("AuthorizeURL = %s", got)
	}
}

func TestReadTokens(t *testing.T) {
	slack, _ := Preset("slack")
	plain := Provider{}
	type result struct {
		Access, Refresh string
		Seconds         float64
		Scopes          []string
		Code            string
		Dead            bool
	}
	for name, tc := range map[string]struct {
		p           *Provider
		status      int
		contentType string
		body        string
		refresh     bool
		want        result
	}{
		"RFC 6749":             {&plain, 200, "application/json", `{"access_token":"a","refresh_token":"r","expires_in":3600,"scope":"x y"}`, false, result{"a", "r", 3600, []string{"x", "y"}, "", false}},
		"lifetime in a string": {&plain, 200, "application/json;charset=UTF-8", `{"access_token":"a","expires_in":"3600"}`, false, result{Access: "a", Seconds: 3600}},
		"odd lifetime":         {&plain, 200, "", `{"access_token":"a","expires_in":-1}`, false, result{Access: "a"}},
		"GitHub's commas":      {&plain, 200, "application/json", `{"access_token":"a","scope":"repo,gist"}`, false, result{Access: "a", Scopes: []string{"repo", "gist"}}},
		"empty scope":          {&plain, 200, "application/json", `{"access_token":"a","scope":""}`, false, result{Access: "a", Scopes: []string{}}},
		"a form":               {&plain, 200, "application/x-www-form-urlencoded", `access_token=a&scope=repo%2Cgist&expires_in=60`, false, result{Access: "a", Seconds: 60, Scopes: []string{"repo", "gist"}}},
		"Slack's user token":   {&slack, 200, "application/json", `{"ok":true,"authed_user":{"id":"U1","access_token":"xoxp","scope":"chat:write,users:read","refresh_token":"xoxe","expires_in":43200}}`, false, result{"xoxp", "xoxe", 43200, []string{"chat:write", "users:read"}, "", false}},
		"Slack's renewal":      {&slack, 200, "application/json", `{"ok":true,"access_token":"xoxe.xoxp","refresh_token":"xoxe-2","expires_in":43200}`, true, result{Access: "xoxe.xoxp", Refresh: "xoxe-2", Seconds: 43200}},
		"Slack's bot token":    {&slack, 200, "application/json", `{"ok":true,"access_token":"xoxb","token_type":"bot","authed_user":{"id":"U1"}}`, false, result{Code: "unavailable"}},
		"a path":               {&Provider{TokenField: "data.token"}, 200, "application/json", `{"data":{"token":{"access_token":"a"}}}`, false, result{Access: "a"}},
		"refused without JSON": {&plain, 401, "text/html", `<html>`, false, result{}},
		"refused":              {&plain, 400, "application/json", `{"error":"invalid_grant","error_description":"gone"}`, false, result{Code: "invalid_grant", Dead: true}},
		"operator's fault":     {&plain, 401, "application/json", `{"error":"invalid_client"}`, false, result{Code: "invalid_client"}},
		"GitHub's refusal":     {&plain, 200, "application/json", `{"error":"bad_refresh_token"}`, false, result{Code: "bad_refresh_token", Dead: true}},
		"GitHub's form":        {&plain, 200, "application/x-www-form-urlencoded", `error=bad_verification_code`, false, result{Code: "bad_verification_code"}},
		"Slack's refusal":      {&slack, 200, "application/json", `{"ok":false,"error":"token_revoked"}`, false, result{Code: "token_revoked", Dead: true}},
		"error as an object":   {&plain, 400, "application/json", `{"error":{"message":"x"}}`, false, result{Code: "error"}},
		"no token":             {&plain, 200, "application/json", `{}`, false, result{Code: "unavailable"}},
		"no JSON":              {&plain, 200, "text/html", `<html>`, false, result{Code: "unavailable"}},
		"an array":             {&plain, 200, "application/json", `[]`, false, result{Code: "unavailable"}},
		"wrong types":          {&plain, 200, "application/json", `{"access_token":1}`, false, result{Code: "unavailable"}},
		"Slack's odd user":     {&slack, 200, "application/json", `{"ok":true,"authed_user":"x"}`, false, result{Code: "unavailable"}},
	} {
		t.Run(name, func(t *testing.T) {
			tokens, err := tc.p.readTokens(tc.status, tc.contentType, []byte(tc.body), tc.refresh)
			got := resultOf(tokens, err)
			var g result
			g.Access, g.Refresh, g.Seconds, g.Scopes, g.Code, g.Dead = got.access, got.refresh, got.seconds, got.scopes, got.code, IsDead(err)
			if diff := cmp.Diff(tc.want, g); diff != "" {
				t.Errorf("readTokens(%s) = %v, %v (-want +got):\n%s", tc.body, tokens, err, diff)
			}
		})
	}
}

type tokenResult struct {
	access, refresh, code string
	seconds               float64
	scopes                []string
}

func resultOf(tokens *Tokens, err error) tokenResult {
	if err != nil {
		var refused *TokenError
		if ok := asTokenError(err, &refused); ok {
			return tokenResult{code: refused.Code}
		}
		return tokenResult{code: "unavailable"}
	}
	return tokenResult{
		access: tokens.AccessToken.Reveal(), refresh: tokens.RefreshToken.Reveal(),
		seconds: tokens.ExpiresIn.Seconds(), scopes: tokens.Scopes,
	}
}

// FuzzReadTokens: no answer makes it panic, and none gives tokens without an
// access token.
func FuzzReadTokens(f *testing.F) {
	f.Add(200, "application/json", `{"access_token":"a","expires_in":1e400}`, false)
	f.Add(200, "application/json", `{"ok":true,"access_token":"a","authed_user":{}}`, true)
	f.Add(200, "application/x-www-form-urlencoded", `access_token=a&expires_in=NaN`, false)
	f.Add(400, "text/html", `<`, false)
	slack, _ := Preset("slack")
	f.Fuzz(func(t *testing.T, status int, contentType, body string, refresh bool) {
		for _, p := range []*Provider{{}, &slack} {
			tokens, err := p.readTokens(status, contentType, []byte(body), refresh)
			if err == nil && (tokens.AccessToken.IsZero() || tokens.ExpiresIn < 0) {
				t.Errorf("readTokens(%q) = %+v", body, tokens)
			}
		}
	})
}

// A provider's text goes into the log with the error, and is as long as it likes.
func TestTokenErrorIsShort(t *testing.T) {
	long := strings.Repeat("x", 1<<16)
	_, err := new(Provider).readTokens(400, "application/json", []byte(`{"error":"`+long+`","error_description":"`+long+`"}`), false)
	if err == nil || len(err.Error()) > 1000 {
		t.Errorf("the error has %d bytes, want at most 1000", len(fmt.Sprint(err)))
	}
}

// A provider that repeats what it was sent does not make a secret of it known.
//
// Security LOG-01.
func TestTokenErrorHidesWhatWasSent(t *testing.T) {
	const code, verifier, secret, refresh = "the/code+", "the-verifier", "the secret", "the refresh token"
	for name, auth := range map[string]string{"in the form": "", "in the header": AuthBasic} {
		t.Run(name, func(t *testing.T) {
			p := &Provider{TokenURL: "http://localhost/token", ClientID: "id", ClientSecret: NewSecret(secret), TokenAuth: auth}
			echo := roundTripper(func(r *http.Request) (*http.Response, error) {
				if err := r.ParseForm(); err != nil {
					return nil, err
				}
				w := httptest.NewRecorder()
				w.WriteHeader(http.StatusBadRequest)
				if err := json.NewEncoder(w).Encode(map[string]string{
					"error": "invalid_grant", "error_description": fmt.Sprint("cannot use ", r.PostForm, r.PostForm.Encode(), r.Header),
				}); err != nil {
					return nil, err
				}
				return w.Result(), nil
			})
			_, exchange := p.Exchange(t.Context(), echo, code, "http://localhost/cb", verifier)
			_, renewal := p.Refresh(t.Context(), echo, NewSecret(refresh))
			for _, err := range []error{exchange, renewal} {
				if err == nil || !strings.Contains(err.Error(), "400 invalid_grant cannot use ") {
					t.Fatalf("error = %v, want the provider's words", err)
				}
				for _, sent := range []string{code, verifier, secret, refresh} {
					for _, form := range []string{sent, url.QueryEscape(sent), base64.StdEncoding.EncodeToString([]byte("id:" + url.QueryEscape(sent)))} {
						if strings.Contains(err.Error(), form) {
							t.Errorf("error holds %q: %v", form, err)
						}
					}
				}
			}
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestSecretShowsNothing(t *testing.T) {
	s := NewSecret("hush")
	j, err := json.Marshal(map[string]any{"s": s, "c": Credential{Token: s}, "t": Tokens{AccessToken: s}})
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{
		fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s, s), string(j),
		fmt.Sprintf("%+v %#v", Provider{ClientSecret: s}, Tokens{RefreshToken: s}), s.LogValue().String(),
		fmt.Sprintf("%+v %+v", &Credential{Token: s}, &Transport{Provider: &Provider{ClientSecret: s}}),
	} {
		if strings.Contains(out, "hush") {
			t.Errorf("a secret shows: %s", out)
		}
	}
}
