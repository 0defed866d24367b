package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// The attacks of docs/security.md that need the whole server: raw HTTP against
// the built binary, with no client in between that would put things right.

const attackTimeout = 15 * time.Second // of one request

// target is a server under attack.
type target struct {
	*testing.T
	*harness.Server
	host string // with port
	http *http.Client
}

// newTarget starts a server with the endpoints /mcp and /same of one realm and
// /other of another.
func newTarget(t *testing.T) *target {
	t.Helper()
	s := harness.NewServer(t, "testdata/attack")
	u, err := url.Parse(s.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 32}
	t.Cleanup(transport.CloseIdleConnections)
	return &target{t, s, u.Host, &http.Client{
		Timeout: attackTimeout, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// at is the same server, of which path is the endpoint.
func (a *target) at(path string) *harness.Server {
	s := *a.Server
	s.Endpoint = "http://" + a.host + path
	return &s
}

// token logs a person in at /mcp and returns the access token.
func (a *target) token(person browser.Person) string {
	a.Helper()
	return logIn(a.T, a.Server, newBrowser(a.T, a.Server, person), mcpclient.Modern).Tokens.AccessToken
}

// reply is an answer that was read.
type reply struct {
	status int
	header http.Header
	body   string
}

// send sends a request; header are names and values, and a name again adds a
// value.
func (a *target) send(method, address string, body io.Reader, header ...string) reply {
	a.Helper()
	if strings.HasPrefix(address, "/") {
		address = "http://" + a.host + address
	}
	req, err := http.NewRequestWithContext(a.Context(), method, address, body)
	if err != nil {
		a.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := a.http.Do(req)
	if err != nil {
		a.Errorf("%s %s: %v", method, req.URL.Path, err)
		return reply{header: http.Header{}}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		a.Errorf("reading the answer to %s %s: %v", method, req.URL.Path, err)
	}
	return reply{resp.StatusCode, resp.Header, string(text)}
}

const jsonType = "application/json"

// post sends a message of the old era with a token.
func (a *target) post(token, message string, header ...string) reply {
	a.Helper()
	return a.send("POST", "/mcp", strings.NewReader(message), append([]string{
		"Authorization", "Bearer " + token, "Content-Type", jsonType, "Accept", "application/json, text/event-stream",
	}, header...)...)
}

// callOf is a call of a tool, in the old era without a session.
func callOf(id any, tool, arguments string) string {
	text, err := json.Marshal(id)
	if err != nil {
		return ""
	}
	return `{"jsonrpc":"2.0","id":` + string(text) + `,"method":"tools/call","params":{"name":"` + tool + `","arguments":` + arguments + `}}`
}

var whoami = callOf(1, "whoami", "{}")

// alive fails the test unless the server still answers a good call.
func (a *target) alive(token string) {
	a.Helper()
	if r := a.post(token, whoami); r.status != http.StatusOK || !strings.Contains(r.body, "@example.com") {
		a.Errorf("a good call afterwards = %d %s", r.status, r.body)
	}
}

// dial opens a connection on which bytes are sent as they are.
func (a *target) dial() net.Conn {
	a.Helper()
	conn, err := net.DialTimeout("tcp", a.host, attackTimeout)
	if err != nil {
		a.Fatal(err)
	}
	a.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(attackTimeout)); err != nil {
		a.Fatal(err)
	}
	return conn
}

// raw sends bytes and returns all answers until the server closes or says
// nothing for a second.
func (a *target) raw(text string) []reply {
	a.Helper()
	conn := a.dial()
	if _, err := io.WriteString(conn, text); err != nil {
		return nil // closed while we were writing
	}
	var replies []reply
	in := bufio.NewReader(conn)
	for {
		if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			a.Fatal(err)
		}
		r, err := readReply(in)
		if err != nil {
			return replies
		}
		replies = append(replies, r)
	}
}

func readReply(in *bufio.Reader) (reply, error) {
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(body)}, err
}

// rawCall is a request with a message, as it goes over the wire.
func (a *target) rawCall(token, message string) string {
	return strings.Join([]string{
		"POST /mcp HTTP/1.1", "Host: " + a.host, "Authorization: Bearer " + token,
		"Content-Type: application/json", "Content-Length: " + strconv.Itoa(len(message)), "", message,
	}, "\r\n")
}

// isTimeout reports whether a read ended by its deadline.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
