package altervault_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"go.uber.org/zap/zaptest/observer"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/altervault"
)

// A provider that the app does not have is found when the vault first refuses it;
// the log then says once what the operator can do.
func TestUnknownProvider(t *testing.T) {
	const catalogue = "/sdk/oauth/provider-catalog"
	for name, test := range map[string]struct {
		provider string
		status   int
		code     string
		asked    int
		logged   string // what the line says is similar; "-" for no line
	}{
		"unknown":        {"gihtub", 422, "unknown_provider", 1, "github"},
		"unlike any":     {"zzz", 422, "unknown_provider", 1, ""},
		"known":          {"github", 422, "unknown_provider", 1, "-"},
		"the key":        {"gihtub", 401, "invalid_key", 0, "-"},
		"a vault away":   {"gihtub", 503, "maintenance", 0, "-"},
		"a limit":        {"gihtub", 429, "quota_exceeded", 0, "-"},
		"a known policy": {"google", 409, "managed_oauth_scope_approval_required", 1, "-"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, func(c *altervault.Config) {
				c.Providers[test.provider] = &vaultclient.Provider{Name: test.provider, Title: "X", APIHosts: c.Providers["google"].APIHosts}
			})
			body, err := json.Marshal(map[string]string{"error": test.code})
			if err != nil {
				t.Fatal(err)
			}
			e.fake.AddFault(altertest.Fault{Path: "/sdk/token", Times: -1, Status: test.status, Body: body})
			for range 2 {
				if _, _, err := e.send(t.Context(), "ok", e.use(func(u *altervault.Use) { u.Provider = test.provider })); err == nil {
					t.Fatal("the call worked")
				}
			}
			if n := e.fake.Count(catalogue); n != test.asked {
				t.Errorf("the catalogue was asked for %d times, want %d", n, test.asked)
			}
			line := func(entry observer.LoggedEntry) bool { _, ok := entry.ContextMap()["similar"]; return ok }
			lines := slices.DeleteFunc(e.log.All(), func(entry observer.LoggedEntry) bool { return !line(entry) })
			if test.logged == "-" {
				if len(lines) != 0 {
					t.Errorf("the log says %v", lines)
				}
				return
			}
			if len(lines) != 1 {
				t.Fatalf("the log says %v, want one line", lines)
			}
			similar, ok := lines[0].ContextMap()["similar"].([]any)
			if got := append(similar, "")[0]; !ok || got != test.logged {
				t.Errorf("similar is %v, want %q", similar, test.logged)
			}
		})
	}
}

// When a person connects it is found, too.
func TestUnknownProviderWhenConnecting(t *testing.T) {
	e := newEnv(t)
	link := e.link()
	e.fake.AddFault(altertest.Fault{Path: "/sdk/oauth/connect/session", Times: -1, Status: 404, Body: json.RawMessage(`{"error":"provider_not_found"}`)})
	e.fake.AddFault(altertest.Fault{Path: "/sdk/oauth/provider-catalog", Status: 403, Body: json.RawMessage(`{"error":"insufficient_scope"}`)})
	b := e.browser("alice")
	form := b.do(http.MethodGet, link, nil).Connect.Form
	end := b.do(http.MethodPost, e.base+"/mcp/connect", url.Values{"token": {form.Token}, "decision": {"allow"}})
	if end.status != http.StatusServiceUnavailable {
		t.Errorf("the way ends with %d %+v, want 503", end.status, end.Message)
	}
	if lines := e.log.FilterMessageSnippet("caddy alter-mcp providers lists them").All(); len(lines) != 1 || lines[0].ContextMap()["provider"] != "google" {
		t.Errorf("the log says %v, want what lists the providers", e.log.All())
	}
}
