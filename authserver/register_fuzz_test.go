package authserver_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzRegister sends any body to the registration endpoint. It answers with the
// client, whose metadata can be registered again as they are and whose redirect
// URIs are those that were sent, or with a code of RFC 7591.
//
// Security REG-01 to REG-03, REG-06, REG-07, REG-09, REG-22.
func FuzzRegister(f *testing.F) {
	e := fuzzEnv(f)
	for _, body := range registrationSeeds {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		answer, text, _ := e.handle(t, http.MethodPost, "/register", "", body, "Content-Type", "application/json")
		if answer.StatusCode != http.StatusCreated {
			checkError(t, answer, text, "invalid_redirect_uri", "invalid_client_metadata")
			return
		}
		client := checkJSON(t, answer, text)
		checkRegistered(t, body, client)
		again, repeated, _ := e.handle(t, http.MethodPost, "/register", "", text, "Content-Type", "application/json")
		if again.StatusCode != http.StatusCreated {
			t.Fatalf("registering what was answered = %d %s\n%s", again.StatusCode, repeated, text)
		}
		second := checkJSON(t, again, repeated)
		if second["client_id"] == client["client_id"] {
			t.Error("a client chose its id")
		}
		for _, own := range []string{"client_id", "client_secret", "client_id_issued_at"} {
			delete(client, own)
			delete(second, own)
		}
		if diff := cmp.Diff(client, second); diff != "" {
			t.Errorf("registering what was answered (-first +second):\n%s", diff)
		}
	})
}

var registrationSeeds = []string{
	"", "{}", "[]", "null", `""`, "{", `{"redirect_uris":null}`, `{"redirect_uris":[]}`, `{"redirect_uris":[""]}`, `{"redirect_uris":"` + callback + `"}`,
	`{"redirect_uris":["` + callback + `"]}`,
	`{"redirect_uris":["` + callback + `"],"token_endpoint_auth_method":"none","client_name":"x\u0000\u202ey","client_uri":"javascript:x"}`,
	`{"redirect_uris":["` + callback + `","https://a.example/cb?x=1"],"token_endpoint_auth_method":"client_secret_post","grant_types":["authorization_code"]}`,
	`{"redirect_uris":["` + callback + `"],"redirect_uris":["https://a.example"]}`, `{"REDIRECT_URIS":["` + callback + `"]}`,
	`{"redirect_uris":["` + callback + `"],"client_id":"mine","client_secret":"mine","scope":"mcp admin"}`,
	`{"redirect_uris":["` + callback + `"],"client_name":"` + strings.Repeat("ü", 300) + `"}`,
	`{"redirect_uris":["cursor://anysphere.cursor-mcp/oauth/callback","com.example.app:/cb","x:y"]}`,
	`{"redirect_uris":["javascript:alert(1)"]}`, `{"redirect_uris":["JavaScript://x/%0aalert(1)"]}`, `{"redirect_uris":["https://a.example/#x"]}`,
	`{"redirect_uris":["https://u:p@a.example/"]}`, `{"redirect_uris":["https://*.a.example/"]}`, `{"redirect_uris":["http://a.example/"]}`,
	`{"redirect_uris":["http://[::1]:1/cb"]}`, `{"redirect_uris":["http://localhost:/cb"]}`, `{"redirect_uris":["https:a.example"]}`, `{"redirect_uris":["//a.example/"]}`,
	`{"redirect_uris":["https://a.example/\ud800"]}`, "{\"redirect_uris\":[\"https://a.example/\xff\"]}", strings.Repeat("[", 1000),
	`{"redirect_uris":["` + callback + `"],"grant_types":["implicit"],"response_types":["token"]}`, `{"redirect_uris":["` + callback + `"],"jwks":1e999}`,
}

// checkRegistered compares what was registered with what was sent.
func checkRegistered(t *testing.T, body string, client map[string]any) {
	t.Helper()
	var sent struct {
		RedirectURIs []any `json:"redirect_uris"`
	}
	if err := json.Unmarshal([]byte(body), &sent); err != nil {
		t.Fatalf("registered what is no object: %v", err)
	}
	if diff := cmp.Diff(any(sent.RedirectURIs), client["redirect_uris"]); diff != "" || len(sent.RedirectURIs) == 0 {
		t.Errorf("redirect_uris (-sent +answered):\n%s", diff)
	}
	for _, raw := range sent.RedirectURIs {
		u, err := url.Parse(raw.(string))
		switch {
		case err != nil || u.Scheme == "" || u.Fragment != "" || u.User != nil || strings.ContainsAny(raw.(string), "*#<>\"\\ "):
			t.Errorf("registered %q (%v)", raw, err)
		case u.Scheme == "http" && !slices.Contains([]string{"127.0.0.1", "::1", "localhost"}, strings.ToLower(u.Hostname())):
			t.Errorf("registered %q, which goes over the network in the clear", raw)
		case u.Scheme == "https" && u.Hostname() == "", slices.Contains([]string{"javascript", "data", "file", "blob", "vbscript", "about"}, u.Scheme):
			t.Errorf("registered %q", raw)
		}
	}
	method := client["token_endpoint_auth_method"]
	secret, _ := client["client_secret"].(string)
	if id, _ := client["client_id"].(string); len(id) < 22 || (method == "none") != (secret == "") || secret != "" && len(secret) < 43 {
		t.Errorf("client %q with the method %v has a secret of %d bytes", id, method, len(secret))
	}
	if _, ok := client["client_secret_expires_at"]; ok != (secret != "") {
		t.Errorf("client_secret_expires_at is there: %v", ok)
	}
}
