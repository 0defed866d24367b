package authserver_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
)

// fuzzEnv is an environment for a fuzz target, in which no limit on strangers'
// registrations comes before what is tested.
func fuzzEnv(f *testing.F, change ...func(*authserver.Config)) *env {
	f.Helper()
	return newEnv(f, append(change, func(c *authserver.Config) {
		c.Registration = authserver.Registration{Rate: 1 << 30, MaxClients: 1 << 30}
		c.Documents.Off = true // a client_id that is a URL would be fetched
	})...)
}

// handle gives a request to the server without a network in between. What is
// not a request that Go's server would pass on is reported by ok.
func (e *env) handle(t *testing.T, method, path, query, body string, header ...string) (answer *http.Response, text string, ok bool) {
	t.Helper()
	req, err := http.NewRequest(method, e.base+testPath+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.URL.RawQuery, req.RemoteAddr = query, "127.0.0.1:1"
	for i := 0; i+1 < len(header); i += 2 {
		if strings.ContainsAny(header[i+1], "\r\n\x00") {
			return nil, "", false
		}
		if header[i+1] != "" {
			req.Header.Set(header[i], header[i+1])
		}
	}
	w := httptest.NewRecorder()
	e.server.Routes()[path](w, req)
	return w.Result(), w.Body.String(), true
}

// checkJSON fails the test unless an answer is a JSON object that nothing may
// store, and returns it.
func checkJSON(t *testing.T, answer *http.Response, text string) map[string]any {
	t.Helper()
	if got := answer.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("%d has Cache-Control %q, want no-store", answer.StatusCode, got)
	}
	if got := answer.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("%d has Content-Type %q, want application/json", answer.StatusCode, got)
	}
	var object map[string]any
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		t.Fatalf("%d %q: %v", answer.StatusCode, text, err)
	}
	return object
}

// checkError fails the test unless an answer is an error with one of the codes,
// whose description keeps to RFC 6749 section 5.2.
func checkError(t *testing.T, answer *http.Response, text string, codes ...string) map[string]any {
	t.Helper()
	if answer.StatusCode < 400 || answer.StatusCode >= 500 {
		t.Errorf("status = %d %s, want 4xx", answer.StatusCode, text)
	}
	object := checkJSON(t, answer, text)
	if code, _ := object["error"].(string); !slices.Contains(codes, code) {
		t.Errorf("%d %s: want one of %q", answer.StatusCode, text, codes)
	}
	description, _ := object["error_description"].(string)
	if strings.ContainsFunc(description, func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }) {
		t.Errorf("error_description %q has a character that RFC 6749 section 5.2 forbids", description)
	}
	return object
}
