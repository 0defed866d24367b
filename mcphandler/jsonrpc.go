package mcphandler

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// Error codes of JSON-RPC 2.0 section 5.1, and of MCP.
const (
	codeParse          = -32700
	codeInvalidRequest = -32600
	codeMethodNotFound = -32601
	codeInvalidParams  = -32602
	codeInternal       = -32603

	codeHeaderMismatch     = -32020 // since 2026-07-28
	codeUnsupportedVersion = -32022 // since 2026-07-28
	codeElicitationNeeded  = -32042 // 2025-11-25 alone
)

// failure is an error that the client is told. It is answered in JSON always: a
// client of the stateless revision that gets anything else takes the server for
// an old one.
type failure struct {
	status  int // of the HTTP response
	code    int // of JSON-RPC
	message string
	data    any
	// challenge is the value of WWW-Authenticate of a 401 or 403; optional.
	challenge string
}

// invalidRequest is a failure of a message that MCP does not know.
func invalidRequest(message string) *failure {
	return &failure{status: http.StatusBadRequest, code: codeInvalidRequest, message: message}
}

// invalidParams is a failure of a message that is well formed otherwise, hence
// with status 200.
func invalidParams(message string) *failure {
	return &failure{status: http.StatusOK, code: codeInvalidParams, message: message}
}

// message is one JSON-RPC request or notification. Its parts point into the
// body.
type message struct {
	id     json.RawMessage // nil in a notification
	method string
	params params
}

func (m *message) isNotification() bool { return m.id == nil }

// params holds the parameters of the methods that are served, raw. A nil part
// was absent.
type params struct {
	meta            meta
	name            json.RawMessage // tools/call
	arguments       json.RawMessage // tools/call
	inputResponses  json.RawMessage // tools/call
	requestState    json.RawMessage // tools/call
	cursor          json.RawMessage // tools/list
	requestID       json.RawMessage // notifications/cancelled
	protocolVersion json.RawMessage // initialize
	capabilities    json.RawMessage // initialize
}

// meta is what a request says of itself: the first two in the stateless
// revision alone.
type meta struct {
	version       string // empty when absent or no string
	capabilities  json.RawMessage
	progressToken json.RawMessage // a string or an integer
}

// parseMessage reads a message. With a failure, the message has the id as far
// as it could be read, so that the answer can name it.
func parseMessage(raw []byte) (message, *failure) {
	var msg message
	if !isObject(raw) {
		return msg, invalidRequest("the body is not one JSON-RPC message")
	}
	var version, method, parameters, response json.RawMessage
	m := membersOf(raw)
	for m.next() {
		switch string(m.name) {
		case "jsonrpc":
			version = m.value
		case "id":
			msg.id = m.value
		case "method":
			method = m.value
		case "params":
			parameters = m.value
		case "result", "error":
			response = m.value
		}
	}
	if msg.id != nil && !isID(msg.id) {
		msg.id = nil
		return msg, invalidRequest("the id is neither a string nor an integer")
	}
	if f := checkEnvelope(&msg, &m, version, method, response); f != nil {
		return msg, f
	}
	return msg, parseParams(&msg.params, parameters)
}

func checkEnvelope(msg *message, m *members, version, method, response json.RawMessage) *failure {
	switch {
	case m.repeated:
		return invalidRequest("a member of the message stands there twice")
	case version == nil || !isString(version) || decodeString(version) != "2.0":
		return invalidRequest(`the message does not say "jsonrpc": "2.0"`)
	case response != nil:
		return invalidRequest("the server asked nothing that this could respond to")
	case method == nil || !isString(method):
		return invalidRequest("the message names no method")
	}
	msg.method = decodeString(method)
	if msg.isNotification() && !strings.HasPrefix(msg.method, "notifications/") {
		return invalidRequest("a request needs an id")
	}
	return nil
}

// isID reports whether raw is an id as MCP wants it: a string or an integer.
func isID(raw []byte) bool {
	if isString(raw) {
		return true
	}
	digits := bytes.TrimPrefix(raw, []byte("-"))
	return len(digits) > 0 && len(digits) <= 19 && len(bytes.TrimLeft(digits, "0123456789")) == 0
}

