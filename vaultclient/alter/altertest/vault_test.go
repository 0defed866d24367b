package altertest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// client signs as the protocol says, so that tests can break one rule at a time.
type client struct {
	v      *Vault
	header map[string]string // further ones, signed
	last   http.Header
	nonces int
	mu     sync.Mutex
}

func (c *client) do(ctx context.Context, method, target, body string, tamper func(*http.Request)) (int, map[string]any, error) {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.v.URL+target, reader)
	if err != nil {
		return 0, nil, err
	}
	c.mu.Lock()
	c.nonces++
	nonce := fmt.Sprintf("%032x", c.nonces)
	c.mu.Unlock()
	r.Header.Set("x-api-key", c.v.APIKey())
	r.Header.Set("X-Alter-Timestamp", strconv.FormatInt(time.Now().Unix(), 10))
	r.Header.Set("X-Alter-Nonce", nonce)
	r.Header.Set("X-Alter-Content-SHA256", hexHash([]byte(body)))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range c.header {
		r.Header.Set(name, value)
	}
	path, err := signedPath(target)
	if err != nil {
		return 0, nil, err
	}
	full, base := stringToSign(method, path, r.Header)
	r.Header.Set("X-Alter-Signature", signatureOf(c.v.APIKey(), full))
	if full != base {
		r.Header.Set("X-Alter-Signature-V2", signatureOf(c.v.APIKey(), full))
	}
	if tamper != nil {
		tamper(r)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	c.mu.Lock()
	c.last = resp.Header
	c.mu.Unlock()
	var answer map[string]any
	text, err := io.ReadAll(resp.Body)
	if err == nil && len(text) > 0 {
		err = json.Unmarshal(text, &answer)
	}
	return resp.StatusCode, answer, err
}

// ask is do for calls that must be answered.
func (c *client) ask(t *testing.T, method, target, body string) (int, map[string]any) {
	t.Helper()
	status, answer, err := c.do(t.Context(), method, target, body, nil)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	return status, answer
}

func tokenBody(v *Vault, person string) string {
	return `{"provider_id":"google","reason":null,"request":{"method":"GET","url":"` + v.ProviderURL("ok") +
		`"},"user_token":"` + v.UserToken(person, time.Hour) + `"}`
}

func TestViolations(t *testing.T) {
	const ok = `{"session_token":"x"}`
	long := strings.Repeat("x", 256)
	for name, test := range map[string]struct {
		path, body string
		header     map[string]string
		tamper     func(*http.Request)
		code       string
	}{
		"unknown path":           {path: "/sdk/nothing", body: ok, code: "no_such_path"},
		"unknown key":            {body: `{"session_token":"x","more":1}`, code: "body_invalid"},
		"missing key":            {body: `{}`, code: "body_invalid"},
		"key twice":              {body: `{"session_token":"x","session_token":"x"}`, code: "body_invalid"},
		"wrong type":             {body: `{"session_token":1}`, code: "body_invalid"},
		"number as text":         {body: `{"session_token":"x","wait_ms":"1"}`, code: "body_invalid"},
		"number with a fraction": {body: `{"session_token":"x","wait_ms":1.5}`, code: "body_invalid"},
		"blank in the JSON":      {body: `{"session_token": "x"}`, code: "body_invalid"},
		"JSON beyond ASCII":      {body: `{"session_token":"é"}`, code: "body_invalid"},
		"no JSON":                {body: `{`, code: "body_invalid"},
		"no body":                {body: ``, code: "body_invalid"},
		"query":                  {path: "/sdk/auth/poll?a=1", body: ok, code: "query_invalid"},
		"no content type":        {body: ok, tamper: func(r *http.Request) { r.Header.Del("Content-Type") }, code: "content_type"},
		"other content type":     {body: ok, tamper: func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, code: "content_type"},
		"unknown header":         {body: ok, tamper: func(r *http.Request) { r.Header.Set("X-Alter-More", "1") }, code: "header_unknown"},
		"empty header":           {body: ok, tamper: func(r *http.Request) { r.Header.Set("X-Alter-Context", "") }, code: "header_invalid"},
		"caller without type":    {body: ok, header: map[string]string{"X-Alter-Caller": "me"}, code: "caller_invalid"},
		"caller of another type": {body: ok, header: map[string]string{"X-Alter-Caller": "me", "X-Alter-Caller-Type": "human"}, code: "caller_invalid"},
		"caller too long":        {body: ok, header: map[string]string{"X-Alter-Caller": long, "X-Alter-Caller-Type": "service"}, code: "caller_invalid"},
		"actor out of thin air":  {body: ok, header: map[string]string{"X-Alter-Actor-Id": uuidOf("x")}, code: "actor_invalid"},
		"context no object":      {body: ok, header: map[string]string{"X-Alter-Context": `[]`}, code: "context_invalid"},
		"context null":           {body: ok, header: map[string]string{"X-Alter-Context": `null`}, code: "context_invalid"},
		"context with a number":  {body: ok, header: map[string]string{"X-Alter-Context": `{"a":1}`}, code: "context_invalid"},
		"context with a blank":   {body: ok, header: map[string]string{"X-Alter-Context": `{"a": "b"}`}, code: "context_invalid"},
		"long key in context":    {body: ok, header: map[string]string{"X-Alter-Context": `{"` + long + `":"b"}`}, code: "context_invalid"},
		"long value in context":  {body: ok, header: map[string]string{"X-Alter-Context": `{"a":"` + long + long + `x"}`}, code: "context_invalid"},
		"constraint empty":       {body: ok, header: map[string]string{"X-Alter-Scope-Constraints": "a,,b"}, code: "constraints_invalid"},
		"rule no base64":         {body: ok, header: map[string]string{"X-Alter-Request-Rule": "{}"}, code: "rule_invalid"},
		"rule of another type": {body: ok, header: map[string]string{
			"X-Alter-Request-Rule": base64url.EncodeToString([]byte(`{"rule_type":"x","rule_body":{}}`)),
		}, code: "rule_invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			v := Start(t, Config{})
			path := test.path
			if path == "" {
				path = "/sdk/auth/poll"
			}
			c := &client{v: v, header: test.header}
			status, answer, err := c.do(t.Context(), http.MethodPost, path, test.body, test.tamper)
			if err != nil || status < 400 || answer["error"] != test.code {
				t.Errorf("%d %v (%v), want the error %s", status, answer, err, test.code)
			}
			if got := v.TakeViolations(); len(got) != 1 || got[0].Code != test.code {
				t.Errorf("violations %v, want one of %s", got, test.code)
			}
		})
	}
}

