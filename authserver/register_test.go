package authserver_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// Security REG-01 to REG-04, REG-12, REG-14 to REG-16, REG-20.
func TestRegister(t *testing.T) {
	e := newEnv(t)
	for name, tc := range map[string]struct {
		body string
		want map[string]string // member to what fmt.Sprint makes of it; "-" absent
	}{
		"public native client": {
			`{"client_name":"A","redirect_uris":["http://localhost:1/cb"],"token_endpoint_auth_method":"none","grant_types":["authorization_code","refresh_token"]}`,
			map[string]string{
				"client_name": "A", "redirect_uris": "[http://localhost:1/cb]", "token_endpoint_auth_method": "none",
				"client_secret": "-", "client_secret_expires_at": "-", "grant_types": "[authorization_code refresh_token]", "scope": "mcp",
			},
		},
		"no method means a secret": {
			`{"redirect_uris":["https://a.example/cb"]}`,
			map[string]string{"token_endpoint_auth_method": "client_secret_basic", "client_secret_expires_at": "0", "response_types": "[code]"},
		},
		"method post": {
			`{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"client_secret_post"}`,
			map[string]string{"token_endpoint_auth_method": "client_secret_post", "client_secret_expires_at": "0"},
		},
		"own id and secret are not taken": {
			`{"redirect_uris":["https://a.example/cb"],"client_id":"mine","client_secret":"mine"}`,
			map[string]string{},
		},
		"foreign grants are replaced": {
			`{"redirect_uris":["https://a.example/cb"],"grant_types":["authorization_code","implicit","password"],"response_types":["code","token"]}`,
			map[string]string{"grant_types": "[authorization_code]", "response_types": "[code]"},
		},
		"unknown members and scopes are left out": {
			`{"redirect_uris":["cursor://x.y/cb"],"application_type":"native","software_id":"x","scope":"admin openid mcp","client_uri":"javascript:alert(1)"}`,
			map[string]string{"scope": "mcp", "client_uri": "-", "software_id": "-"},
		},
		"odd name": {
			`{"redirect_uris":["https://a.example/cb"],"client_name":" \u0000<script>\u001b[31m\n` + strings.Repeat("x", 300) + `"}`,
			map[string]string{"client_name": "<script>[31m" + strings.Repeat("x", 188)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			status, answer := e.register(tc.body)
			if status != http.StatusCreated {
				t.Fatalf("register = %d %v", status, answer)
			}
			if id := answer["client_id"].(string); len(id) < 16 || id == "mine" || answer["client_secret"] == "mine" {
				t.Errorf("client_id = %q, client_secret = %v", id, answer["client_secret"])
			}
			for member, want := range tc.want {
				got, there := answer[member]
				if want == "-" && there || want != "-" && fmt.Sprint(got) != want {
					t.Errorf("%s = %v, want %s", member, got, want)
				}
			}
		})
	}
}

// Security REG-05 to REG-07, REG-09 to REG-11, REG-17.
func TestRegisterRefuses(t *testing.T) {
	e := newEnv(t)
	for name, tc := range map[string]struct {
		body, want string
		status     int
	}{
		"no redirect URI":          {`{"client_name":"x"}`, "invalid_redirect_uri", 400},
		"empty list":               {`{"redirect_uris":[]}`, "invalid_redirect_uri", 400},
		"one bad among good":       {`{"redirect_uris":["https://a.example/cb","javascript:alert(1)"]}`, "invalid_redirect_uri", 400},
		"too many":                 {`{"redirect_uris":["https://a.example/cb"` + strings.Repeat(`,"https://a.example/cb"`, 40) + `]}`, "invalid_redirect_uri", 400},
		"redirect URI is a number": {`{"redirect_uris":[1]}`, "invalid_client_metadata", 400},
		"redirect URIs no list":    {`{"redirect_uris":"https://a.example/cb"}`, "invalid_client_metadata", 400},
		"no JSON":                  {`redirect_uris=x`, "invalid_client_metadata", 400},
		"empty body":               {``, "invalid_client_metadata", 400},
		"an array":                 {`[]`, "invalid_client_metadata", 400},
		"null":                     {`null`, "invalid_redirect_uri", 400},
		"trailing bytes":           {`{"redirect_uris":["https://a.example/cb"]}x`, "invalid_client_metadata", 400},
		"not UTF-8":                {"{\"redirect_uris\":[\"https://a.example/cb\"],\"client_name\":\"\xff\"}", "invalid_client_metadata", 400},
		"unknown method":           {`{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"private_key_jwt"}`, "invalid_client_metadata", 400},
		"no code grant":            {`{"redirect_uris":["https://a.example/cb"],"grant_types":["client_credentials"]}`, "invalid_client_metadata", 400},
		"no code response":         {`{"redirect_uris":["https://a.example/cb"],"response_types":["token"]}`, "invalid_client_metadata", 400},
		"too long":                 {`{"redirect_uris":["https://a.example/cb"],"x":"` + strings.Repeat("x", 70_000) + `"}`, "invalid_client_metadata", 413},
	} {
		t.Run(name, func(t *testing.T) {
			status, answer := e.register(tc.body)
			if status != tc.status || answer["error"] != tc.want {
				t.Errorf("register = %d %v, want %d %s", status, answer, tc.status, tc.want)
			}
		})
	}
	if p := e.newBrowser().post(testPath+"/register", nil); p.status != http.StatusUnsupportedMediaType {
		t.Errorf("a form = %d, want 415", p.status)
	}
	if p := e.newBrowser().get(testPath + "/register"); p.status != 405 || p.header.Get("Allow") != "POST, OPTIONS" {
		t.Errorf("GET = %d, Allow %q, want 405", p.status, p.header.Get("Allow"))
	}
}

