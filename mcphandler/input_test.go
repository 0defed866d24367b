package mcphandler

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestInputSchemas reads declarations of inputs and compares the description
// that clients get. The files hold a tool as JSON; beside each stands what it
// describes.
func TestInputSchemas(t *testing.T) {
	files, err := filepath.Glob("testdata/declared/*.tool.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files (%v)", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".tool.json")
		t.Run(name, func(t *testing.T) {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var cfg DeclaredConfig
			dec := json.NewDecoder(bytes.NewReader(source))
			dec.DisallowUnknownFields()
			if err := dec.Decode(&cfg); err != nil {
				t.Fatal(err)
			}
			raw, err := encodeJSON(mustDeclare(t, nil, cfg).Describe())
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if err := json.Indent(&got, raw, "", "\t"); err != nil {
				t.Fatal(err)
			}
			got.WriteByte('\n')
			golden := filepath.Join("testdata/declared", name+".golden.json")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("got:\n%s\nwant:\n%s", got.Bytes(), want)
			}
		})
	}
}

func pointer[T any](v T) *T { return &v }

func TestInputErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		inputs []Input
		want   string
	}{
		"type":                   {[]Input{{Name: "a", Type: "int"}}, `input a: type "int"; accepted are string, integer, number, boolean, and each of them followed by [] for a list`},
		"no type":                {[]Input{{Name: "a"}}, `input a: type ""; accepted are string, integer, number, boolean, and each of them followed by [] for a list`},
		"list of lists":          {[]Input{{Name: "a", Type: "string[][]"}}, `input a: type "string[][]"; accepted are string, integer, number, boolean, and each of them followed by [] for a list`},
		"name":                   {[]Input{{Name: "a-b", Type: "string"}}, `inputs[0]: name "a-b"; accepted are 1 to 64 letters, digits and underscores`},
		"no name":                {[]Input{{Type: "string"}}, `inputs[0]: name ""; accepted are 1 to 64 letters, digits and underscores`},
		"twice":                  {[]Input{{Name: "a", Type: "string"}, {Name: "a", Type: "string"}}, `inputs[1]: name "a" is already taken`},
		"min of text":            {[]Input{{Name: "a", Type: "string", Min: pointer(1.0)}}, `input a: min is set for type string; accepted for integer and number`},
		"length of number":       {[]Input{{Name: "a", Type: "number", MaxLength: pointer(1)}}, `input a: max_length is set for type number; accepted for string`},
		"items of text":          {[]Input{{Name: "a", Type: "string", MaxItems: pointer(1)}}, `input a: max_items is set for type string; accepted for lists, such as string[]`},
		"min above max":          {[]Input{{Name: "a", Type: "integer", Min: pointer(2.0), Max: pointer(1.0)}}, `input a: min 2 is greater than max 1`},
		"lengths":                {[]Input{{Name: "a", Type: "string", MinLength: pointer(70000)}}, `input a: min_length 70000; accepted is 0 to max_length, which is 65536`},
		"negative":               {[]Input{{Name: "a", Type: "string[]", MaxItems: pointer(-1)}}, `input a: max_items -1; accepted is 0 or more`},
		"format":                 {[]Input{{Name: "a", Type: "string", Format: "datetime"}}, `input a: format "datetime"; accepted are date, date-time, duration, email, hostname, ipv4, ipv6, iri, iri-reference, json-pointer, regex, relative-json-pointer, time, uri, uri-reference, uri-template, uuid`},
		"pattern":                {[]Input{{Name: "a", Type: "string", Pattern: "(?!x)"}}, `input a: pattern "(?!x)" does not compile; accepted are regular expressions without look-around and back references`},
		"enum of another type":   {[]Input{{Name: "a", Type: "integer", Enum: []json.RawMessage{[]byte(`"x"`)}}}, `input a: enum value "x" must be of type integer, is string`},
		"enum twice":             {[]Input{{Name: "a", Type: "integer", Enum: []json.RawMessage{[]byte(`1`), []byte(`1`)}}}, `input a: enum value 1 is listed twice`},
		"enum no JSON":           {[]Input{{Name: "a", Type: "string", Enum: []json.RawMessage{[]byte(`x`)}}}, `input a: enum value x: invalid JSON: invalid character 'x' looking for beginning of value`},
		"default out of range":   {[]Input{{Name: "a", Type: "integer", Max: pointer(100.0), Default: json.RawMessage("500")}}, `input a: default 500 must be at most 100`},
		"default of other type":  {[]Input{{Name: "a", Type: "string[]", Default: json.RawMessage(`"x"`)}}, `input a: default "x" must be of type array, is string`},
		"default in a list":      {[]Input{{Name: "a", Type: "integer[]", Default: json.RawMessage(`[1,"x"]`)}}, `input a: default [1,"x"] 1: must be of type integer, is string`},
		"default that is number": {[]Input{{Name: "a", Type: "string", Default: json.RawMessage(`1e9999`)}}, `input a: default 1e9999: the exponent of a number is out of range, accepted is -1000 to 1000`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := newInputs(&DeclaredConfig{Inputs: tc.inputs}); err == nil || err.Error() != tc.want {
				t.Errorf("newInputs(%+v) = %v\nwant %s", tc.inputs, err, tc.want)
			}
		})
	}
}

