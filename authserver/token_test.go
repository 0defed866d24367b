package authserver_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// newCode returns a fresh code for a person.
func (e *env) newCode(clientID, name string, change ...string) string {
	e.Helper()
	return e.params(e.newBrowser().approve(e.authorizeURL(clientID, change...), name)).Get("code")
}

// Security TOK-01, TOK-02, TOK-16, TOK-17.
func TestTokenAnswer(t *testing.T) {
	e := newEnv(t)
	id := e.publicClient()
	status, answer, header := e.token(codeForm(id, e.newCode(id, "alice")))
	if status != http.StatusOK {
		t.Fatalf("token = %d %v", status, answer)
	}
	if header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(header.Get("Content-Type"), "application/json") {
		t.Errorf("headers = %v", header)
	}
	access, refresh := answer["access_token"].(string), answer["refresh_token"].(string)
	delete(answer, "access_token")
	delete(answer, "refresh_token")
	want := map[string]any{"token_type": "Bearer", "expires_in": 3600.0, "scope": "mcp"}
	if diff := cmp.Diff(want, answer); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
	if len(refresh) < 43 {
		t.Errorf("refresh token %q is short", refresh)
	}
	head, claims := decodeJWT(t, access)
	if head["typ"] != "at+jwt" || head["alg"] != "ES256" || head["kid"] == "" {
		t.Errorf("header = %v", head)
	}
	for name, want := range map[string]any{"iss": e.base + testPath, "aud": e.base + testPath, "client_id": id, "scope": "mcp"} {
		if claims[name] != want {
			t.Errorf("claim %s = %v, want %v", name, claims[name], want)
		}
	}
	for _, name := range []string{"sub", "exp", "iat", "jti"} {
		if claims[name] == nil {
			t.Errorf("claim %s is missing", name)
		}
	}
	if strings.Contains(access, "alice") || claims["sub"] == "alice" || claims["email"] != nil {
		t.Errorf("the token tells who it is: %v", claims)
	}
}

func decodeJWT(t *testing.T, token string) (head, claims map[string]any) {
	t.Helper()
	parts := strings.Split(token, ".")
	for i, dst := range []*map[string]any{&head, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, dst); err != nil {
			t.Fatal(err)
		}
	}
	return head, claims
}

