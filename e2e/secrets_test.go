package e2e

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/leak"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// exposed are the kinds of secrets that an access log without the filter of
// Caddyfile.example holds: all that is in an address, also where clients put
// what does not belong there.
var exposed = []string{
	"access_token", "client_secret", "code", "code_verifier", "link", "nonce", "password", "refresh_token", "session id", "state",
}

// TestSecretsStayOutOfLogs does everything that a server with all its logs at
// DEBUG can be asked, well or wrongly, and searches what it wrote for every
// secret that passed over the wire, in all encodings. The filter of
// Caddyfile.example keeps them out of the access log; without it the log holds
// the kinds that exposed names. Secrets that are known to be logged show that
// the search finds.
//
// Security LOG-01 to LOG-03, PROV-07.
func TestSecretsStayOutOfLogs(t *testing.T) {
	r := newSecretRun(t)
	r.leaveTraces()
	local := r.useServer(r.s, alice, bob, mcpclient.Modern, "none")
	r.useServer(r.s, bob, alice, mcpclient.Legacy, "client_secret_basic")
	r.useServer(r.staff(), alice, bob, mcpclient.Modern, "client_secret_post")
	r.logInWrongly()
	r.sendNonsense(local)
	r.breakProvider(local)
	dumps := r.dumpDuringCall(local)
	r.endAll(local)
	r.addStored()
	r.checkKinds()

	outputs := map[string]string{"stdout and stderr": r.s.Log(), "filtered access log": r.read(r.logs, "filtered.log")}
	for name, text := range dumps {
		outputs[name] = text
	}
	for name, text := range outputs {
		for _, found := range r.secrets.Search(text) {
			t.Errorf("%s has a secret, %s %.12s…, in: %s", name, found.Kind, found.Secret, found.Line)
		}
	}
	r.checkRefusals()

	open := r.read(r.logs, "open.log")
	if diff := cmp.Diff(exposed, leak.KindsOf(r.secrets.Search(open))); diff != "" {
		t.Errorf("kinds of secrets in an access log without the filter (-want +got):\n%s", diff)
	}
	for name, text := range map[string]string{"filtered access log": outputs["filtered access log"], "access log": open} {
		if diff := cmp.Diff([]string{"in base64", "in hex", "in the path"}, leak.KindsOf(r.control.Search(text))); diff != "" {
			t.Errorf("what is known to be in the %s (-want +got):\n%s", name, diff)
		}
	}
	if diff := cmp.Diff([]string{"client name"}, leak.KindsOf(r.control.Search(r.s.Log()))); diff != "" {
		t.Errorf("what is known to be on stderr (-want +got):\n%s", diff)
	}
}

// leaveTraces sends secrets of its own where they are known to be logged.
func (r *secretRun) leaveTraces() {
	path, inHex, inBase64, name := rand.Text(), rand.Text(), rand.Text(), rand.Text()
	r.control.Add("in the path", path)
	r.control.Add("in hex", inHex)
	r.control.Add("in base64", inBase64)
	r.control.Add("client name", name)
	r.send("GET", "/control/"+path, "", "User-Agent", "x "+base64.RawURLEncoding.EncodeToString([]byte("xy"+inBase64)),
		"X-Control", hex.EncodeToString([]byte(inHex)))
	if status, body := r.send("POST", "/mcp/register", `{"client_name":"`+name+`","redirect_uris":["http://127.0.0.1/cb"]}`, "Content-Type", jsonType); status != http.StatusCreated {
		r.Fatalf("register = %d %s", status, body)
	}
}

// used is what useServer leaves.
type used struct {
	browser *browser.Browser
	client  *mcpclient.Client
	tokens  []mcpclient.Tokens // older ones
}