func TestInputSchemaErrors(t *testing.T) {
	for name, tc := range map[string]struct{ schema, want string }{
		"no JSON":          {`{`, "input_schema: invalid JSON: unexpected EOF"},
		"no object":        {`[]`, "input_schema: found []; accepted is a JSON Schema of type object"},
		"no type":          {`{}`, "input_schema: found type null; accepted is a JSON Schema of type object"},
		"another type":     {`{"type":["object","null"]}`, `input_schema: found type ["object","null"]; accepted is a JSON Schema of type object`},
		"bad schema":       {`{"type":"object","properties":{"a":{"type":"text","minLength":-1}}}`, `input_schema: not a valid JSON Schema: properties.a.minLength: must be at least 0; properties.a.type: must be of type array, is string; properties.a.type: must be one of ["array","boolean","integer","null","number","object","string"]`},
		"file reference":   {`{"type":"object","properties":{"a":{"$ref":"file:///etc/passwd"}}}`, "input_schema: reference to file:///etc/passwd: only references within the schema itself are followed"},
		"other reference":  {`{"type":"object","properties":{"a":{"$ref":"other.json"}}}`, "input_schema: reference to tool:///other.json: only references within the schema itself are followed"},
		"remote reference": {`{"type":"object","properties":{"a":{"$ref":"https://evil.example/s"}}}`, "input_schema: reference to https://evil.example/s: only references within the schema itself are followed"},
		"pattern":          {`{"type":"object","properties":{"a":{"pattern":"(?=x)"}}}`, `input_schema: not a valid JSON Schema: properties.a.pattern: must be a regular expression without look-around and back references`},
		"default":          {`{"type":"object","properties":{"a/b":{"type":"integer","default":"x"}}}`, `input_schema: input a/b: default "x" must be of type integer, is string`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newInputs(&DeclaredConfig{InputSchema: json.RawMessage(tc.schema)})
			if err == nil || err.Error() != tc.want {
				t.Errorf("newInputs(%s) = %v\nwant %s", tc.schema, err, tc.want)
			}
		})
	}
	_, err := newInputs(&DeclaredConfig{InputSchema: json.RawMessage(`{"type":"object"}`), Inputs: []Input{{Name: "a", Type: "string"}}})
	if want := "inputs and input_schema exclude each other; set one of them"; err == nil || err.Error() != want {
		t.Errorf("newInputs of both = %v, want %s", err, want)
	}
}

