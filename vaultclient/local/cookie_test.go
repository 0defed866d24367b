package local_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/local"
)

// start posts alice's connect form straight to a vault and returns the cookies
// that it sets.
func start(t *testing.T, v *local.Vault, cookies ...*http.Cookie) []*http.Cookie {
	t.Helper()
	send := func(r *http.Request) *httptest.ResponseRecorder {
		r.AddCookie(&http.Cookie{Name: "user", Value: "alice"})
		for _, c := range cookies {
			r.AddCookie(c)
		}
		w := httptest.NewRecorder()
		v.ServeConnect(w, r)
		return w
	}
	shown := page{body: send(httptest.NewRequest(http.MethodGet, "/mcp/connect?provider=p", nil)).Body.String()}
	token, _ := shown.member("Form", "Token").(string)
	form := url.Values{"token": {token}, "decision": {"allow"}}
	r := httptest.NewRequest(http.MethodPost, "/mcp/connect", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := send(r)
	if w.Code != http.StatusSeeOther || w.Header().Get("Cache-Control") != "no-store" {
		t.Fatalf("POST connect = %d %v %s, want 303 and no-store", w.Code, w.Header(), w.Body)
	}
	return w.Result().Cookies()
}

// Security CONS-11.
func TestAttemptCookie(t *testing.T) {
	for endpoint, secure := range map[string]bool{"https://m.example/mcp": true, "http://localhost:8000/mcp": false} {
		e := newEnv(t)
		e.cfg.Endpoint = func(*http.Request) string { return endpoint }
		set := start(t, e.newVault(e.store))
		if len(set) != 1 {
			t.Fatalf("%s: cookies %v, want one", endpoint, set)
		}
		c := set[0]
		if c.Secure != secure || strings.HasPrefix(c.Name, "__Secure-") != secure || !c.HttpOnly ||
			c.SameSite != http.SameSiteLaxMode || c.Path != "/mcp" || c.MaxAge != 600 {
			t.Errorf("%s: cookie %v", endpoint, c)
		}
		if strings.Contains(c.Value, "alice") {
			t.Errorf("%s: the cookie can be read: %s", endpoint, c.Value)
		}
	}
}

func TestAtMostFiveAttempts(t *testing.T) {
	e := newEnv(t)
	var open []*http.Cookie
	for range 5 {
		open = append(open, start(t, e.vault, open...)...)
	}
	set := start(t, e.vault, open...)
	if len(open) != 5 || len(set) != 2 || set[0].Name != open[0].Name || set[0].MaxAge != -1 || set[1].MaxAge != 600 {
		t.Errorf("after %d connections under way, one more sets %v; want the first one removed", len(open), set)
	}
}
