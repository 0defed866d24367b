package web

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const hostile = "<script>alert(1)</script>\" onmouseover=\"x\u202egpj.exe\u2066\u200b"

// loginURL is the page of a login elsewhere.
const loginURL = "https://login.acme.example/authorize?state=1&x=%22"

func newPages(t *testing.T) *Pages {
	t.Helper()
	pages, err := New(Site{Name: "Acme Tools", Path: "/mcp"})
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return pages
}

func record(show func(w http.ResponseWriter, r *http.Request)) *http.Response {
	w := httptest.NewRecorder()
	show(w, httptest.NewRequest(http.MethodGet, "/mcp/x", nil))
	return w.Result()
}

func form(action string, targets ...string) Form {
	return Form{Action: "/mcp/" + action, Token: "sealed-token", Targets: targets}
}

// states are all states that pages have, each with the page it makes.
func states(p *Pages) map[string]func(http.ResponseWriter, *http.Request) {
	type answer = func(http.ResponseWriter, *http.Request)
	consent := func(c Consent) answer {
		c.Form = form("consent", "https:")
		return func(w http.ResponseWriter, r *http.Request) { p.Consent(w, r, c) }
	}
	device := func(status int, d Device) answer {
		d.Form = form("device")
		return func(w http.ResponseWriter, r *http.Request) { p.Device(w, r, status, d) }
	}
	choice := func(c Choice) answer {
		c.Form = form("login?state=1", "https://claude.ai")
		for i := range c.Ways {
			c.Ways[i].URL = "/mcp/login?state=1&with=0"
		}
		return func(w http.ResponseWriter, r *http.Request) { p.Choice(w, r, c) }
	}
	login := func(status int, l Login) answer {
		l.Form = form("login?id=1", "https://claude.ai")
		return func(w http.ResponseWriter, r *http.Request) { p.Login(w, r, status, l) }
	}
	wait := func(wt Wait) answer {
		wt.LoginURL, wt.Next = loginURL, "/mcp/login?state=1&wait="
		return func(w http.ResponseWriter, r *http.Request) { p.Wait(w, r, wt) }
	}
	connect := func(c Connect) answer {
		c.Form = form("connect", "https:")
		return func(w http.ResponseWriter, r *http.Request) { p.Connect(w, r, c) }
	}
	account := func(a Account) answer {
		a.Form = form("account")
		return func(w http.ResponseWriter, r *http.Request) { p.Account(w, r, a) }
	}
	message := func(m Message) answer {
		return func(w http.ResponseWriter, r *http.Request) { p.Message(w, r, m) }
	}
	permissions := []string{"Use the tools of Acme Tools in your name", "Stay connected until you or the app ends it"}
	since := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	again := form("connect")
	return map[string]answer{
		"consent_loopback_login_follows": consent(Consent{ClientName: "Claude Code", RedirectHost: "localhost", ThisComputer: true, LoginTitle: "GitHub", Permissions: permissions}),
		"consent_host_logged_in":         consent(Consent{ClientName: "Claude", RedirectHost: "claude.ai", UserName: "Alice Example (alice@example.com)", Permissions: permissions}),
		"consent_private_scheme":         consent(Consent{ClientName: "Cursor", RedirectHost: "cursor:", PrivateScheme: true, LoginTitle: "your password"}),
		"consent_verified":               consent(Consent{ClientName: "Claude", RedirectHost: "claude.ai", Verified: true, LoginTitle: "Google", Permissions: permissions}),
		"consent_verified_host":          consent(Consent{ClientName: "Claude", ClientHost: "claude.ai", RedirectHost: "claude.ai", Verified: true, LoginTitle: "Google", Permissions: permissions}),
		"consent_hostile":                consent(Consent{ClientName: hostile, RedirectHost: "clаude.ai", LoginTitle: hostile, Permissions: []string{hostile}}),
		"consent_long_words":             consent(Consent{ClientName: strings.Repeat("W", 300), RedirectHost: strings.Repeat("claude-ai-", 6) + "login.evil.example:8443", UserName: strings.Repeat("alice.", 20) + "@example.com"}),
		"consent_device":                 consent(Consent{ClientName: "Backup job", UserCode: "BCDF-GHJK", LoginTitle: "Acme", Permissions: permissions}),
		"device_empty":                   device(http.StatusOK, Device{}),
		"device_code":                    device(http.StatusOK, Device{Code: "BCDF-GHJK"}),
		"device_wrong":                   device(http.StatusUnprocessableEntity, Device{Error: "No device waits with that code."}),
		"device_hostile":                 device(http.StatusUnprocessableEntity, Device{Code: hostile, Error: hostile}),
		"choice_for_a_client":            choice(Choice{ClientName: "Claude Code", Ways: []Way{{Title: "Acme"}, {Title: "GitHub"}, {Title: "your account on this server"}}}),
		"choice_own_pages":               choice(Choice{Ways: []Way{{Title: "Acme"}, {Title: "GitHub"}}}),
		"choice_hostile":                 choice(Choice{ClientName: hostile, Ways: []Way{{Title: hostile}, {Title: strings.Repeat("W", 300)}}}),
		"login_another_way":              login(http.StatusOK, Login{ClientName: "Claude Code", OtherWays: "/mcp/login?state=1"}),
		"wait_another_way":               wait(Wait{ClientName: "Claude Code", LoginTitle: "Acme", OtherWays: "/mcp/login?state=1"}),
		"login_for_a_client":             login(http.StatusOK, Login{ClientName: "Claude Code"}),
		"login_own_pages":                login(http.StatusOK, Login{}),
		"login_failed":                   login(http.StatusUnprocessableEntity, Login{ClientName: "Claude Code", UserName: "alice", Error: "The user name or the password is wrong."}),
		"login_hostile":                  login(http.StatusUnprocessableEntity, Login{ClientName: hostile, UserName: hostile, Error: hostile}),
		"wait_for_a_client":              wait(Wait{ClientName: "Claude Code", LoginTitle: "Acme"}),
		"wait_own_pages":                 wait(Wait{LoginTitle: "Acme"}),
		"wait_hostile":                   wait(Wait{ClientName: hostile, LoginTitle: hostile}),
		"connect_first":                  connect(Connect{ProviderTitle: "GitHub", ProviderHost: "github.com", UserName: "Alice Example (alice@example.com)", Scopes: []string{"repo", "read:user"}}),
		"connect_missing_scopes":         connect(Connect{ProviderTitle: "GitHub", ProviderHost: "github.com", UserName: "Alice", Scopes: []string{"repo", "read:user"}, Missing: []string{"read:user"}, Connected: true}),
		"connect_again":                  connect(Connect{ProviderTitle: "Stripe", ProviderHost: "connect.stripe.com", UserName: "Alice", Connected: true}),
		"account_empty":                  account(Account{UserName: "alice"}),
		"account_connections": account(Account{UserName: "Alice Example", Email: "alice@example.com", Connections: []Connection{
			{Provider: "github", Label: "work", Title: "GitHub", Account: "alice-at-work", Scopes: []string{"repo", "read:user"}, Since: since, ID: "1", Agents: 2, AgentsID: "1 agents"},
			{Provider: "google", Title: "Google", Account: "alice@gmail.example", Since: since, Dead: true},
			{Provider: "sl ack&x", Title: "Slack"},
		}}),
		"account_hostile": account(Account{UserName: hostile, Connections: []Connection{{Provider: "a", Label: hostile, Title: hostile, Account: hostile, Scopes: []string{hostile}, Since: since}}}),
		"message_error":   message(Message{Status: http.StatusBadRequest, Title: "This did not work", Text: []string{"Redirect_uri is not one that the app registered.", "Go back to the app that sent you here and start again."}}),
		"message_success": message(Message{Title: "GitHub is connected", OK: true, Text: []string{"You can close this window and go back to your app."}}),
		"message_form":    message(Message{Status: http.StatusForbidden, Title: "This link is for somebody else", Text: []string{"You are logged in as Bob."}, Form: &again, Label: "Use another account"}),
		"message_hostile": message(Message{Status: http.StatusBadRequest, Title: hostile, Text: []string{hostile, ""}}),
	}
}
