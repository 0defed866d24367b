package demo

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestPage(t *testing.T) {
	w := newEnv(t).show(authorizeForm("state", `"><script>`))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	for _, want := range []string{
		`<html lang="en">`, `name="mailbox" value="alice@postbox.example"`, `name="mailbox" value="bob@postbox.example"`,
		`name="decision" value="allow"`, `name="decision" value="deny"`, "read your messages", "<strong>localhost:8000</strong>",
		`name="state" value="&#34;&gt;&lt;script&gt;"`,
	} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("page lacks %s:\n%s", want, w.Body)
		}
	}
	if strings.Contains(w.Body.String(), "<script") {
		t.Errorf("page holds a script:\n%s", w.Body)
	}
	want := "default-src 'none'; style-src 'self'; form-action 'self' http://localhost:8000; base-uri 'none'; frame-ancestors 'none'"
	if got := w.Header().Get("Content-Security-Policy"); got != want {
		t.Errorf("policy %q, want %q", got, want)
	}
}

func TestDenial(t *testing.T) {
	e := newEnv(t)
	back := e.sentBack(e.post("/authorize", authorizeForm("decision", "deny")))
	if back.Get("error") != "access_denied" || back.Get("state") != "s t&te" || back.Has("code") {
		t.Errorf("brought back %v", back)
	}
}

// Both the page and the answer to it check the request.
func TestAuthorizeSendsErrorsBack(t *testing.T) {
	for name, c := range map[string]struct {
		param, value, want string
	}{
		"other response type":  {"response_type", "token", "unsupported_response_type"},
		"no response type":     {"response_type", "", "unsupported_response_type"},
		"no challenge":         {"code_challenge", "", "invalid_request"},
		"short challenge":      {"code_challenge", "abc", "invalid_request"},
		"plain challenge":      {"code_challenge_method", "plain", "invalid_request"},
		"no challenge method":  {"code_challenge_method", "", "invalid_request"},
		"scope nobody knows":   {"scope", "messages.write", "invalid_scope"},
		"one scope of unknown": {"scope", scopeMessages + " x", "invalid_scope"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			form := authorizeForm(c.param, c.value)
			for way, w := range map[string]url.Values{
				"page":   e.sentBack(e.show(form)),
				"answer": e.sentBack(e.post("/authorize", with(form, "decision", "allow", "mailbox", "alice@postbox.example"))),
			} {
				if w.Get("error") != c.want || w.Get("state") != "s t&te" || w.Has("code") {
					t.Errorf("%s brought back %v, want %s", way, w, c.want)
				}
			}
		})
	}
}

func TestAuthorizeSendsNothingBack(t *testing.T) {
	for name, form := range map[string]url.Values{
		"unknown client":         authorizeForm("client_id", "other"),
		"no redirect URI":        authorizeForm("redirect_uri", ""),
		"redirect URI elsewhere": authorizeForm("redirect_uri", "http://evil.example/"),
		"parameter twice":        {"client_id": {"demo", "demo"}, "redirect_uri": {callback}},
		"no decision":            authorizeForm("mailbox", "alice@postbox.example"),
		"no mailbox":             authorizeForm("decision", "allow"),
		"unknown mailbox":        authorizeForm("decision", "allow", "mailbox", "carol@postbox.example"),
	} {
		t.Run(name, func(t *testing.T) {
			w := newEnv(t).post("/authorize", form)
			if w.Code != http.StatusBadRequest || w.Header().Get("Location") != "" {
				t.Errorf("status %d to %q, want a page", w.Code, w.Header().Get("Location"))
			}
		})
	}
}

func TestAnswerFromAnotherSite(t *testing.T) {
	for name, edit := range map[string]func(*http.Request){
		"by fetch metadata": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
		"by origin":         func(r *http.Request) { r.Header.Set("Origin", "http://localhost:8000") },
		"by opaque origin":  func(r *http.Request) { r.Header.Set("Origin", "null") },
	} {
		t.Run(name, func(t *testing.T) {
			form := authorizeForm("decision", "allow", "mailbox", "alice@postbox.example")
			if w := newEnv(t).post("/authorize", form, edit); w.Code != http.StatusForbidden {
				t.Errorf("status %d, want 403", w.Code)
			}
		})
	}
}

func TestAnswerFromOwnPage(t *testing.T) {
	e := newEnv(t)
	form := authorizeForm("decision", "allow", "mailbox", "alice@postbox.example")
	back := e.sentBack(e.post("/authorize", form, func(r *http.Request) { r.Header.Set("Origin", "http://localhost:8001") }))
	if !back.Has("code") || back.Get("state") != "s t&te" {
		t.Errorf("brought back %v", back)
	}
}