// useServer goes the whole way with a client that authenticates by a method,
// until the provider's grant was renewed, and has the old refresh token refused.
func (r *secretRun) useServer(s *harness.Server, person, other browser.Person, revision, method string) *used {
	r.Helper()
	u := &used{browser: r.browser(person)}
	u.client = r.logIn(s, u.browser, revision, method)
	connect(r.T, u.browser, call(r.T, u.client, "list_messages").ConnectURL())
	before := r.provider.tokens()
	until(r.T, "the renewal of the grant", func() bool {
		checkInbox(r.T, call(r.T, u.client, "list_messages").Text(), person, other)
		return r.provider.tokens() > before
	})
	u.client.Elicitation = true
	call(r.T, u.client, "whoami")

	spent := r.logIn(s, u.browser, revision, method)
	old := spent.Tokens
	if err := spent.Refresh(r.Context()); err != nil {
		r.Fatal(err)
	}
	spent.Tokens = old
	if err := spent.Refresh(r.Context()); err == nil {
		r.Error("a refresh token was good for two refreshes")
	}
	u.tokens = append(u.tokens, old)
	return u
}

// logInWrongly gives a wrong password, says no, and lets the identity provider
// refuse, break and forge.
func (r *secretRun) logInWrongly() {
	r.Helper()
	for _, person := range []browser.Person{{Name: "alice", Password: "not-the-password-of-alice"}, {Name: "mallory", Password: "password-of-nobody"}} {
		b := r.browser(person)
		stop, _ := b.Open(r.Context(), r.clientOf(r.s).AuthorizeURL(), browser.Visit{Hold: true})
		if stop.Client || stop.Page == nil || !strings.Contains(strings.ToLower(stop.Page.Text), "wrong") {
			r.Errorf("a wrong password leads to %v", stop.Way)
		}
	}
	open(r.T, r.browser(alice), r.clientOf(r.s).AuthorizeURL(), browser.Visit{Decision: "deny", Hold: true})
	r.s.ExpectErrors("/staff/login/callback")
	for _, fault := range []harness.Fault{
		{Where: "token", What: "echoes"},
		{Where: "token", What: "refuses"},
		{Where: "token", What: "breaks"},
		{Where: "token", What: "garbage"},
		{Where: "token", What: "forged"},
		{Where: "token", What: "other nonce"},
		{Where: "userinfo", What: "breaks"},
		{Where: "answer", What: "foreign iss"},
	} {
		r.idp.Fail(fault)
		stop, err := r.browser(alice).Open(r.Context(), r.clientOf(r.staff()).AuthorizeURL(), browser.Visit{Hold: true})
		if err == nil && stop.URL.Query().Has("code") && fault.Where != "userinfo" {
			r.Errorf("a login passes with %+v", fault)
		}
	}
	r.idp.Fail(harness.Fault{})
}

// clientOf registers a public client.
func (r *secretRun) clientOf(s *harness.Server) *mcpclient.Client {
	r.Helper()
	c := mcpclient.New(s.Endpoint, mcpclient.Modern)
	c.Use(r.tap)
	if err := c.Discover(r.Context()); err != nil {
		r.Fatal(err)
	}
	if err := c.Register(r.Context(), "e2e", "http://127.0.0.1:49152/callback"); err != nil {
		r.Fatal(err)
	}
	return c
}

