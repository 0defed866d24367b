package authserver_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// deviceEnv is a server with device authorization and a client that has no
// browser.
type deviceEnv struct {
	*env
	clientID string
}

func newDeviceEnv(t *testing.T, change ...func(*authserver.Config)) *deviceEnv {
	t.Helper()
	e := &deviceEnv{env: newEnv(t, append([]func(*authserver.Config){func(c *authserver.Config) { c.DeviceAuthorization = true }}, change...)...)}
	e.clientID = e.deviceClient()
	return e
}

func (e *deviceEnv) deviceClient() string {
	e.Helper()
	status, answer := e.register(`{"client_name":"Backup job","grant_types":["` + deviceGrant + `","refresh_token"],"token_endpoint_auth_method":"none"}`)
	if status != http.StatusCreated {
		e.Fatalf("register = %d %v", status, answer)
	}
	return answer["client_id"].(string)
}

// begin posts to the device authorization endpoint.
func (e *deviceEnv) begin(form url.Values) (int, map[string]any) {
	e.Helper()
	p := e.newBrowser().post(testPath+"/device_authorization", form)
	var answer map[string]any
	if err := json.Unmarshal([]byte(p.body), &answer); err != nil {
		e.Fatalf("device authorization = %d %q: %v", p.status, p.body, err)
	}
	return p.status, answer
}

// device is a new device that waits: its code and that which it shows.
func (e *deviceEnv) device() (code, userCode string) {
	e.Helper()
	status, answer := e.begin(url.Values{"client_id": {e.clientID}, "resource": {e.base + testPath}})
	if status != http.StatusOK {
		e.Fatalf("device authorization = %d %v", status, answer)
	}
	return answer["device_code"].(string), answer["user_code"].(string)
}

// poll returns the error code that the device gets, or its tokens.
func (e *deviceEnv) poll(code string, change ...string) (string, map[string]any) {
	e.Helper()
	form := url.Values{"grant_type": {deviceGrant}, "client_id": {e.clientID}, "device_code": {code}}
	for i := 0; i+1 < len(change); i += 2 {
		form.Set(change[i], change[i+1])
	}
	status, answer, _ := e.token(form)
	failure, _ := answer["error"].(string)
	if (status == http.StatusOK) != (failure == "") {
		e.Errorf("token = %d %v", status, answer)
	}
	return failure, answer
}

// consent goes from the code that the device shows to the consent page.
func (e *deviceEnv) consent(b *browser, userCode string) page {
	e.Helper()
	return b.submit(b.get(testPath+"/device"), "user_code", userCode)
}

func TestDevice(t *testing.T) {
	e := newDeviceEnv(t)
	status, answer := e.begin(url.Values{"client_id": {e.clientID}})
	code, userCode := answer["device_code"].(string), answer["user_code"].(string)
	if status != http.StatusOK || answer["expires_in"] != 600.0 || answer["interval"] != 5.0 ||
		answer["verification_uri"] != e.base+testPath+"/device" || answer["verification_uri_complete"] != e.base+testPath+"/device?user_code="+userCode ||
		!regexp.MustCompile(`^[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}$`).MatchString(userCode) {
		t.Errorf("device authorization = %d %v", status, answer)
	}
	if got, _ := e.poll(code); got != "authorization_pending" {
		t.Errorf("poll before anything = %q, want authorization_pending", got)
	}
	b := e.newBrowser()
	p := e.consent(b, " "+strings.ToLower(userCode[:4])+" "+userCode[5:])
	for _, want := range []string{"Backup job", "Another device asks", userCode, "Name not verified"} {
		if p.status != http.StatusOK || !strings.Contains(p.body, want) {
			t.Fatalf("consent page %d lacks %q:\n%s", p.status, want, p.body)
		}
	}
	p = b.submit(p, "decision", "allow")
	p = b.submit(b.get(p.location), "username", "alice", "password", passwordOf("alice"))
	if p.status != http.StatusOK || p.location != "" || !strings.Contains(p.body, "Your device is let in") {
		t.Fatalf("end of the login: %d %q\n%s", p.status, p.location, p.body)
	}
	e.clock.advance(5 * time.Second)
	failure, answer := e.poll(code)
	if failure != "" {
		t.Fatalf("poll after the yes = %v", answer)
	}
	if who, err := e.verify(answer["access_token"].(string)); err != nil || who != "alice" {
		t.Errorf("the device's token is of %q, %v", who, err)
	}
	if status, answer, _ := e.token(refreshForm(e.clientID, answer["refresh_token"].(string))); status != http.StatusOK {
		t.Errorf("refresh = %d %v", status, answer)
	}
}

