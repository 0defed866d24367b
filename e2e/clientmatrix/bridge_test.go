package clientmatrix

import (
	"encoding/json"
	"fmt"
	"strconv"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// bridge is mcp-remote as a desktop program runs it: a server on standard input
// and output, which passes all on.
type bridge struct {
	seat *seat
	line []string
	run  *harness.Script
	id   int // of the last request
}

func newBridge(t *testing.T, s *seat) client {
	t.Helper()
	line := append(node(t, "mcp-remote", "dist", "proxy.js"), s.endpoint, strconv.Itoa(harness.FreePorts(t, 1)[0]))
	return &bridge{seat: s, line: line, run: harness.StartScript(t, clientTimeout, s.environment(t), line[0], line[1:]...)}
}

func (b *bridge) logIn(t *testing.T) {
	t.Helper()
	b.seat.loggedIn(t)
	b.request(t, "initialize", `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"desktop","version":"1"}}`)
	b.run.Say(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
}

func (b *bridge) call(t *testing.T, tool string) string {
	t.Helper()
	var result mcpclient.Result
	if err := json.Unmarshal(b.request(t, "tools/call", fmt.Sprintf(`{"name":%q,"arguments":{}}`, tool)), &result); err != nil {
		t.Fatalf("reading the answer of %s: %v", tool, err)
	}
	return result.Text()
}

// try returns the error as text when there is one.
func (b *bridge) try(t *testing.T, tool string) (shown, who string) {
	t.Helper()
	result, failure := b.ask(t, "tools/call", fmt.Sprintf(`{"name":%q,"arguments":{}}`, tool))
	return string(result) + string(failure), byItself
}

// logInAgain starts the program anew, as the desktop program does when it starts.
func (b *bridge) logInAgain(t *testing.T) string {
	t.Helper()
	b.run.End()
	b.run = harness.StartScript(t, clientTimeout, b.seat.environment(t), b.line[0], b.line[1:]...)
	b.logIn(t)
	return byRestart
}

// request returns the result of a request.
func (b *bridge) request(t *testing.T, method, params string) json.RawMessage {
	t.Helper()
	result, failure := b.ask(t, method, params)
	if failure != nil {
		t.Fatalf("%s fails: %s", method, failure)
	}
	return result
}

func (b *bridge) ask(t *testing.T, method, params string) (result, failure json.RawMessage) {
	t.Helper()
	b.id++
	b.run.Say(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":%s}`, b.id, method, params))
	var answer struct {
		ID     int
		Result json.RawMessage
		Error  json.RawMessage
	}
	b.run.Find(func(line string) (string, bool) {
		return line, json.Unmarshal([]byte(line), &answer) == nil && answer.ID == b.id
	})
	return answer.Result, answer.Error
}