// Security MCP-14.
func TestArguments(t *testing.T) {
	d := mustDeclare(t, nil, DeclaredConfig{
		Inputs: []Input{
			{Name: "query", Type: "string", MinLength: pointer(2), MaxLength: pointer(5)},
			{Name: "limit", Type: "integer", Default: json.RawMessage("10"), Min: pointer(1.0), Max: pointer(100.0)},
			{Name: "tags", Type: "string[]", Optional: true, MaxItems: pointer(2), Enum: []json.RawMessage{[]byte(`"a"`), []byte(`"b"`)}},
			{Name: "since", Type: "string", Optional: true, Format: "date"},
			{Name: "code", Type: "string", Optional: true, Pattern: "^[a-z]+$"},
			{Name: "any", Type: "number", Optional: true, Min: pointer(0.5)},
		},
		Respond: "{arg.query}|{arg.limit}|{arg.tags}|{arg.any}",
	})
	const takes = ". The tool takes query, limit, tags, since, code, any."
	for name, tc := range map[string]struct{ arguments, want string }{
		"good":               {`{"query":"abc","limit":3,"tags":["a"]}`, `abc|3|["a"]|`},
		"default":            {`{"query":"abc"}`, `abc|10||`},
		"characters":         {`{"query":"日本語日本"}`, `日本語日本|10||`},
		"integer with .0":    {`{"query":"abc","limit":3.0}`, `abc|3||`},
		"integer with e":     {`{"query":"abc","limit":1e1}`, `abc|10||`},
		"number keeps text":  {`{"query":"abc","any":1.10e300}`, `abc|10||1.10e300`},
		"big number":         {`{"query":"abc","any":123456789012345678901234567890}`, `abc|10||123456789012345678901234567890`},
		"missing":            {`{}`, `arguments: query: is missing` + takes},
		"unknown":            {`{"query":"abc","x":1}`, `arguments: x: is not known` + takes},
		"several":            {`{"query":1,"limit":"x"}`, `arguments: limit: must be of type integer, is string; query: must be of type string, is number` + takes},
		"fraction":           {`{"query":"abc","limit":3.5}`, `arguments: limit: must be of type integer, is number` + takes},
		"too small":          {`{"query":"abc","limit":0}`, `arguments: limit: must be at least 1` + takes},
		"too great":          {`{"query":"abc","limit":101}`, `arguments: limit: must be at most 100` + takes},
		"below a fraction":   {`{"query":"abc","any":0.25}`, `arguments: any: must be at least 0.5` + takes},
		"too short":          {`{"query":"a"}`, `arguments: query: must have at least 2 characters, has 1` + takes},
		"too long":           {`{"query":"abcdef"}`, `arguments: query: must have at most 5 characters, has 6` + takes},
		"enum in list":       {`{"query":"abc","tags":["a","c"]}`, `arguments: tags[1]: must be one of ["a","b"]` + takes},
		"too many":           {`{"query":"abc","tags":["a","a","b"]}`, `arguments: tags: must have at most 2 items, has 3` + takes},
		"format":             {`{"query":"abc","since":"2026-02-30"}`, `arguments: since: must be of format date` + takes},
		"pattern":            {`{"query":"abc","code":"A1"}`, `arguments: code: must match the pattern ^[a-z]+$` + takes},
		"null":               {`{"query":null}`, `arguments: query: must be of type string, is null` + takes},
		"not an object":      {`[1]`, `arguments: must be a JSON object`},
		"null arguments":     {`null`, `arguments: must be a JSON object`},
		"no JSON":            {`{"query"`, `arguments: must be a JSON object`},
		"not UTF-8":          {"{\"query\":\"a\xc0\xaf\"}", `arguments: not valid UTF-8`},
		"huge exponent":      {`{"query":"abc","any":1e999999999}`, `arguments: any: the exponent of a number is out of range, accepted is -1000 to 1000`},
		"tiny exponent":      {`{"query":"abc","limit":1e-999999999}`, `arguments: limit: the exponent of a number is out of range, accepted is -1000 to 1000`},
		"exponent of digits": {`{"query":"abc","any":1e` + strings.Repeat("9", 40) + `}`, `arguments: any: the exponent of a number is out of range, accepted is -1000 to 1000`},
		"endless number":     {`{"query":"abc","any":` + strings.Repeat("9", 5000) + `}`, `arguments: any: a number has 5000 characters, at most 1000 are accepted`},
		"number in a list":   {`{"query":"abc","x":[{"y":1e5000}]}`, `arguments: x: the exponent of a number is out of range, accepted is -1000 to 1000`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := callText(t, d, tc.arguments); got != tc.want {
				t.Errorf("Call(%s) = %s\nwant %s", shorten(tc.arguments, 200), got, tc.want)
			}
		})
	}
}

func TestArgumentsOfGivenSchema(t *testing.T) {
	d := mustDeclare(t, nil, DeclaredConfig{
		InputSchema: json.RawMessage(`{"type":"object","required":["filter"],"additionalProperties":{"type":"integer"},
			"properties":{"filter":{"$ref":"#/$defs/filter"},"page-size":{"type":"integer","default":20},"ids":{"type":"array","items":{"type":"integer"}}},
			"$defs":{"filter":{"type":"object","required":["op"],"properties":{"op":{"enum":["and","or"]},"of":{"type":"array","items":{"$ref":"#/$defs/filter"}}}}}}`),
		Respond: "{arg.filter}|{arg.page-size}|{arg.ids}",
	})
	for name, tc := range map[string]struct{ arguments, want string }{
		"order is kept":   {`{"filter":{"z":1, "op":"and"},"ids":[1.0,2]}`, `{"z":1,"op":"and"}|20|[1,2]`},
		"nested":          {`{"filter":{"op":"or","of":[{"op":"and"},{"op":"not"}]}}`, `arguments: filter.of[1].op: must be one of ["and","or"]. The tool takes filter, ids, page-size.`},
		"nested required": {`{"filter":{}}`, `arguments: filter.op: is missing. The tool takes filter, ids, page-size.`},
		"additional":      {`{"filter":{"op":"or"},"x":"y"}`, `arguments: x: must be of type integer, is string. The tool takes filter, ids, page-size.`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := callText(t, d, tc.arguments); got != tc.want {
				t.Errorf("Call(%s) = %s\nwant %s", tc.arguments, got, tc.want)
			}
		})
	}
}

func TestArgumentsErrorIsOfItsType(t *testing.T) {
	d := mustDeclare(t, nil, DeclaredConfig{Respond: "x"})
	_, err := d.Call(t.Context(), &Call{Caller: alice(), Arguments: json.RawMessage(`{"a":1}`)})
	var refused *ArgumentsError
	if !errors.As(err, &refused) || refused.Message != "a: is not known. The tool takes no arguments." {
		t.Errorf("Call = %v", err)
	}
}