// TestDeviceOfWhoIsLoggedIn asks no password again, but asks.
func TestDeviceOfWhoIsLoggedIn(t *testing.T) {
	e := newDeviceEnv(t, func(c *authserver.Config) { c.RememberConsent = true })
	b := e.newBrowser()
	for range 2 { // a consent to a device is not remembered
		code, userCode := e.device()
		p := e.consent(b, userCode)
		first := !strings.Contains(p.body, "Logged in as")
		p = b.submit(p, "decision", "allow")
		if first {
			p = b.submit(b.get(p.location), "username", "alice", "password", passwordOf("alice"))
		}
		if !strings.Contains(p.body, "Your device is let in") {
			t.Fatalf("end: %d %q\n%s", p.status, p.location, p.body)
		}
		if failure, _ := e.poll(code); failure != "" {
			t.Errorf("poll = %q", failure)
		}
	}
	// As somebody else: the page comes once more, and says as whom.
	_, userCode := e.device()
	p := b.submit(e.consent(b, userCode), "decision", "switch")
	p = b.submit(b.get(p.location), "username", "bob", "password", passwordOf("bob"))
	if !strings.HasSuffix(p.location, "/device?user_code="+userCode) {
		t.Fatalf("after switching: %d %q", p.status, p.location)
	}
	if p = b.submit(b.get(p.location), "user_code", userCode); !strings.Contains(p.body, "Bob") {
		t.Errorf("consent page after switching:\n%s", p.body)
	}
}

// Each answer of RFC 8628 section 3.5, and of RFC 6749 section 5.2.
func TestDevicePolls(t *testing.T) {
	e := newDeviceEnv(t)
	for name, tc := range map[string]struct {
		prepare func(code, userCode string) []string
		want    string
	}{
		"too fast": {func(code, _ string) []string {
			e.poll(code)
			e.clock.advance(2 * time.Second)
			return nil
		}, "slow_down"},
		"too fast after a slow_down": {func(code, _ string) []string {
			e.poll(code)
			e.poll(code)
			e.clock.advance(6 * time.Second)
			return nil
		}, "slow_down"},
		"at the new interval": {func(code, _ string) []string {
			e.poll(code)
			e.poll(code)
			e.clock.advance(10 * time.Second)
			return nil
		}, "authorization_pending"},
		"at the interval": {func(code, _ string) []string {
			e.poll(code)
			e.clock.advance(5 * time.Second)
			return nil
		}, "authorization_pending"},
		"denied": {func(_, userCode string) []string {
			b := e.newBrowser()
			if p := b.submit(e.consent(b, userCode), "decision", "deny"); p.location != "" || !strings.Contains(p.body, "The device was not let in") {
				t.Errorf("no = %d %q\n%s", p.status, p.location, p.body)
			}
			return nil
		}, "access_denied"},
		"too late": {func(string, string) []string {
			e.clock.advance(10 * time.Minute)
			return nil
		}, "expired_token"},
		"denied long ago": {func(_, userCode string) []string {
			b := e.newBrowser()
			b.submit(e.consent(b, userCode), "decision", "deny")
			e.clock.advance(10 * time.Minute)
			return nil
		}, "expired_token"},
		"unknown":           {func(string, string) []string { return []string{"device_code", "amd_made-up"} }, "invalid_grant"},
		"the user code":     {func(_, userCode string) []string { return []string{"device_code", userCode} }, "invalid_grant"},
		"without a code":    {func(string, string) []string { return []string{"device_code", ""} }, "invalid_request"},
		"another client":    {func(string, string) []string { return []string{"client_id", e.deviceClient()} }, "invalid_grant"},
		"another's, let in": {func(_, userCode string) []string { e.letIn(userCode); return []string{"client_id", e.deviceClient()} }, "invalid_grant"},
		"another resource": {func(_, userCode string) []string {
			e.letIn(userCode)
			return []string{"resource", "https://other.example"}
		}, "invalid_target"},
		"a second time": {func(code, userCode string) []string { e.letIn(userCode); e.poll(code); return nil }, "invalid_grant"},
	} {
		t.Run(name, func(t *testing.T) {
			e.clock.advance(time.Hour) // the limits of begins and guesses are refilled
			code, userCode := e.device()
			if got, answer := e.poll(code, tc.prepare(code, userCode)...); got != tc.want {
				t.Errorf("poll = %v, want %s", answer, tc.want)
			}
		})
	}
}