// Security TOK-03 to TOK-10, TOK-12 to TOK-15, TOK-18, CODE-03 to CODE-08,
// CODE-10, CODE-13, REF-10, REF-11: none of these spoils the code.
func TestTokenRefuses(t *testing.T) {
	e := newEnv(t)
	id, other := e.publicClient(), e.publicClient()
	code := e.newCode(id, "alice")
	changed := func(pairs ...string) url.Values {
		form := codeForm(id, code)
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i+1] == "-" {
				form.Del(pairs[i])
			} else {
				form[pairs[i]] = append([]string(nil), strings.Split(pairs[i+1], "|")...)
			}
		}
		return form
	}
	for name, tc := range map[string]struct {
		form   url.Values
		status int
		want   string
	}{
		"no grant type":            {changed("grant_type", "-"), 400, "invalid_request"},
		"unknown grant type":       {changed("grant_type", "password"), 400, "unsupported_grant_type"},
		"implicit":                 {changed("grant_type", "implicit"), 400, "unsupported_grant_type"},
		"grant type twice":         {changed("grant_type", "authorization_code|authorization_code"), 400, "invalid_request"},
		"code twice":               {changed("code", code+"|"+code), 400, "invalid_request"},
		"no code":                  {changed("code", "-"), 400, "invalid_request"},
		"made-up code":             {changed("code", strings.Repeat("x", 43)), 400, "invalid_grant"},
		"no client":                {changed("client_id", "-"), 401, "invalid_client"},
		"unknown client":           {changed("client_id", "nobody"), 401, "invalid_client"},
		"another client":           {changed("client_id", other), 400, "invalid_grant"},
		"a secret of a public one": {changed("client_secret", "s"), 401, "invalid_client"},
		"other redirect URI":       {changed("redirect_uri", "http://127.0.0.1:1/callback"), 400, "invalid_grant"},
		"no verifier":              {changed("code_verifier", "-"), 400, "invalid_request"},
		"wrong verifier":           {changed("code_verifier", strings.Repeat("a", 43)), 400, "invalid_grant"},
		"the challenge itself":     {changed("code_verifier", challenge), 400, "invalid_grant"},
		"foreign resource":         {changed("resource", "https://other.example"), 400, "invalid_target"},
		"one foreign resource":     {changed("resource", e.base+testPath+"|https://other.example"), 400, "invalid_target"},
		"code as refresh token":    {refreshForm(id, code), 400, "invalid_grant"},
		"garbage as refresh token": {refreshForm(id, "amr_AAAA"), 400, "invalid_grant"},
		"no refresh token":         {refreshForm(id, ""), 400, "invalid_request"},
		"odd characters":           {changed("code", "\"\\\x00ü"), 400, "invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			status, answer, header := e.token(tc.form)
			if status != tc.status || answer["error"] != tc.want {
				t.Errorf("token = %d %v, want %d %s", status, answer, tc.status, tc.want)
			}
			if header.Get("Cache-Control") != "no-store" || strings.ContainsAny(answer["error_description"].(string), "\"\\ü") {
				t.Errorf("Cache-Control %q, description %q", header.Get("Cache-Control"), answer["error_description"])
			}
		})
	}
	if p := e.newBrowser().post(testPath+"/token?code="+code, codeForm(id, code)); p.status != 400 {
		t.Errorf("parameters in the query = %d, want 400", p.status)
	}
	if p := e.newBrowser().postJSON(testPath+"/token", `{"grant_type":"authorization_code"}`); p.status != 400 {
		t.Errorf("JSON = %d, want 400", p.status)
	}
	if p := e.newBrowser().get(testPath + "/token"); p.status != 405 || p.header.Get("Allow") == "" {
		t.Errorf("GET = %d, want 405 with Allow", p.status)
	}
	big := url.Values{"x": {strings.Repeat("x", 4<<20)}}
	if p := e.newBrowser().post(testPath+"/token", big); p.status != http.StatusRequestEntityTooLarge {
		t.Errorf("4 MiB = %d, want 413", p.status)
	}
	status, answer, _ := e.token(codeForm(id, code), "Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	if status != http.StatusOK {
		t.Errorf("the good request after all = %d %v", status, answer)
	}
}

// Security CODE-09.
func TestVerifiersOfAllLengths(t *testing.T) {
	e := newEnv(t)
	id := e.publicClient()
	for name, v := range map[string]string{
		"43 characters":  strings.Repeat("a", 43),
		"128 characters": strings.Repeat("Z", 128),
		"the four marks": "-._~" + strings.Repeat("0", 40),
	} {
		t.Run(name, func(t *testing.T) {
			form := codeForm(id, e.newCode(id, "alice", "code_challenge", challengeOf(v)))
			form.Set("code_verifier", v)
			if status, answer, _ := e.token(form); status != http.StatusOK {
				t.Errorf("token = %d %v", status, answer)
			}
		})
	}
}

// Security CODE-01, CODE-02.
func TestCodeReplayEndsWhatItGave(t *testing.T) {
	e := newEnv(t)
	id := e.publicClient()
	form := codeForm(id, e.newCode(id, "alice"))
	_, answer, _ := e.token(form)
	access, refresh := answer["access_token"].(string), answer["refresh_token"].(string)
	if _, err := e.verify(access); err != nil {
		t.Fatal(err)
	}
	if status, answer, _ := e.token(form); status != 400 || answer["error"] != "invalid_grant" {
		t.Errorf("replay = %d %v, want invalid_grant", status, answer)
	}
	if _, err := e.verify(access); !errors.Is(err, authserver.ErrInvalidToken) {
		t.Errorf("access token after the replay: %v, want ErrInvalidToken", err)
	}
	if status, _, _ := e.token(refreshForm(id, refresh)); status != 400 {
		t.Errorf("refresh after the replay = %d, want 400", status)
	}
}

// Security CODE-11.
func TestCodeRedeemedByManyAtOnce(t *testing.T) {
	e := newEnv(t)
	id := e.publicClient()
	form := codeForm(id, e.newCode(id, "alice"))
	var wg sync.WaitGroup
	statuses := make([]int, 20)
	for i := range statuses {
		wg.Go(func() { statuses[i], _, _ = e.token(form) })
	}
	wg.Wait()
	count := map[int]int{}
	for _, s := range statuses {
		count[s]++
	}
	if diff := cmp.Diff(map[int]int{200: 1, 400: 19}, count); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
}