// Security ABUSE-01, REG-13.
func TestRegisterIsLimitedByAddress(t *testing.T) {
	addr := "192.0.2.1"
	e := newEnv(t, func(c *authserver.Config) {
		c.Registration = authserver.Registration{Rate: 5, Window: time.Minute}
		c.ClientAddr = func(*http.Request) string { return addr }
	})
	seen := map[string]bool{}
	for range 5 {
		seen[e.publicClient()] = true
	}
	if len(seen) != 5 {
		t.Errorf("%d different ids of 5", len(seen))
	}
	limited := func() bool {
		p := e.newBrowser().postJSON(testPath+"/register", `{"redirect_uris":["https://a.example/cb"]}`)
		return p.status == http.StatusTooManyRequests && p.header.Get("Retry-After") != ""
	}
	if !limited() {
		t.Error("the 6th registration was not refused with 429 and Retry-After")
	}
	addr = "2001:db8::1"
	for i := range 5 {
		addr = fmt.Sprintf("2001:db8::%d", i+1)
		e.publicClient()
	}
	if addr = "2001:db8::ffff"; !limited() {
		t.Error("another address of the same /64 was not refused")
	}
	if addr = "2001:db8:0:1::1"; limited() {
		t.Error("an address of another /64 was refused")
	}
	addr = "192.0.2.1"
	e.clock.advance(time.Minute)
	if limited() {
		t.Error("still refused after the window")
	}
}

// Security ABUSE-03: room is made by removing what was never used.
func TestRegisterIsLimitedInCount(t *testing.T) {
	e := newEnv(t, func(c *authserver.Config) { c.Registration = authserver.Registration{Rate: 1000, MaxClients: 3} })
	used := e.publicClient()
	_, refresh := e.login(used, "alice")
	e.publicClient()
	e.publicClient()
	status, answer := e.register(`{"redirect_uris":["https://a.example/cb"]}`)
	if status != http.StatusServiceUnavailable || answer["error"] != "temporarily_unavailable" {
		t.Fatalf("the 4th client = %d %v, want 503", status, answer)
	}
	e.clock.advance(25 * time.Hour)
	e.publicClient()
	e.publicClient()
	if status, answer, _ := e.token(refreshForm(used, refresh)); status != http.StatusOK {
		t.Errorf("a client with a living grant was removed: %d %v", status, answer)
	}
}

func TestRegistrationOff(t *testing.T) {
	e := newEnv(t, func(c *authserver.Config) { c.Registration.Off = true })
	if status, _ := e.register(`{"redirect_uris":["https://a.example/cb"]}`); status != http.StatusForbidden {
		t.Errorf("register = %d, want 403", status)
	}
	if p := e.newBrowser().get("/.well-known/oauth-authorization-server" + testPath); strings.Contains(p.body, "registration_endpoint") {
		t.Errorf("metadata announces registration: %s", p.body)
	}
}