// letIn is alice who says yes.
func (e *deviceEnv) letIn(userCode string) {
	e.Helper()
	b := e.newBrowser()
	p := b.submit(e.consent(b, userCode), "decision", "allow")
	p = b.submit(b.get(p.location), "username", "alice", "password", passwordOf("alice"))
	if !strings.Contains(p.body, "Your device is let in") {
		e.Fatalf("yes = %d %q\n%s", p.status, p.location, p.body)
	}
}

func TestDeviceAuthorizationRefused(t *testing.T) {
	e := newDeviceEnv(t)
	for name, tc := range map[string]struct {
		form url.Values
		want string
	}{
		"no client":             {url.Values{}, "invalid_client"},
		"an unknown client":     {url.Values{"client_id": {"nobody"}}, "invalid_client"},
		"a client of a browser": {url.Values{"client_id": {e.publicClient()}}, "unauthorized_client"},
		"another resource":      {url.Values{"client_id": {e.clientID}, "resource": {"https://other.example"}}, "invalid_target"},
		"a client twice":        {url.Values{"client_id": {e.clientID, e.clientID}}, "invalid_request"},
	} {
		if status, answer := e.begin(tc.form); status < 400 || answer["error"] != tc.want {
			t.Errorf("%s: %d %v, want %s", name, status, answer, tc.want)
		}
	}
	if p := e.newBrowser().get(testPath + "/device_authorization"); p.status != http.StatusMethodNotAllowed {
		t.Errorf("GET = %d, want 405", p.status)
	}
	status, answer := 0, map[string]any(nil)
	for i := 0; i < 100 && status != http.StatusTooManyRequests; i++ {
		status, answer = e.begin(url.Values{"client_id": {e.clientID}})
	}
	if status != http.StatusTooManyRequests {
		t.Errorf("the 100th device of one address: %d %v, want 429", status, answer)
	}
}

// A client_id that is a URL leads to no request, not even to this server itself
// (security SSRF-02): no document describes a client of this grant.
func TestDeviceAuthorizationFetchesNoDocument(t *testing.T) {
	f := &fakeWeb{answer: func(r *http.Request) (*http.Response, error) {
		return reply(200, document(r.URL.String(), "")), nil
	}}
	e := newDeviceEnv(t, func(c *authserver.Config) { c.Documents.Transport = f })
	for _, id := range []string{"https://app.example/client.json", strings.Replace(e.base, "http:", "https:", 1) + testPath + "/client.json"} {
		if status, answer := e.begin(url.Values{"client_id": {id}}); status != http.StatusBadRequest || answer["error"] != "unauthorized_client" {
			t.Errorf("%s: %d %v, want unauthorized_client", id, status, answer)
		}
	}
	if n := f.fetches.Load(); n != 0 {
		t.Errorf("%d documents were fetched, want none", n)
	}
}

// A server that has it off has none of it.
func TestDeviceAuthorizationOff(t *testing.T) {
	e := newEnv(t)
	if p := e.newBrowser().post(testPath+"/device_authorization", url.Values{}); p.status != http.StatusNotFound {
		t.Errorf("device authorization = %d, want 404", p.status)
	}
	if status, answer, _ := e.token(url.Values{"grant_type": {deviceGrant}, "device_code": {"x"}}); answer["error"] != "unsupported_grant_type" {
		t.Errorf("token = %d %v", status, answer)
	}
	if status, answer := e.register(`{"grant_types":["` + deviceGrant + `"]}`); status != http.StatusBadRequest {
		t.Errorf("register = %d %v", status, answer)
	}
	if p := e.newBrowser().get("/.well-known/oauth-authorization-server" + testPath); strings.Contains(p.body, "device") {
		t.Errorf("metadata names devices: %s", p.body)
	}
}

func TestDeviceMetadata(t *testing.T) {
	e := newDeviceEnv(t)
	var m struct {
		Endpoint string   `json:"device_authorization_endpoint"`
		Grants   []string `json:"grant_types_supported"`
	}
	p := e.newBrowser().get("/.well-known/oauth-authorization-server" + testPath)
	if err := json.Unmarshal([]byte(p.body), &m); err != nil || m.Endpoint != e.base+testPath+"/device_authorization" || len(m.Grants) != 3 || m.Grants[2] != deviceGrant {
		t.Errorf("metadata = %s", p.body)
	}
	// A client that has a browser, too, says so.
	status, answer := e.register(`{"redirect_uris":["` + callback + `"],"grant_types":["authorization_code","` + deviceGrant + `"],"token_endpoint_auth_method":"none"}`)
	if status != http.StatusCreated || len(answer["grant_types"].([]any)) != 2 {
		t.Errorf("register = %d %v", status, answer)
	}
}