// Security CODE-14.
func TestCodeExpires(t *testing.T) {
	e := newEnv(t)
	id := e.publicClient()
	code := e.newCode(id, "alice")
	e.clock.advance(61 * time.Second)
	if status, answer, _ := e.token(codeForm(id, code)); status != 400 || answer["error"] != "invalid_grant" {
		t.Errorf("after 61 s = %d %v, want invalid_grant", status, answer)
	}
}

// Security TOK-11, and the ways in which real clients authenticate.
func TestClientAuthentication(t *testing.T) {
	e := newEnv(t)
	public := e.publicClient()
	_, answer := e.register(`{"redirect_uris":["` + callback + `"]}`)
	id, secret := answer["client_id"].(string), answer["client_secret"].(string)
	basic := func(user, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(user)+":"+url.QueryEscape(password)))
	}
	for name, tc := range map[string]struct {
		client, secret, header string
		status                 int
	}{
		"basic":                              {"", "", basic(id, secret), 200},
		"basic and client_id":                {id, "", basic(id, secret), 200},
		"post":                               {id, secret, "", 200},
		"public by basic, no password":       {"", "", basic(public, ""), 200},
		"public with a bearer header beside": {public, "", "Bearer x", 200},
		"wrong secret by basic":              {"", "", basic(id, "wrong"), 401},
		"wrong secret by post":               {id, "wrong", "", 401},
		"no secret":                          {id, "", "", 401},
		"unknown client by basic":            {"", "", basic("nobody", "x"), 401},
		"two clients":                        {public, "", basic(id, secret), 400},
		"two secrets":                        {id, secret, basic(id, secret), 400},
		"malformed basic":                    {id, "", "Basic ???", 400},
	} {
		t.Run(name, func(t *testing.T) {
			owner := id
			if strings.Contains(name, "public") {
				owner = public
			}
			form := codeForm(tc.client, e.newCode(owner, "alice"))
			if tc.client == "" {
				form.Del("client_id")
			}
			if tc.secret != "" {
				form.Set("client_secret", tc.secret)
			}
			var header []string
			if tc.header != "" {
				header = []string{"Authorization", tc.header}
			}
			status, answer, h := e.token(form, header...)
			if status != tc.status {
				t.Errorf("token = %d %v, want %d", status, answer, tc.status)
			}
			challenged := strings.HasPrefix(h.Get("WWW-Authenticate"), "Basic ")
			if want := status == 401 && tc.header != ""; challenged != want {
				t.Errorf("WWW-Authenticate = %q", h.Get("WWW-Authenticate"))
			}
		})
	}
}

// Libraries try one way to authenticate after the other with the same code.
func TestFailedAuthenticationLeavesTheCodeGood(t *testing.T) {
	e := newEnv(t)
	_, answer := e.register(`{"redirect_uris":["` + callback + `"]}`)
	id, secret := answer["client_id"].(string), answer["client_secret"].(string)
	form := codeForm(id, e.newCode(id, "alice"))
	if status, _, _ := e.token(form); status != 401 {
		t.Fatalf("without the secret = %d, want 401", status)
	}
	form.Set("client_secret", secret)
	if status, answer, _ := e.token(form); status != 200 {
		t.Errorf("with the secret = %d %v", status, answer)
	}
}

func TestClientWithoutRefreshGrantGetsNone(t *testing.T) {
	e := newEnv(t)
	_, answer := e.register(`{"redirect_uris":["` + callback + `"],"token_endpoint_auth_method":"none","grant_types":["authorization_code"]}`)
	id := answer["client_id"].(string)
	_, tokens, _ := e.token(codeForm(id, e.newCode(id, "alice")))
	if tokens["refresh_token"] != nil {
		t.Errorf("answer = %v, want no refresh token", tokens)
	}
	e.clock.advance(59 * time.Minute)
	if _, err := e.verify(tokens["access_token"].(string)); err != nil {
		t.Errorf("after 59 minutes: %v", err)
	}
}
