package clientmatrix

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
)

// request is what the server's log says about a request.
type request struct {
	Time    float64 `json:"ts"` // of its end, in seconds since 1970
	Status  int     `json:"status"`
	Request struct {
		Method string      `json:"method"`
		URI    string      `json:"uri"`
		Header http.Header `json:"headers"`
	} `json:"request"`

	path string
}

// is reports whether it is a request to that path below the endpoint, "" being
// the endpoint itself.
func (r *request) is(method, path string) bool {
	return r.Request.Method == method && r.path == "/mcp"+path
}

// traffic is what reached the server, in the order in which it was answered.
type traffic []request

// watch returns the requests since the log was that long.
func watch(t *testing.T, s *harness.Server, since int) traffic {
	t.Helper()
	var seen traffic
	for line := range strings.Lines(s.Log()[since:]) {
		if !strings.Contains(line, `"logger":"http.log.access`) {
			continue
		}
		var r request
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("reading the log: %v in %s", err, line)
		}
		u, err := url.ParseRequestURI(r.Request.URI)
		if err != nil {
			t.Fatalf("reading the log: %v", err)
		}
		r.path = strings.TrimSuffix(u.Path, "/")
		seen = append(seen, r)
	}
	return seen
}

// count counts the requests to a path below the endpoint with that answer.
func (tr traffic) count(method, path string, status int) int {
	n := 0
	for _, r := range tr {
		if r.is(method, path) && r.Status == status {
			n++
		}
	}
	return n
}

// renewed says when the client got another token: ahead of its next call, or when
// it was told by a 401; "" if it did not. That the token expires once more while
// a slow client works does not count.
func (tr traffic) renewed() string {
	how := "ahead"
	for _, r := range tr {
		switch {
		case r.is(http.MethodPost, "/token") && r.Status == http.StatusOK:
			return how
		case r.is(http.MethodPost, "") && r.Status == http.StatusUnauthorized:
			how = "when told"
		}
	}
	return ""
}

// revision is the protocol revision of the last call.
func (tr traffic) revision() string {
	found := ""
	for _, r := range tr {
		if v := r.Request.Header.Get("MCP-Protocol-Version"); r.is(http.MethodPost, "") && r.Status == http.StatusOK && v != "" {
			found = v
		}
	}
	return found
}

// lastToken is when the last access token was issued.
func (tr traffic) lastToken() time.Time {
	var last float64
	for _, r := range tr {
		if r.is(http.MethodPost, "/token") && r.Status == http.StatusOK {
			last = r.Time
		}
	}
	return time.UnixMicro(int64(last * 1e6))
}

// authorizations are the queries of the requests for an authorization.
func (tr traffic) authorizations() []url.Values {
	var queries []url.Values
	for _, r := range tr {
		if u, err := url.ParseRequestURI(r.Request.URI); err == nil && r.path == "/mcp/authorize" {
			queries = append(queries, u.Query())
		}
	}
	return queries
}