func TestSecretSessionsOrder(t *testing.T) {
	v := Start(t, Config{})
	c := &client{v: v}
	user := v.UserToken("alice", time.Hour)
	if status, answer := c.ask(t, "POST", "/sdk/managed-secrets/connect/session", `{"provider":"acme","user_token":"`+user+`"}`); status != 201 {
		t.Errorf("%d %v", status, answer)
	}
	if status, _ := c.ask(t, "POST", "/sdk/managed-secrets/connect/session", `{"user_token":"`+user+`","provider":"acme"}`); status != 422 {
		t.Errorf("fields out of order give %d, want 422", status)
	}
	if got := v.TakeViolations(); len(got) != 1 {
		t.Errorf("violations %v, want one", got)
	}
}

func TestUserTokens(t *testing.T) {
	v := Start(t, Config{Grants: []Grant{{Person: "alice", Provider: "google"}}})
	c := &client{v: v}
	now := time.Now().Unix()
	claims := func(change map[string]any) string {
		all := map[string]any{"iss": v.Issuer(), "aud": v.Audience(), "sub": "alice", "exp": now + 60}
		for name, value := range change {
			all[name] = value
		}
		return v.SignToken(all)
	}
	good := claims(nil)
	for name, test := range map[string]struct {
		token  string
		status int
	}{
		"good":            {good, 200},
		"expired":         {claims(map[string]any{"exp": now - 1}), 401},
		"other issuer":    {claims(map[string]any{"iss": "https://x.example"}), 401},
		"other audience":  {claims(map[string]any{"aud": "x"}), 401},
		"nobody":          {claims(map[string]any{"sub": ""}), 401},
		"wrong signature": {good[:len(good)-8] + "AAAAAAAA", 401},
		"no JWT":          {"x", 401},
	} {
		t.Run(name, func(t *testing.T) {
			body := `{"provider_id":"google","reason":null,"request":{"method":"GET","url":"http://127.0.0.1/"},"user_token":"` + test.token + `"}`
			if status, answer := c.ask(t, "POST", "/sdk/token", body); status != test.status {
				t.Errorf("%d %v, want %d", status, answer, test.status)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	for name, test := range map[string]struct {
		fault  Fault
		status int
		check  func(*client, map[string]any) bool
	}{
		"status, body, header": {
			Fault{Status: 429, Body: json.RawMessage(`{"error":"x"}`), Header: map[string]string{"Retry-After": "7"}},
			429,
			func(c *client, a map[string]any) bool { return a["error"] == "x" && c.last.Get("Retry-After") == "7" },
		},
		"a field of another type": {
			Fault{Set: map[string]json.RawMessage{"scopes": json.RawMessage(`7`)}},
			200,
			func(_ *client, a map[string]any) bool { return a["scopes"] == 7.0 && a["access_token"] != nil },
		},
		"a field less": {Fault{Drop: []string{"grant_id"}}, 200, func(_ *client, a map[string]any) bool { return a["grant_id"] == nil }},
		"garbage":      {Fault{Status: 200, Body: json.RawMessage(`"<html>"`)}, 0, nil},
		"cut, undone":  {Fault{Cut: CutUndone}, 0, nil},
		"cut, done":    {Fault{Cut: CutDone}, 0, nil},
		"cut, half":    {Fault{Cut: CutHalf}, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			v := Start(t, Config{Grants: []Grant{{Person: "alice", Provider: "google"}}})
			c := &client{v: v}
			test.fault.Path = "/sdk/*"
			test.fault.Skip = 1
			v.AddFault(test.fault)
			for n, want := range []int{200, test.status, 200} {
				status, answer, err := c.do(t.Context(), "POST", "/sdk/token", tokenBody(v, "alice"), nil)
				if want == 0 {
					if err == nil {
						t.Errorf("call %d: %d %v, want a failure", n, status, answer)
					}
					continue
				}
				if err != nil || status != want || n == 1 && !test.check(c, answer) {
					t.Errorf("call %d: %d %v (%v), want %d", n, status, answer, err, want)
				}
			}
			if n := v.Count("/sdk/token"); n != 3 {
				t.Errorf("%d calls counted, want 3", n)
			}
		})
	}
}

// A poll that waits is woken by the person, not by time.
func TestLongPoll(t *testing.T) {
	v := Start(t, Config{})
	c := &client{v: v}
	_, session := c.ask(t, "POST", "/sdk/auth/session", `{}`)
	token, _ := session["session_token"].(string)
	answers := make(chan map[string]any, 1)
	go func() {
		_, answer, _ := c.do(t.Context(), "POST", "/sdk/auth/poll", `{"session_token":"`+token+`","wait_ms":30000}`, nil)
		answers <- answer
	}()
	begun := time.Now()
	resp, err := http.PostForm(session["auth_url"].(string), url.Values{"user": {"alice"}})
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("logging in: %v %v", resp, err)
	}
	resp.Body.Close()
	select {
	case answer := <-answers:
		if answer["status"] != "completed" || answer["user_token"] == "" {
			t.Errorf("the poll gives %v", answer)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("the poll was not woken after %v", time.Since(begun))
	}
}

func TestHeadersAsSent(t *testing.T) {
	v := Start(t, Config{Grants: []Grant{{Person: "alice", Provider: "google", Injection: Injection{InjectHeader: "X-Token", InjectFormat: "{token}"}}}})
	token := v.Grants()[0].Token
	for range 2 { // the second time on the same connection
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, v.ProviderURL("ok")+"/me", strings.NewReader("some body"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header["x-token"] = []string{"mine"}
		r.Header["X-Token"] = []string{token}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	hits := v.Hits()
	if len(hits) != 2 {
		t.Fatalf("%d hits, want 2", len(hits))
	}
	for _, hit := range hits {
		spellings := map[string]string{}
		for _, line := range hit.Header {
			spellings[line.Name] = line.Value
		}
		if hit.Person != "alice" || hit.Credentials != 2 || spellings["x-token"] != "mine" || spellings["X-Token"] != token {
			t.Errorf("%+v, want alice's credential and both spellings", hit)
		}
	}
}

// The API key and the vault's headers have no business at a provider.
func TestLeak(t *testing.T) {
	v := Start(t, Config{})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, v.ProviderURL("ok")+"/me", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Alter-Caller", "me")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := v.TakeViolations(); len(got) != 1 || got[0].Code != "leak" || resp.StatusCode != 401 {
		t.Errorf("%d, violations %v", resp.StatusCode, got)
	}
}

func TestManyAtOnce(t *testing.T) {
	v := Start(t, Config{Grants: []Grant{{Person: "alice", Provider: "google"}}})
	c := &client{v: v}
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 10 {
				if status, answer, err := c.do(t.Context(), "POST", "/sdk/token", tokenBody(v, "alice"), nil); err != nil || status != 200 {
					t.Errorf("%d %v %v", status, answer, err)
				}
			}
		})
	}
	wait.Wait()
	if n := len(v.Calls()); n != 80 {
		t.Errorf("%d calls, want 80", n)
	}
}
