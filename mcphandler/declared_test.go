package mcphandler

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestNewDeclaredErrors(t *testing.T) {
	request := &RequestConfig{Method: "GET", URL: "https://h.example/x"}
	for name, tc := range map[string]struct {
		cfg  DeclaredConfig
		want string
	}{
		"name":                     {DeclaredConfig{Name: "a b", Description: "d", Respond: "x"}, `tool "a b": name: accepted are 1 to 128 characters of A-Z a-z 0-9 _ . -`},
		"description":              {DeclaredConfig{Name: "a", Respond: "x"}, `tool "a": description: is missing; the model chooses a tool by it`},
		"nothing to do":            {DeclaredConfig{Name: "a", Description: "d"}, `tool "a": it does nothing; set respond, or a request: get, post, put, patch, delete or head`},
		"two things to do":         {DeclaredConfig{Name: "a", Description: "d", Respond: "x", Request: request}, `tool "a": respond and request exclude each other; set one of them`},
		"provider without request": {DeclaredConfig{Name: "a", Description: "d", Respond: "x", Provider: "google"}, `tool "a": provider "google": accepted only with request`},
		"scopes without provider":  {DeclaredConfig{Name: "a", Description: "d", Request: request, Scopes: []string{"s"}}, `tool "a": scopes: accepted only with provider`},
		"result without request":   {DeclaredConfig{Name: "a", Description: "d", Respond: "x", Result: "."}, `tool "a": result: accepted only with request`},
		"hints":                    {DeclaredConfig{Name: "a", Description: "d", Respond: "x", ReadOnly: true, Destructive: true}, `tool "a": read_only and destructive exclude each other; set one of them`},
		"timeout":                  {DeclaredConfig{Name: "a", Description: "d", Respond: "x", Timeout: time.Hour}, `tool "a": timeout 1h0m0s: accepted are durations up to 10m0s`},
		"response":                 {DeclaredConfig{Name: "a", Description: "d", Respond: "x", MaxResponse: -1}, `tool "a": max_response -1: accepted are 1 to 67108864 bytes`},
		"inputs":                   {DeclaredConfig{Name: "a", Description: "d", Respond: "x", Inputs: []Input{{Name: "b"}}}, `tool "a": input b: type ""; accepted are string, integer, number, boolean, and each of them followed by [] for a list`},
		"respond":                  {DeclaredConfig{Name: "a", Description: "d", Respond: "{arg.b}"}, `tool "a": respond: placeholder {arg.b} names no argument of the tool; it has none`},
		"respond no JSON":          {DeclaredConfig{Name: "a", Description: "d", Respond: "x", OutputSchema: json.RawMessage(`{}`)}, `tool "a": respond: invalid JSON: invalid character 'x' looking for beginning of value`},
		"output schema":            {DeclaredConfig{Name: "a", Description: "d", Respond: "1", OutputSchema: json.RawMessage(`{"type":"thing"}`)}, `tool "a": output_schema: not a valid JSON Schema: type: must be of type array, is string; type: must be one of ["array","boolean","integer","null","number","object","string"]`},
		"result":                   {DeclaredConfig{Name: "a", Description: "d", Request: request, Result: ".["}, `tool "a": result: parsing jq program ".[": unexpected EOF`},
		"request":                  {DeclaredConfig{Name: "a", Description: "d", Request: &RequestConfig{Method: "GET", URL: "http://h.example/x"}, Provider: "p"}, `tool "a": request: url: found "http://h.example/x": the request carries the grant of a provider; accepted is https, or http to a loopback host`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewDeclared(tc.cfg, &recorder{}, DeclaredOptions{Expand: fakeEnv})
			if err == nil || err.Error() != tc.want {
				t.Errorf("NewDeclared(%+v) = %v\nwant %s", tc.cfg, err, tc.want)
			}
		})
	}
	_, err := NewDeclared(DeclaredConfig{Name: "a", Description: "d", Request: request}, nil, DeclaredOptions{})
	if want := `tool "a": request: there is nothing to send it with`; err == nil || err.Error() != want {
		t.Errorf("NewDeclared without upstream = %v, want %s", err, want)
	}
}

func TestConfigErrorsShowNoSecrets(t *testing.T) {
	for name, cfg := range map[string]RequestConfig{
		"host":   {Method: "GET", URL: "https://h ost{env.KEY}/x"},
		"path":   {Method: "GET", URL: "https://h/{env.KEY} x"},
		"query":  {Method: "GET", URL: "https://h/?{env.KEY} x"},
		"header": {Method: "GET", URL: "https://h/", Headers: []Pair{{"X", "{env.KEY}{env.LINES}"}}},
		"user":   {Method: "GET", URL: "https://u:{env.KEY}@h/"},
		"scheme": {Method: "GET", URL: "{env.KEY}://h/"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewDeclared(DeclaredConfig{Name: "a", Description: "d", Request: &cfg}, &recorder{}, DeclaredOptions{Expand: fakeEnv})
			if err == nil || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("NewDeclared(%+v) = %v, want an error without the secret", cfg, err)
			}
		})
	}
}

func TestDeclaredRespond(t *testing.T) {
	whoami := mustDeclare(t, nil, DeclaredConfig{Respond: "{user.email} by {client.name}{user.claims.nope}"})
	if got, want := callText(t, whoami, `{}`), "alice@example.com by Claude"; got != want {
		t.Errorf("Call = %s, want %s", got, want)
	}

	d := mustDeclare(t, nil, DeclaredConfig{
		Inputs:       []Input{{Name: "n", Type: "integer", Optional: true}, {Name: "s", Type: "string", Optional: true}},
		OutputSchema: json.RawMessage(`{"type":"object","required":["n"],"additionalProperties":false,"properties":{"n":{"type":"integer"},"s":{"type":"string"}}}`),
		Respond:      `{"s":"{arg.s}","n":"{arg.n}"}`,
	})
	for name, tc := range map[string]struct{ arguments, want string }{
		"matches":            {`{"n":1.0,"s":"x"}`, `{"s":"x","n":1}`},
		"cannot be reshaped": {`{"n":1,"s":"\",\"x\":\""}`, `{"s":"\",\"x\":\"","n":1}`},
		"does not match":     {`{}`, "tool error: the service's answer had an unexpected form: output schema: n: is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := callText(t, d, tc.arguments); got != tc.want {
				t.Fatalf("Call(%s) = %s\nwant %s", tc.arguments, got, tc.want)
			}
			if result, _ := callResult(t, d, tc.arguments); result != nil && string(result.StructuredContent) != tc.want {
				t.Errorf("structured content of %s is %s, want %s", tc.arguments, result.StructuredContent, tc.want)
			}
		})
	}
}
