package demo

import (
	"net/http"
	"net/url"
	"testing"
	"time"
)

func TestWholeFlow(t *testing.T) {
	e := newEnv(t)
	got := e.connect("alice@postbox.example")
	if got.TokenType != "Bearer" || got.ExpiresIn != 300 || got.Scope != scopeMessages || got.RefreshToken == "" {
		t.Errorf("token answer %+v", got)
	}
	if w := e.api("/api/messages", got.AccessToken); w.Code != http.StatusOK {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}

func TestClientAuthentication(t *testing.T) {
	basic := func(id, secret string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(id, secret) }
	}
	none := func(*http.Request) {}
	for name, c := range map[string]struct {
		edit   func(*http.Request)
		body   []string
		status int
		code   string
	}{
		"basic, form-encoded": {edit: basic("demo", "demo+secret%2B1"), status: http.StatusOK},
		"post":                {edit: none, body: []string{"client_id", "demo", "client_secret", "demo secret+1"}, status: http.StatusOK},
		"basic, wrong secret": {edit: basic("demo", "x"), status: http.StatusUnauthorized, code: "invalid_client"},
		"basic, wrong id":     {edit: basic("x", "demo+secret%2B1"), status: http.StatusUnauthorized, code: "invalid_client"},
		"basic, bad encoding": {edit: basic("demo", "%zz"), status: http.StatusUnauthorized, code: "invalid_client"},
		"post, wrong secret":  {edit: none, body: []string{"client_id", "demo", "client_secret", "x"}, status: http.StatusUnauthorized, code: "invalid_client"},
		"post, no secret":     {edit: none, body: []string{"client_id", "demo"}, status: http.StatusUnauthorized, code: "invalid_client"},
		"nothing":             {edit: none, status: http.StatusUnauthorized, code: "invalid_client"},
		"both ways": {
			edit: basic("demo", "demo+secret%2B1"), body: []string{"client_secret", "demo secret+1"},
			status: http.StatusBadRequest, code: "invalid_request",
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			w := e.post("/token", with(codeForm(e.allow("alice@postbox.example")), c.body...), c.edit)
			if c.code == "" {
				e.tokens(w)
				return
			}
			e.wantProblem(w, c.status, c.code)
			if c.status == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
				t.Error("no WWW-Authenticate")
			}
		})
	}
}

func TestEmptySecretFitsNobody(t *testing.T) {
	e := newEnv(t)
	e.provider = NewProvider(Options{ClientID: "demo"})
	e.wantProblem(e.post("/token", url.Values{"client_id": {"demo"}, "client_secret": {""}}), http.StatusUnauthorized, "invalid_client")
}

func TestTokenRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		param, value, want string
	}{
		"wrong verifier":     {"code_verifier", "b" + verifier[1:], "invalid_grant"},
		"no verifier":        {"code_verifier", "", "invalid_grant"},
		"other redirect URI": {"redirect_uri", callback + "/x", "invalid_grant"},
		"no redirect URI":    {"redirect_uri", "", "invalid_grant"},
		"made-up code":       {"code", "x", "invalid_grant"},
		"no grant type":      {"grant_type", "", "invalid_request"},
		"unknown grant type": {"grant_type", "password", "unsupported_grant_type"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			form := client(codeForm(e.allow("alice@postbox.example")))
			e.wantProblem(e.post("/token", with(form, c.param, c.value)), http.StatusBadRequest, c.want)
		})
	}
}

func TestParameterTwice(t *testing.T) {
	e := newEnv(t)
	form := client(codeForm(e.allow("alice@postbox.example")))
	form.Add("code", "x")
	e.wantProblem(e.post("/token", form), http.StatusBadRequest, "invalid_request")
}

func TestCodeTwice(t *testing.T) {
	e := newEnv(t)
	form := client(codeForm(e.allow("alice@postbox.example")))
	first := e.tokens(e.post("/token", form))
	e.wantProblem(e.post("/token", form), http.StatusBadRequest, "invalid_grant")
	e.wantProblem(e.api("/api/messages", first.AccessToken), http.StatusUnauthorized, "invalid_token")
	e.wantProblem(e.post("/token", client(refreshForm(first.RefreshToken))), http.StatusBadRequest, "invalid_grant")
}

func TestVerifierCannotBeGuessed(t *testing.T) {
	e := newEnv(t)
	form := client(codeForm(e.allow("alice@postbox.example")))
	e.wantProblem(e.post("/token", with(form, "code_verifier", "b"+verifier[1:])), http.StatusBadRequest, "invalid_grant")
	e.wantProblem(e.post("/token", with(form, "code_verifier", verifier)), http.StatusBadRequest, "invalid_grant")
}

