package mcphandler

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Security MCP-08, MCP-10, MCP-16, MCP-18, MCP-29.
func TestEnvelope(t *testing.T) {
	tests := map[string]struct {
		body   string
		status int
		code   int
		id     string // as it comes back; empty for none
	}{
		"string id":             {`{"jsonrpc":"2.0","id":"a\"b","method":"ping"}`, 200, 0, `"a\"b"`},
		"negative id":           {`{"jsonrpc":"2.0","id":-7,"method":"ping"}`, 200, 0, "-7"},
		"escaped names":         {`{"jsonrpc":"2.0","id":1,"m\u0065thod":"p\u0069ng"}`, 200, 0, "1"},
		"white space":           {" \r\n\t" + ping + "\n", 200, 0, "1"},
		"other members":         {`{"jsonrpc":"2.0","id":1,"method":"ping","trace":{"a":[1]}}`, 200, 0, "1"},
		"null id":               {`{"jsonrpc":"2.0","id":null,"method":"ping"}`, 400, codeInvalidRequest, ""},
		"fraction as id":        {`{"jsonrpc":"2.0","id":1.5,"method":"ping"}`, 400, codeInvalidRequest, ""},
		"power as id":           {`{"jsonrpc":"2.0","id":1e3,"method":"ping"}`, 400, codeInvalidRequest, ""},
		"huge id":               {`{"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"ping"}`, 400, codeInvalidRequest, ""},
		"boolean id":            {`{"jsonrpc":"2.0","id":true,"method":"ping"}`, 400, codeInvalidRequest, ""},
		"object as id":          {`{"jsonrpc":"2.0","id":{},"method":"ping"}`, 400, codeInvalidRequest, ""},
		"request without id":    {`{"jsonrpc":"2.0","method":"ping"}`, 400, codeInvalidRequest, ""},
		"no version":            {`{"id":1,"method":"ping"}`, 400, codeInvalidRequest, "1"},
		"other version":         {`{"jsonrpc":"1.0","id":1,"method":"ping"}`, 400, codeInvalidRequest, "1"},
		"version as number":     {`{"jsonrpc":2.0,"id":1,"method":"ping"}`, 400, codeInvalidRequest, "1"},
		"no method":             {`{"jsonrpc":"2.0","id":1}`, 400, codeInvalidRequest, "1"},
		"method as number":      {`{"jsonrpc":"2.0","id":1,"method":1}`, 400, codeInvalidRequest, "1"},
		"method in capitals":    {`{"jsonrpc":"2.0","id":1,"Method":"ping"}`, 400, codeInvalidRequest, "1"},
		"params as array":       {`{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}`, 400, codeInvalidRequest, "1"},
		"params as string":      {`{"jsonrpc":"2.0","id":1,"method":"ping","params":"x"}`, 400, codeInvalidRequest, "1"},
		"params null":           {`{"jsonrpc":"2.0","id":1,"method":"ping","params":null}`, 400, codeInvalidRequest, "1"},
		"response":              {`{"jsonrpc":"2.0","id":1,"result":{}}`, 400, codeInvalidRequest, "1"},
		"error response":        {`{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}`, 400, codeInvalidRequest, "1"},
		"request and response":  {`{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}`, 400, codeInvalidRequest, "1"},
		"method twice":          {`{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}`, 400, codeInvalidRequest, "1"},
		"method twice, escaped": {`{"jsonrpc":"2.0","id":1,"method":"ping","m\u0065thod":"tools/list"}`, 400, codeInvalidRequest, "1"},
		"name twice": {
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","name":"add"}}`,
			400, codeInvalidRequest, "1",
		},
		"version in _meta twice": {
			`{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"` + metaVersion + `":"2025-11-25","` + metaVersion + `":"2026-07-28"}}}`,
			400, codeInvalidParams, "1",
		},
		"argument twice": {
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"a":1,"a":2}}}`,
			200, codeInvalidParams, "1",
		},
		"many members, the last twice": {
			`{"jsonrpc":"2.0","id":1,"method":"ping",` + numbered(40) + `,"k39":0}`, 400, codeInvalidRequest, "1",
		},
		"many members":        {`{"jsonrpc":"2.0","id":1,"method":"ping",` + numbered(40) + `}`, 200, 0, "1"},
		"number":              {"7", 400, codeInvalidRequest, ""},
		"string":              {`"ping"`, 400, codeInvalidRequest, ""},
		"null":                {"null", 400, codeInvalidRequest, ""},
		"cut off":             {ping[:len(ping)-1], 400, codeParse, ""},
		"two messages":        {ping + ping, 400, codeParse, ""},
		"comma at the end":    {`{"jsonrpc":"2.0","id":1,"method":"ping",}`, 400, codeParse, ""},
		"not UTF-8":           {`{"jsonrpc":"2.0","id":"` + "\xff" + `","method":"ping"}`, 400, codeParse, ""},
		"byte order mark":     {"\ufeff" + ping, 400, codeParse, ""},
		"control character":   {"{\"jsonrpc\":\"2.0\",\"id\":\"\n\",\"method\":\"ping\"}", 400, codeParse, ""},
		"nested as allowed":   {nested(63), 200, 0, "1"},
		"nested deeper":       {nested(64), 400, codeInvalidRequest, ""},
		"nested beyond reach": {strings.Repeat("[", 1<<20), 400, codeInvalidRequest, ""},
		"brackets in strings": {`{"jsonrpc":"2.0","id":"` + strings.Repeat("[", 100) + `\"{","method":"ping"}`, 200, 0, `"` + strings.Repeat("[", 100) + `\"{"`},
	}
	f := newFixture(t, nil)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := f.serve("POST", map[string]string{"Authorization": "Bearer alice"}, test.body)
			if w.Code != test.status {
				t.Errorf("status %d, want %d", w.Code, test.status)
			}
			if got := errorCode(t, w.Body.Bytes()); got != test.code {
				t.Errorf("code %d, want %d", got, test.code)
			}
			var response struct{ ID json.RawMessage }
			if err := json.Unmarshal(w.Body.Bytes(), &response); err != nil || string(response.ID) != test.id {
				t.Errorf("id %s, want %s (%v)", response.ID, test.id, err)
			}
		})
	}
}

// numbered returns n members, k0 to k(n-1).
func numbered(n int) string {
	var list []string
	for i := range n {
		list = append(list, `"k`+string(rune('0'+i/10))+string(rune('0'+i%10))+`":{"a":",}"}`)
	}
	return strings.Join(list, ",") + `,"k39x":1`
}

// nested returns a ping that nests one deeper than n arrays.
func nested(n int) string {
	return `{"jsonrpc":"2.0","id":1,"method":"ping","x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + "}"
}

func TestBatchLimit(t *testing.T) {
	f := newFixture(t, func(cfg *Config) { cfg.MaxBatch = 3 })
	for name, test := range map[string]struct{ count, status int }{
		"as many as allowed": {3, http.StatusOK}, "one more": {4, http.StatusBadRequest}, "many": {1000, http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			body := "[" + strings.TrimSuffix(strings.Repeat(ping+",", test.count), ",") + "]"
			w := f.serve("POST", map[string]string{"Authorization": "Bearer alice"}, body)
			if w.Code != test.status {
				t.Errorf("status %d, want %d", w.Code, test.status)
			}
			var responses []json.RawMessage
			if err := json.Unmarshal(w.Body.Bytes(), &responses); (err == nil) != (test.status == http.StatusOK) {
				t.Errorf("body %s", w.Body)
			}
			if test.status == http.StatusOK && len(responses) != test.count {
				t.Errorf("%d responses, want %d", len(responses), test.count)
			}
		})
	}
}

