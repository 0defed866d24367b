package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"unicode"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

const registration = `{"client_name":"x","redirect_uris":["http://127.0.0.1:49152/callback"],"token_endpoint_auth_method":"none"}`

// TestAttackForgedAddresses: whoever names another address in each request is
// counted as one, because no proxy is trusted.
//
// Security ABUSE-01, ABUSE-05.
func TestAttackForgedAddresses(t *testing.T) {
	a := newTarget(t)
	for i := range 10 { // the Caddyfile allows five in ten minutes
		address := fmt.Sprintf("198.51.100.%d", i)
		r := a.send("POST", "/other/register", strings.NewReader(registration), "Content-Type", jsonType,
			"X-Forwarded-For", address, "X-Real-Ip", address, "Forwarded", "for="+address, "True-Client-Ip", address, "Cf-Connecting-Ip", address)
		switch {
		case i < 5 && r.status != http.StatusCreated:
			t.Errorf("registration %d = %d %s, want 201", i+1, r.status, r.body)
		case i >= 5 && (r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") == ""):
			t.Errorf("registration %d = %d, Retry-After %q, want 429 with one", i+1, r.status, r.header.Get("Retry-After"))
		}
	}
}

// TestAttackWrongCodes tries 200 codes.
//
// Security ABUSE-02, CODE-13.
func TestAttackWrongCodes(t *testing.T) {
	a := newTarget(t)
	c := logIn(t, a.Server, newBrowser(t, a.Server, alice), mcpclient.Modern)
	for i := range 200 {
		form := url.Values{
			"grant_type": {"authorization_code"}, "client_id": {c.ClientID}, "code": {fmt.Sprintf("%043d", i)},
			"redirect_uri": {c.RedirectURI}, "code_verifier": {strings.Repeat("v", 43)},
		}
		r := a.send("POST", "/mcp/token", strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded")
		if r.status != 400 && r.status != 429 || strings.Contains(r.body, "access_token") {
			t.Fatalf("wrong code %d = %d %s, want 400 or 429", i+1, r.status, r.body)
		}
	}
	a.alive(c.Tokens.AccessToken)
	if err := c.Refresh(t.Context()); err != nil {
		t.Errorf("a good refresh afterwards: %v", err)
	}
	a.alive(a.token(bob))
}

// TestAttackURLsOfClients: of the URLs that clients name, none on this machine
// is connected to, neither at registration nor when somebody logs in.
//
// Security SSRF-01, SSRF-02, SSRF-03.
func TestAttackURLsOfClients(t *testing.T) {
	a := newTarget(t)
	var connections atomic.Int64
	listener := httptest.NewUnstartedServer(http.NotFoundHandler())
	listener.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	listener.StartTLS()
	defer listener.Close()
	metadata := map[string]any{
		"client_name": "fetch", "redirect_uris": []string{"http://127.0.0.1:49152/callback"}, "token_endpoint_auth_method": "none",
		"request_uris": []string{listener.URL + "/request"},
	}
	for _, name := range []string{
		"client_uri", "logo_uri", "tos_uri", "policy_uri", "jwks_uri", "sector_identifier_uri", "initiate_login_uri",
		"software_statement", "backchannel_logout_uri", "frontchannel_logout_uri",
	} {
		metadata[name] = listener.URL + "/" + name
	}
	body, err := json.Marshal(metadata)
	if err != nil {
		t.Fatal(err)
	}
	r := a.send("POST", "/mcp/register", strings.NewReader(string(body)), "Content-Type", jsonType)
	var client struct {
		ID string `json:"client_id"`
	}
	if err := json.Unmarshal([]byte(r.body), &client); err != nil || r.status != 201 {
		t.Fatalf("registration = %d %s", r.status, r.body)
	}
	good := url.Values{
		"response_type": {"code"}, "client_id": {client.ID}, "redirect_uri": {"http://127.0.0.1:49152/callback"},
		"code_challenge": {strings.Repeat("A", 43)}, "code_challenge_method": {"S256"}, "state": {"s"},
	}
	if r := a.send("GET", "/mcp/authorize?"+good.Encode(), nil); r.status != 200 || strings.Contains(r.body, listener.URL) {
		t.Errorf("consent page = %d %s, want one without the client's addresses", r.status, r.body)
	}
	good.Set("request_uri", listener.URL+"/request")
	if r := a.send("GET", "/mcp/authorize?"+good.Encode(), nil); !strings.Contains(r.header.Get("Location"), "request_uri_not_supported") {
		t.Errorf("with a request_uri = %d %q", r.status, r.header.Get("Location"))
	}
	good.Del("request_uri")
	_, port, err := net.SplitHostPort(listener.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "127.1", "0.0.0.0", "localhost."} {
		good.Set("client_id", "https://"+host+":"+port+"/client.json")
		if r := a.send("GET", "/mcp/authorize?"+good.Encode(), nil); r.status < 400 || r.status >= 500 || r.header.Get("Location") != "" {
			t.Errorf("client at %s = %d, Location %q, want a page with 4xx", host, r.status, r.header.Get("Location"))
		}
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections to the listener, want none", n)
	}
}

// TestAttackLogLines: whatever names hold, one event is one line of JSON, and
// lines of our own are short.
//
// Security LOG-04, REG-19.
func TestAttackLogLines(t *testing.T) {
	a := newTarget(t)
	token := a.token(alice)
	const forged = "\r\n{\"level\":\"error\",\"msg\":\"forged\"}\n\x1b[2J\x1b]0;x\x07\x00\x7f\u2028\u202e\u0085"
	for name, text := range map[string]string{
		"controls": forged, "long": strings.Repeat("long", 10_000), "empty": "", "blank": " \t\n", "wide": strings.Repeat("𒐫", 300),
		"markup": `"><script>alert(1)</script>`, "template": "{{.}}${x}{env.PATH}", "broken pair": "\ufffd", "joiners": "\u200d\u200b\ufeff",
	} {
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		r := a.send("POST", "/mcp/register", strings.NewReader(strings.Replace(registration, `"x"`, string(quoted), 1)), "Content-Type", jsonType)
		if r.status != 201 && r.status != 400 {
			t.Errorf("a client of a %s name = %d %s, want 201 or 400", name, r.status, r.body)
		}
		a.send("GET", "/mcp/authorize?client_id="+url.QueryEscape(text)+"&state="+url.QueryEscape(text), nil, "User-Agent", strings.ToValidUTF8(url.QueryEscape(text), ""))
		a.post(token, callOf(1, "none", "{}"), "Mcp-Name", url.QueryEscape(text))
		a.post(token, `{"jsonrpc":"2.0","id":`+string(quoted)+`,"method":`+string(quoted)+`,"params":{"name":`+string(quoted)+`}}`)
		a.post(token, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":`+string(quoted)+`,"arguments":{}}}`)
	}
	// A header field of bytes that no client library lets through.
	a.raw("GET /mcp HTTP/1.1\r\nHost: " + a.host + "\r\nUser-Agent: a\x1b[31m\tb\xff\r\nConnection: close\r\n\r\n")
	lines := slices.Collect(strings.Lines(a.Server.Log()))
	if len(lines) < 40 {
		t.Fatalf("log has %d lines", len(lines))
	}
	for _, line := range lines {
		var entry struct{ Level, Logger, Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("line is no JSON: %v: %.300q", err, line)
		}
		if entry.Msg == "forged" {
			t.Errorf("line is forged: %.300q", line)
		}
		if i := strings.IndexFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return r < ' ' }); i >= 0 {
			t.Errorf("line has a control character at %d: %.300q", i, line)
		}
		if !strings.Contains(entry.Logger, "alter_mcp") {
			continue // Caddy's own
		}
		if i := strings.IndexFunc(strings.TrimSuffix(line, "\n"), misleads); i >= 0 || len(line) > 4096 {
			t.Errorf("line of our own has %d bytes, and at %d what misleads a reader: %.300q", len(line), i, line)
		}
	}
}

// misleads reports whether a terminal or an editor shows r as something other
// than a letter in its place: a control, or a mark that turns the direction.
func misleads(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
}