// TestDevicePageAttacks: neither a link nor a page of another site lets a device
// in, and codes cannot be guessed (RFC 8628 sections 5.1, 5.4; security CONS-08).
func TestDevicePageAttacks(t *testing.T) {
	e := newDeviceEnv(t)
	code, userCode := e.device()
	b := e.newBrowser()
	p := b.get(testPath + "/device?user_code=" + userCode)
	if !strings.Contains(p.body, "Does it show this code?") || !strings.Contains(p.body, userCode) || strings.Contains(p.body, "Backup job") {
		t.Errorf("the address with the code gives\n%s", p.body)
	}
	if csp := p.header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") {
		t.Errorf("the page may be framed: %q", csp)
	}
	action, token := b.form(p)
	form := url.Values{"token": {token}, "user_code": {userCode}}
	for name, p := range map[string]page{
		"of another site":     b.post(action, form, "Origin", "https://evil.example"),
		"without a token":     b.post(action, url.Values{"user_code": {userCode}}, "Origin", b.base),
		"in another browser":  e.newBrowser().post(action, form, "Origin", b.base),
		"as a consent":        b.post(testPath+"/consent", url.Values{"token": {token}, "decision": {"allow"}}, "Origin", b.base),
		"as an authorization": b.get(testPath + "/authorize?client_id=" + e.clientID),
	} {
		if p.status < 400 || p.location != "" {
			t.Errorf("the form %s = %d %q", name, p.status, p.location)
		}
	}
	for _, typed := range []string{"", "BCDF", "BCDF-GHJ1", "<script>", strings.Repeat("B", 100)} {
		if p := b.submit(b.get(testPath+"/device"), "user_code", typed); p.status != http.StatusUnprocessableEntity || strings.Contains(p.body, "<script>") {
			t.Errorf("code %q = %d", typed, p.status)
		}
	}
	status := 0
	for i := 0; i < 40 && status != http.StatusTooManyRequests; i++ {
		status = b.submit(b.get(testPath+"/device"), "user_code", "BCDFGHJK").status
	}
	if status != http.StatusTooManyRequests {
		t.Errorf("the 40th guess = %d, want 429", status)
	}
	if got, _ := e.poll(code); got != "authorization_pending" {
		t.Errorf("after all that the device gets %q", got)
	}
}

// A device's code is none of another grant, and the other way round.
func TestDeviceCodeIsNoOtherCode(t *testing.T) {
	e := newDeviceEnv(t)
	code, userCode := e.device()
	e.letIn(userCode)
	for _, form := range []url.Values{codeForm(e.clientID, code), {"grant_type": {"authorization_code"}, "client_id": {e.clientID}, "code": {code}, "code_verifier": {verifier}}} {
		if status, answer, _ := e.token(form); answer["error"] != "invalid_grant" {
			t.Errorf("the device code as an authorization code = %d %v", status, answer)
		}
	}
	if failure, _ := e.poll(code); failure != "" {
		t.Errorf("poll after that = %q", failure)
	}
	client := e.publicClient()
	authorization := e.params(e.newBrowser().approve(e.authorizeURL(client), "alice")).Get("code")
	if got, _ := e.poll(authorization, "client_id", client); got != "invalid_grant" {
		t.Errorf("an authorization code as a device code = %q", got)
	}
}

// Who may not use the server lets no device in.
func TestDeviceOfWhoIsNotAdmitted(t *testing.T) {
	e := newDeviceEnv(t, func(c *authserver.Config) { c.Admit = func(u *authserver.User) bool { return u.Subject != "bob" } })
	code, userCode := e.device()
	b := e.newBrowser()
	p := b.submit(e.consent(b, userCode), "decision", "allow")
	p = b.submit(b.get(p.location), "username", "bob", "password", passwordOf("bob"))
	if !strings.Contains(p.body, "may not use") {
		t.Errorf("end = %d\n%s", p.status, p.body)
	}
	if got, _ := e.poll(code); got != "access_denied" {
		t.Errorf("poll = %q, want access_denied", got)
	}
}