// sendNonsense sends secrets where they do not belong, spent and malformed ones,
// and asks for client documents that cannot be had.
func (r *secretRun) sendNonsense(u *used) {
	r.Helper()
	token, spent := u.client.Tokens, u.tokens[0]
	header, payload, _ := strings.Cut(token.AccessToken, ".")
	for _, bad := range []string{
		spent.AccessToken, token.RefreshToken, token.AccessToken + "x", header + "." + payload[1:], "Bearer " + token.AccessToken,
		base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + strings.Split(payload, ".")[0] + ".", rand.Text(), "\x7f" + rand.Text()[1:],
	} {
		if !strings.Contains(bad, "\x7f") {
			if status, body := r.send("POST", "/mcp", whoami, "Authorization", "Bearer "+bad, "Content-Type", jsonType); status != http.StatusUnauthorized && status != http.StatusBadRequest {
				r.Errorf("a call with %s = %d %s", bad, status, body)
			}
		}
		if bad != token.RefreshToken {
			r.form("/mcp/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {u.client.ClientID}, "refresh_token": {bad}, "code": {bad}})
		}
		r.form("/mcp/token", url.Values{"grant_type": {"authorization_code"}, "client_id": {u.client.ClientID}, "code": {bad}, "code_verifier": {rand.Text() + rand.Text()}})
		r.form("/mcp/token", url.Values{"grant_type": {"authorization_code"}, "code": {bad}}, "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(u.client.ClientID+":"+rand.Text())))
	}
	inQuery := url.Values{
		"access_token": {token.AccessToken}, "refresh_token": {token.RefreshToken}, "client_secret": {rand.Text()}, "password": {"password-in-a-query"},
		"code": {rand.Text()}, "state": {rand.Text()}, "code_verifier": {rand.Text() + rand.Text()}, "link": {rand.Text()}, "token": {token.RefreshToken},
	}.Encode()
	for _, path := range []string{
		"/mcp", "/mcp/authorize", "/mcp/token", "/mcp/revoke", "/mcp/register", "/mcp/login", "/mcp/login/callback", "/mcp/connect", "/mcp/connect/callback",
		"/mcp/account", "/mcp/logout", "/staff/login/callback", "/mcp/nothing", "/nothing",
	} {
		for _, method := range []string{"GET", "POST", "PUT"} {
			r.send(method, path+"?"+inQuery, "{"+rand.Text(), "Content-Type", jsonType, "Referer", r.s.Endpoint+"/login?"+inQuery)
		}
	}
	for _, id := range []string{"https://client.invalid/client.json", "https://localhost/client.json", "https://127.0.0.1:1/c?state=" + rand.Text()} {
		r.send("GET", "/mcp/authorize?"+url.Values{"client_id": {id}, "state": {rand.Text()}, "redirect_uri": {"https://client.invalid/cb"}}.Encode(), "")
	}
	for _, message := range []string{callOf(1, "nothing", "{}"), callOf(1, "whoami", `{"token":"`+rand.Text()+`"}`), `{"jsonrpc":`, "[" + whoami + "]"} {
		r.send("POST", "/mcp", message, "Authorization", "Bearer "+token.AccessToken, "Content-Type", jsonType)
	}
}

// breakProvider has the provider answer wrongly, with secrets in its words.
func (r *secretRun) breakProvider(u *used) {
	r.Helper()
	answers := map[string]http.HandlerFunc{}
	for name, text := range map[string]string{
		"tokens cut short": `{"access_token":"%s","refresh_`, "another shape": `{"tokens":["%s"]}`, "no JSON": "panic: %s",
	} {
		for status := range map[int]bool{200: true, 400: true, 500: true} {
			answers[name+" "+http.StatusText(status)] = func(w http.ResponseWriter, req *http.Request) {
				secret := rand.Text()
				r.secrets.Add("provider's words", secret)
				w.Header().Set("Content-Type", jsonType)
				w.WriteHeader(status)
				// What it was sent, too, as the pages of frameworks have it.
				_, _ = w.Write([]byte(strings.ReplaceAll(text, "%s", secret+" "+req.Header.Get("Authorization"))))
			}
		}
	}
	answers["a refusal with what was sent"] = func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			r.Error(err)
		}
		w.Header().Set("Content-Type", jsonType)
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"error":"invalid_request","error_description":"cannot use ` + string(body) + `"}`))
	}
	for _, answer := range answers {
		r.provider.answer(answer)
		before := r.provider.tokens()
		until(r.T, "a wrong answer for tokens", func() bool {
			_, _ = u.client.Call(r.Context(), "list_messages", nil, nil) // fails as it may
			return r.provider.tokens() > before
		})
	}
	r.provider.answer(nil)
}

// dumpDuringCall returns what the admin endpoint tells while a call waits for
// the provider.
func (r *secretRun) dumpDuringCall(u *used) map[string]string {
	r.Helper()
	arrived, release := make(chan struct{}, 16), make(chan struct{})
	r.provider.answer(func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-release
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = u.client.Call(r.Context(), "list_messages", nil, nil)
	}()
	<-arrived
	dumps := make(map[string]string)
	for path, part := range map[string]string{
		"/metrics": "alter_mcp_", "/config/": "client_secret", "/debug/vars": "memstats", "/debug/pprof/cmdline": "caddy",
		"/debug/pprof/goroutine?debug=2": "mcphandler", "/debug/pprof/heap?debug=1": "heap profile", "/debug/pprof/allocs?debug=1": "heap profile",
		"/debug/pprof/threadcreate?debug=1": "threadcreate", "/debug/pprof/block?debug=1": "contention", "/debug/pprof/mutex?debug=1": "mutex",
	} {
		status, body := get(r.T, "http://"+r.s.Admin+path)
		if status != http.StatusOK || !strings.Contains(body, part) {
			r.Errorf("GET %s = %d %.200s, want %q in it", path, status, body, part)
		}
		dumps[path] = body
	}
	close(release)
	<-done
	r.provider.answer(nil)
	return dumps
}

// get gets a page beside the tap.
func get(t *testing.T, address string) (int, string) {
	t.Helper()
	resp, err := (&http.Client{Timeout: attackTimeout}).Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// endAll disconnects, logs out and revokes.
func (r *secretRun) endAll(u *used) {
	r.Helper()
	account := open(r.T, u.browser, r.s.Endpoint+"/account", browser.Visit{})
	if _, err := u.browser.Press(r.Context(), account.Page, "/account", "disconnect"); err != nil {
		r.Error(err)
	}
	if page, err := u.browser.Press(r.Context(), account.Page, "/logout", ""); err != nil || page.Status != http.StatusOK {
		r.Errorf("logging out: %+v, %v", page, err)
	}
	if err := u.client.Revoke(r.Context(), u.client.Tokens.RefreshToken); err != nil {
		r.Error(err)
	}
	if _, err := u.client.Call(r.Context(), "whoami", nil, nil); err == nil {
		r.Error("a revoked token is still good")
	}
}

// addStored adds what is a secret although it never passes over the wire, and
// what passed between the server and the identity provider.
func (r *secretRun) addStored() {
	r.Helper()
	for _, seen := range r.idp.Seen().Secrets {
		for kind, secret := range seen {
			r.secrets.Add(kind, secret)
		}
	}
	for _, request := range r.idp.Seen().Authorize {
		r.secrets.Add("nonce", request["nonce"])
		r.secrets.Add("state", request["state"])
	}
	err := filepath.WalkDir(r.storage, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.Contains(entry.Name(), "key") && !entry.IsDir() {
			text := strings.TrimSpace(r.read(path))
			r.secrets.Add("keyset", text)
			if key, err := base64.StdEncoding.DecodeString(text); err == nil {
				r.secrets.Add("keyset", string(key))
			}
		}
		return err
	})
	if err != nil {
		r.Error(err)
	}
}

// checkKinds fails the test unless secrets of all kinds were collected, so that
// a search that finds nothing says something.
func (r *secretRun) checkKinds() {
	r.Helper()
	count := r.secrets.Kinds()
	r.Logf("searching for %v", count)
	for kind, least := range map[string]int{
		"access_token": 20, "refresh_token": 15, "code": 10, "state": 15, "code_verifier": 6, "client_secret": 8, "cookie": 20, "password": 4,
		"link": 3, "nonce": 3, "id_token": 2, "form token": 8, "session id": 1, "keyset": 2, "provider's words": 9,
	} {
		if count[kind] < least {
			r.Errorf("only %d secrets of the kind %s were collected, want %d at least", count[kind], kind, least)
		}
	}
}

// checkRefusals searches the bodies of errors. A page that asks again has its own
// form's token, and the state that its address has.
func (r *secretRun) checkRefusals() {
	r.Helper()
	refusals := r.tap.Refusals()
	if len(refusals) < 60 {
		r.Errorf("only %d requests were refused", len(refusals))
	}
	for _, refusal := range refusals {
		for _, found := range r.secrets.Search(refusal.Body) {
			if found.Kind != "form token" && found.Kind != "state" {
				r.Errorf("%s = %d with a secret, %s, in: %s", refusal.Request, refusal.Status, found.Kind, found.Line)
			}
		}
	}
}