// FuzzEnvelope sends any bytes as the body of a request: the answer is JSON or
// nothing, never an error of the server, and its id is found in the request.
// Security MCP-08, MCP-10.
func FuzzEnvelope(f *testing.F) {
	for _, seed := range []string{
		ping, "", "{", "7", "[]", "[" + ping + ",7]", nested(3),
		modernCall("echo", `{"a":[1,{"b":null}]}`), modernCall("query", `{"deep":{"dry":true},"region":"\ud800"}`),
		`{"jsonrpc":"2.0","id":"\u0000","method":"tools/list","params":{"cursor":"YWZ0ZXI6ZWNobw"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{"url":{}}}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"inbox","requestState":"AAAA","inputResponses":{"connect":{"action":"accept"}},` + modernMeta + `}}`,
		`{"jsonrpc":"2.0","method":"notifications/x","\u006aethod":{}}`, `{"a":"\`, `{"":{"":[]}}`,
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	fix := newFixture(f, func(cfg *Config) { cfg.Record = nil })
	f.Fuzz(func(t *testing.T, body []byte, modern bool) {
		if strings.Contains(string(body), "wait") {
			return // a tool that waits for the client to go
		}
		r := httptest.NewRequest("POST", "/mcp", strings.NewReader(string(body)))
		r.Header = http.Header{"Authorization": {"Bearer alice"}, "Content-Type": {"application/json"}}
		if modern {
			r.Header["Mcp-Protocol-Version"] = []string{"2026-07-28"}
			r.Header["Mcp-Method"] = []string{"tools/call"}
			r.Header["Mcp-Name"] = []string{"echo"}
		}
		w := httptest.NewRecorder()
		fix.handler.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Fatalf("status %d", w.Code)
		}
		if w.Code == http.StatusAccepted {
			return
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("answer is no JSON: %q", w.Body)
		}
		if id := member(w.Body.Bytes(), "id"); !strings.Contains(string(body), string(id)) {
			t.Fatalf("answer has the id %s", id)
		}
	})
}
