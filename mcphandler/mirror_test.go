package mcphandler

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestMirroredArguments(t *testing.T) {
	tests := map[string]struct {
		arguments string
		fields    http.Header
		ok        bool
	}{
		"none":                   {`{}`, nil, true},
		"string":                 {`{"region":"eu"}`, http.Header{"Mcp-Param-Region": {"eu"}}, true},
		"string, escaped":        {`{"region":"\u0065u"}`, http.Header{"Mcp-Param-Region": {"eu"}}, true},
		"string, other case":     {`{"region":"eu"}`, http.Header{"Mcp-Param-Region": {"EU"}}, false},
		"string, missing":        {`{"region":"eu"}`, nil, false},
		"string, empty":          {`{"region":""}`, http.Header{"Mcp-Param-Region": {""}}, true},
		"string, twice":          {`{"region":"eu"}`, http.Header{"Mcp-Param-Region": {"eu", "eu"}}, false},
		"null":                   {`{"region":null}`, nil, true},
		"null, with field":       {`{"region":null}`, http.Header{"Mcp-Param-Region": {"null"}}, false},
		"absent, with field":     {`{}`, http.Header{"Mcp-Param-Region": {"eu"}}, false},
		"object":                 {`{"region":{}}`, nil, true},
		"base64":                 {`{"region":"ü"}`, http.Header{"Mcp-Param-Region": {"=?base64?w7w=?="}}, true},
		"base64, no padding":     {`{"region":"ü"}`, http.Header{"Mcp-Param-Region": {"=?base64?w7w?="}}, false},
		"base64, other alphabet": {`{"region":"ü"}`, http.Header{"Mcp-Param-Region": {"=?base64?w7_=?="}}, false},
		"base64, spare bits":     {`{"region":"ü"}`, http.Header{"Mcp-Param-Region": {"=?base64?w7x=?="}}, false},
		"no prefix":              {`{"region":"w7w="}`, http.Header{"Mcp-Param-Region": {"w7w="}}, true},
		"no suffix":              {`{"region":"=?base64?w7w="}`, http.Header{"Mcp-Param-Region": {"=?base64?w7w="}}, true},
		"prefix in capitals":     {`{"region":"=?BASE64?w7w=?="}`, http.Header{"Mcp-Param-Region": {"=?BASE64?w7w=?="}}, true},
		"raw UTF-8":              {`{"region":"ü"}`, http.Header{"Mcp-Param-Region": {"ü"}}, false},
		"integer":                {`{"limit":42}`, http.Header{"Mcp-Param-Limit": {"42"}}, true},
		"integer as fraction":    {`{"limit":42}`, http.Header{"Mcp-Param-Limit": {"42.0"}}, true},
		"fraction as integer":    {`{"limit":42.00}`, http.Header{"Mcp-Param-Limit": {"42"}}, true},
		"negative integer":       {`{"limit":-7}`, http.Header{"Mcp-Param-Limit": {"-7"}}, true},
		"other integer":          {`{"limit":42}`, http.Header{"Mcp-Param-Limit": {"43"}}, false},
		"beyond float precision": {`{"limit":9007199254740993}`, http.Header{"Mcp-Param-Limit": {"9007199254740992"}}, false},
		"hexadecimal":            {`{"limit":16}`, http.Header{"Mcp-Param-Limit": {"0x10"}}, false},
		"quotient":               {`{"limit":2}`, http.Header{"Mcp-Param-Limit": {"4/2"}}, false},
		"leading zero":           {`{"limit":8}`, http.Header{"Mcp-Param-Limit": {"08"}}, false},
		"power, spelled alike":   {`{"limit":1e2}`, http.Header{"Mcp-Param-Limit": {"1e2"}}, true},
		"enormous power":         {`{"limit":1}`, http.Header{"Mcp-Param-Limit": {"1e999999999"}}, false},
		"nested boolean":         {`{"deep":{"dry":true}}`, http.Header{"Mcp-Param-Dry-Run": {"true"}}, true},
		"other boolean":          {`{"deep":{"dry":true}}`, http.Header{"Mcp-Param-Dry-Run": {"false"}}, false},
		"nested missing":         {`{"deep":{"dry":true}}`, nil, false},
		"not nested after all":   {`{"deep":[{"dry":true}]}`, nil, true},
		"nested twice":           {`{"deep":{"dry":true,"dry":false}}`, http.Header{"Mcp-Param-Dry-Run": {"true"}}, false},
		"unknown field":          {`{}`, http.Header{"Mcp-Param-Other": {"x"}}, true},
	}
	f := newFixture(t, nil)
	var query *described
	for _, tool := range f.tools() {
		if d, err := describe(tool); err == nil && d.Name == "query" {
			query = d
		}
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := matchParams(test.fields, query.params, []byte(test.arguments))
			if (f == nil) != test.ok {
				t.Errorf("matchParams(%v, %s) = %+v, want agreement: %v", test.fields, test.arguments, f, test.ok)
			}
			if f != nil && (f.code != codeHeaderMismatch || f.status != http.StatusBadRequest) {
				t.Errorf("failure %+v, want 400 and %d", f, codeHeaderMismatch)
			}
		})
	}
}

// TestFieldsTwice sends a field a second time: a proxy in front may have read
// the other one. Security MCP-24, MCP-25.
func TestFieldsTwice(t *testing.T) {
	tests := map[string]int{
		"Mcp-Method": codeHeaderMismatch, "Mcp-Name": codeHeaderMismatch,
		"Mcp-Protocol-Version": codeHeaderMismatch, "Content-Type": codeInvalidRequest,
	}
	f := newFixture(t, nil)
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/mcp", strings.NewReader(modernCall("echo", "{}")))
			r.Header.Set("Content-Type", "application/json")
			for name, value := range modernFields("alice", "tools/call", "echo") {
				r.Header.Set(name, value)
			}
			r.Header.Add(name, r.Header.Get(name))
			w := httptest.NewRecorder()
			f.handler.ServeHTTP(w, r)
			if got := errorCode(t, w.Body.Bytes()); got != want {
				t.Errorf("code %d, want %d; body %s", got, want, w.Body)
			}
		})
	}
}