func parseParams(p *params, raw json.RawMessage) *failure {
	if raw == nil {
		return nil
	}
	if !isObject(raw) {
		return invalidRequest("the params are not an object")
	}
	var own json.RawMessage
	m := membersOf(raw)
	for m.next() {
		switch string(m.name) {
		case "_meta":
			own = m.value
		case "name":
			p.name = m.value
		case "arguments":
			p.arguments = m.value
		case "inputResponses":
			p.inputResponses = m.value
		case "requestState":
			p.requestState = m.value
		case "cursor":
			p.cursor = m.value
		case "requestId":
			p.requestID = m.value
		case "protocolVersion":
			p.protocolVersion = m.value
		case "capabilities":
			p.capabilities = m.value
		}
	}
	if m.repeated {
		return invalidRequest("a member of the params stands there twice")
	}
	if own == nil {
		return nil
	}
	return parseMeta(&p.meta, own)
}

func parseMeta(p *meta, raw json.RawMessage) *failure {
	if !isObject(raw) {
		return &failure{status: http.StatusBadRequest, code: codeInvalidParams, message: "_meta is not an object"}
	}
	m := membersOf(raw)
	for m.next() {
		switch string(m.name) {
		case metaVersion:
			if isString(m.value) {
				p.version = decodeString(m.value)
			}
		case metaCapabilities:
			if isObject(m.value) {
				p.capabilities = m.value
			}
		case "progressToken":
			if isID(m.value) { // of the same types
				p.progressToken = m.value
			}
		}
	}
	if m.repeated {
		return &failure{status: http.StatusBadRequest, code: codeInvalidParams, message: "a member of _meta stands there twice"}
	}
	return nil
}

// answer is the answer to a message: an HTTP status, and the JSON-RPC response,
// which a notification has not.
type answer struct {
	status  int
	body    []byte
	session string // id of a new session
	// challenge is the value of WWW-Authenticate; optional.
	challenge string
}

// accepted answers a notification.
func accepted() answer { return answer{status: http.StatusAccepted} }

// openResult begins the response to the request id; closeResult ends it. In
// between the caller appends the result, for which size is a guess.
func openResult(id json.RawMessage, size int) []byte {
	b := make([]byte, 0, len(`{"jsonrpc":"2.0","id":,"result":}`)+len(id)+size)
	b = append(b, `{"jsonrpc":"2.0","id":`...)
	b = append(b, id...)
	return append(b, `,"result":`...)
}

func closeResult(b []byte) answer {
	return answer{status: http.StatusOK, body: append(b, '}')}
}

// succeeded answers the request id with a result that is JSON already.
func succeeded(id json.RawMessage, result []byte) answer {
	return closeResult(append(openResult(id, len(result)), result...))
}

// failed answers the request id with f. An id that could not be read is left
// out, as MCP has it since 2025-11-25; older schemas know no null either.
func failed(id json.RawMessage, f *failure) answer {
	b := []byte(`{"jsonrpc":"2.0",`)
	if id != nil {
		b = append(append(append(b, `"id":`...), id...), ',')
	}
	b = append(b, `"error":{"code":`...)
	b = strconv.AppendInt(b, int64(f.code), 10)
	b = append(b, `,"message":`...)
	b = appendJSON(b, f.message)
	if f.data != nil {
		b = append(b, `,"data":`...)
		b = appendJSON(b, f.data)
	}
	return answer{status: f.status, body: append(b, "}}"...), challenge: f.challenge}
}

// appendJSON appends the JSON of v, which is made of strings, maps and structs
// of strings only, and so always has one.
func appendJSON(b []byte, v any) []byte {
	buf := bytes.NewBuffer(b)
	encoder := json.NewEncoder(buf)
	encoder.SetEscapeHTML(false) // links stay readable
	if err := encoder.Encode(v); err != nil {
		return append(b, "null"...)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

// send writes a. An error of writing means that the client has gone.
func send(w http.ResponseWriter, a answer) {
	header := w.Header()
	if a.session != "" {
		header.Set("Mcp-Session-Id", a.session)
	}
	if a.challenge != "" {
		header.Set("WWW-Authenticate", a.challenge)
	}
	if a.status == http.StatusServiceUnavailable || a.status == http.StatusTooManyRequests {
		header.Set("Retry-After", retryAfter)
	}
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	fields := []string{mediaJSON, strconv.Itoa(len(a.body))}
	header["Content-Type"], header["Content-Length"] = fields[0:1:1], fields[1:2:2]
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// refuse answers a request whose message was not read.
func refuse(w http.ResponseWriter, f *failure) { send(w, failed(nil, f)) }