func TestRefreshRotates(t *testing.T) {
	e := newEnv(t)
	first := e.connect("alice@postbox.example")
	second := e.tokens(e.post("/token", client(refreshForm(first.RefreshToken))))
	if second.RefreshToken == first.RefreshToken || second.AccessToken == first.AccessToken || second.Scope != first.Scope {
		t.Errorf("refresh gave %+v after %+v", second, first)
	}
	e.wantProblem(e.post("/token", client(refreshForm(first.RefreshToken))), http.StatusBadRequest, "invalid_grant")
	third := e.tokens(e.post("/token", client(refreshForm(second.RefreshToken))))
	if box := read[inbox](t, e.api("/api/messages", third.AccessToken)).Mailbox; box != "alice@postbox.example" {
		t.Errorf("mailbox %q", box)
	}
}

func TestRefreshScopes(t *testing.T) {
	e := newEnv(t)
	wide := e.connect("bob@postbox.example", "scope", scopeProfile+" "+scopeMessages)
	e.wantProblem(e.post("/token", client(with(refreshForm(wide.RefreshToken), "scope", "x"))), http.StatusBadRequest, "invalid_scope")
	narrow := e.tokens(e.post("/token", client(with(refreshForm(wide.RefreshToken), "scope", scopeProfile))))
	e.wantProblem(e.api("/api/messages", narrow.AccessToken), http.StatusForbidden, "insufficient_scope")
}

func TestExpiry(t *testing.T) {
	e := newEnv(t)
	late := client(codeForm(e.allow("alice@postbox.example")))
	got := e.connect("alice@postbox.example")

	e.now = e.now.Add(codeLifetime)
	e.wantProblem(e.post("/token", late), http.StatusBadRequest, "invalid_grant")

	e.now = e.now.Add(lifetime - codeLifetime - time.Second)
	if w := e.api("/api/messages", got.AccessToken); w.Code != http.StatusOK {
		t.Fatalf("status %d a second before the end: %s", w.Code, w.Body)
	}
	e.now = e.now.Add(time.Second)
	e.wantProblem(e.api("/api/messages", got.AccessToken), http.StatusUnauthorized, "invalid_token")
	got = e.tokens(e.post("/token", client(refreshForm(got.RefreshToken))))

	e.now = e.now.Add(refreshLifetime)
	e.wantProblem(e.post("/token", client(refreshForm(got.RefreshToken))), http.StatusBadRequest, "invalid_grant")
}

func TestRevoke(t *testing.T) {
	for name, c := range map[string]struct {
		token                  func(tokenAnswer) string
		accessEnds, grantsEnds bool
	}{
		"access token alone":     {func(a tokenAnswer) string { return a.AccessToken }, true, false},
		"refresh token with all": {func(a tokenAnswer) string { return a.RefreshToken }, true, true},
		"unknown token":          {func(tokenAnswer) string { return "x" }, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			got := e.connect("alice@postbox.example")
			if w := e.post("/revoke", client(url.Values{"token": {c.token(got)}})); w.Code != http.StatusOK {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			if ended := e.api("/api/messages", got.AccessToken).Code == http.StatusUnauthorized; ended != c.accessEnds {
				t.Errorf("access token ended: %v, want %v", ended, c.accessEnds)
			}
			if ended := e.post("/token", client(refreshForm(got.RefreshToken))).Code == http.StatusBadRequest; ended != c.grantsEnds {
				t.Errorf("refresh token ended: %v, want %v", ended, c.grantsEnds)
			}
		})
	}
}

func TestRevokeNeedsClientAndToken(t *testing.T) {
	e := newEnv(t)
	got := e.connect("alice@postbox.example")
	e.wantProblem(e.post("/revoke", url.Values{"token": {got.AccessToken}}), http.StatusUnauthorized, "invalid_client")
	e.wantProblem(e.post("/revoke", client(url.Values{})), http.StatusBadRequest, "invalid_request")
	if w := e.api("/api/messages", got.AccessToken); w.Code != http.StatusOK {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}

func TestTablesAreBounded(t *testing.T) {
	e := newEnv(t)
	first := e.connect("alice@postbox.example")
	for range maxRows + 10 {
		e.now = e.now.Add(time.Millisecond)
		last := e.connect("bob@postbox.example")
		if w := e.api("/api/profile", last.AccessToken); w.Code != http.StatusOK {
			t.Fatalf("newest token: status %d: %s", w.Code, w.Body)
		}
	}
	g := e.provider.grants
	if c, a, r := len(g.codes.rows), len(g.access.rows), len(g.refresh.rows); c != maxRows || a != maxRows || r != maxRows {
		t.Errorf("%d codes, %d access tokens, %d refresh tokens; want %d each", c, a, r, maxRows)
	}
	e.wantProblem(e.api("/api/messages", first.AccessToken), http.StatusUnauthorized, "invalid_token")
}
