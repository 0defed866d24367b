package toolblock

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func raws(texts ...string) []json.RawMessage {
	var out []json.RawMessage
	for _, text := range texts {
		out = append(out, json.RawMessage(text))
	}
	return out
}

func TestWrite(t *testing.T) {
	for name, test := range map[string]struct {
		op   Operation
		o    Options
		want string
	}{
		"nothing but a path": {
			Operation{ID: "Ping", Method: "HEAD", Path: "/ping"}, Options{BaseURL: "https://api.example.com/"}, `
tool ping {
	description "HEAD /ping"
	head https://api.example.com/ping
	read_only
}
`,
		},
		"a path that says more than its parameters": {
			Operation{ID: "files.get", Method: "GET", Path: "/v1/{+name}/{file-id}:export?alt=json", Summary: "Get it"}, Options{BaseURL: "https://api.example.com", Provider: "google", Name: "Export file"}, `
tool export_file {
	# left out: slashes within name, which the service takes for parts of the path
	description "Get it"
	provider google
	input name string
	input file_id string
	get https://api.example.com/v1/{arg.name}/{arg.file_id}:export?alt=json
	read_only
}
`,
		},
		"parameters of each place": {
			Operation{ID: "list", Method: "GET", Path: "https://api.example.com/{a}", Parameters: raws(
				`{"name":"a","in":"path","schema":{"type":"integer"}}`,
				`{"name":"filter[a]","in":"query","required":true,"schema":{"type":"array","minItems":1,"maxItems":10,"items":{"type":"string","minLength":2}}}`,
				`{"name":"filter(a)","in":"query","schema":{"type":"boolean"}}`,
				`{"name":"X-Version","in":"header","schema":{"type":"string","enum":["2022-11-28",null]}}`,
				`{"name":"authorization","in":"header","required":true,"schema":{"type":"string"}}`,
				`{"name":"session","in":"cookie","schema":{"type":"string"}}`,
				`{"name":"old","in":"query","deprecated":true,"schema":{"type":"string"}}`,
				`{"name":"where","in":"query","schema":{"type":"object"}}`,
				`{"name":"since","in":"query","content":{"application/json":{"schema":{"type":"string","format":"date-time"}}}}`,
			)}, Options{}, `
tool list {
	# left out: session (a cookie)
	# left out: old (deprecated)
	# left out: where (an object in a query)
	description "GET https://api.example.com/(a)"
	input a integer
	input filter_a string[] {
		min_items 1
		max_items 10
		min_length 2
	}
	input filter_a_2 boolean {
		optional
	}
	input X_Version string {
		optional
		enum 2022-11-28
	}
	input since string {
		optional
		format date-time
	}
	get https://api.example.com/{arg.a} {
		query "filter[a]" {arg.filter_a}
		query "filter(a)" {arg.filter_a_2}
		query since {arg.since}
		header X-Version {arg.X_Version}
	}
	read_only
}
`,
		},
		"a body of objects": {
			Operation{ID: "send", Method: "POST", Path: "https://api.example.com/", Body: json.RawMessage(`{
				"content": {"application/json": {"schema": {"$ref": "#/components/Message"}}},
				"components": {"Message": {"type": "object", "required": ["to", "meta"], "properties": {
					"id": {"type": "string", "readOnly": true},
					"to": {"allOf": [{"$ref": "#/components/Address"}], "description": "Whom"},
					"meta": {"type": "object", "required": ["kind"], "properties": {"kind": {"enum": ["a", "b c"]}, "priority": {"anyOf": [{"type": "number", "maximum": 0.5}, {"type": "null"}]}}},
					"extra": {"type": "object", "properties": {"x": {"type": "string"}}},
					"loop": {"$ref": "#/components/Loop"}, "any": {}, "import": {"type": "string"}
				}}, "Address": {"type": "string", "format": "email", "maxLength": 99999, "pattern": "^[^@]{1,64}@"}, "Loop": {"$ref": "#/components/Loop"}}
			}`)}, Options{}, "\n" + `tool send {
	# left out: extra (an object)
	# left out: loop (of more than one type)
	# left out: any (of more than one type)
	# left out: import (a name that a block cannot have)
	description "POST https://api.example.com/"
	input to string "Whom" {
		pattern ` + "`^[^@]{1,64}@`" + `
		format email
	}
	input meta_kind string {
		enum a "b c"
	}
	input meta_priority number {
		optional
		max 0.5
	}
	post https://api.example.com/ {
		json {
			to {arg.to}
			meta {
				kind {arg.meta_kind}
				priority {arg.meta_priority}
			}
		}
	}
}
`,
		},
		"a body that is a list": {
			Operation{ID: "tag", Method: "PUT", Path: "https://api.example.com/tags", Body: json.RawMessage(`{"type":"array","items":{"type":"string"}}`)}, Options{}, "\n" + `tool tag {
	description "PUT https://api.example.com/tags"
	input body string[]
	put https://api.example.com/tags {
		json ` + "`\"{arg.body}\"`" + `
	}
	idempotent
}
`,
		},
		"a form": {
			Operation{ID: "chat.postMessage", Method: "POST", Path: "https://slack.com/api/chat.postMessage", Body: json.RawMessage(
				`{"content":{"application/x-www-form-urlencoded":{"schema":{"type":"object","required":["channel"],"properties":{"channel":{"type":"string"},"blocks":{"type":"array","items":{"type":"object"}}}}}}}`)}, Options{}, `
tool chat_postmessage {
	# left out: blocks (an object in a form)
	description "POST https://slack.com/api/chat.postMessage"
	input channel string
	post https://slack.com/api/chat.postMessage {
		form channel {arg.channel}
	}
}
`,
		},
		"Swagger 2": {
			Operation{ID: "del", Method: "DELETE", Path: "https://api.example.com/x", Parameters: raws(
				`{"name":"n","in":"query","required":true,"type":"integer","minimum":1,"maximum":0}`,
				`{"name":"f","in":"formData","type":"string"}`,
			)}, Options{}, `
tool del {
	description "DELETE https://api.example.com/x"
	input n integer
	input f string {
		optional
	}
	delete https://api.example.com/x {
		query n {arg.n}
		form f {arg.f}
	}
	destructive
	idempotent
}
`,
		},
		"texts of strangers": {
			Operation{ID: "a\"}\nb", Method: "GET", Path: "https://api.example.com/", Summary: "A \"b\" {env.KEY} `c`\r\n\td\u202e \\"}, Options{}, "\n" + `tool a_b {
	description ` + "`A \"b\" (env.KEY) 'c' d \\`" + `
	get https://api.example.com/
	read_only
}
`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			block, err := Write(test.op, test.o)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.TrimPrefix(test.want, "\n"), block.Text); diff != "" {
				t.Errorf("block (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWriteRefuses(t *testing.T) {
	body := func(schema string) Operation {
		return Operation{ID: "x", Method: "POST", Path: "https://api.example.com/", Body: json.RawMessage(schema)}
	}
	parameter := func(raw string) Operation {
		return Operation{ID: "x", Method: "GET", Path: "https://api.example.com/", Parameters: raws(raw)}
	}
	for name, test := range map[string]struct {
		op   Operation
		want string
	}{
		"a method":                {Operation{ID: "x", Method: "TRACE", Path: "https://api.example.com/"}, `method "TRACE"`},
		"a brace":                 {Operation{ID: "x", Method: "GET", Path: "https://api.example.com/{a"}, "a brace is not closed"},
		"a URL that is none":      {Operation{ID: "x", Method: "GET", Path: "https://api.example.com/a b"}, "it makes no URL"},
		"a URL without a host":    {Operation{ID: "x", Method: "GET", Path: "https:///a"}, "it makes no URL"},
		"a parameter":             {parameter(`{"in":"query"}`), "parameter 0: it is no object with a name"},
		"a place":                 {parameter(`{"name":"a","in":"matrix"}`), `a: it is in "matrix"`},
		"a cookie that has to be": {parameter(`{"name":"a","in":"cookie","required":true}`), "it needs a: a cookie"},
		"a required object":       {body(`{"type":"object","required":["a"],"properties":{"a":{"type":"object"}}}`), "it needs a: an object; a schema file may say what an input cannot"},
		"a body of any type":      {body(`{}`), "it needs body: of more than one type"},
	} {
		t.Run(name, func(t *testing.T) {
			if block, err := Write(test.op, Options{}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%+v, %v, want %q", block, err, test.want)
			}
		})
	}
	if _, err := Write(Operation{ID: "x", Method: "GET", Path: "/a"}, Options{}); !errors.Is(err, ErrNoHost) {
		t.Errorf("%v, want ErrNoHost", err)
	}
}

// A schema says what inputs cannot, in words of JSON Schema 2020-12.
func TestWriteSchema(t *testing.T) {
	op := Operation{
		ID: "x", Method: "POST", Path: "https://api.example.com/{id}", Parameters: raws(`{"name":"n","in":"query","required":true,"type":"integer","exclusiveMinimum":true,"minimum":1}`),
		Body: json.RawMessage(`{"$defs":{"P":{"type":"object","properties":{"n":{"type":"number","exclusiveMaximum":false}}}},"type":"object","required":["list"],
			"properties":{"list":{"type":"array","items":{"$ref":"#/$defs/P"},"description":"Points"},"any":{}}}`),
	}
	block, err := Write(op, Options{SchemaFile: "/etc/caddy/x.json"})
	if err != nil {
		t.Fatal(err)
	}
	want := `tool x {
	description "POST https://api.example.com/(id)"
	input_schema "/etc/caddy/x.json"
	post https://api.example.com/{arg.id} {
		query n {arg.n}
		json {
			list {arg.list}
			any {arg.any}
		}
	}
}
`
	if diff := cmp.Diff(want, block.Text); diff != "" {
		t.Errorf("block (-want +got):\n%s", diff)
	}
	var got, wanted any
	if err := json.Unmarshal(block.Schema, &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(`{"$defs":{"P":{"type":"object","properties":{"n":{"type":"number"}}}},"type":"object","additionalProperties":false,
		"required":["n","list","id"],"properties":{"n":{"type":"integer","minimum":1},"id":{"type":"string"},
		"list":{"type":"array","items":{"$ref":"#/$defs/P"},"description":"Points"},"any":{}}}`), &wanted); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("schema (-want +got):\n%s", diff)
	}
	if _, err := Write(op, Options{SchemaFile: "/etc/{env.X}"}); err == nil {
		t.Error("a file with braces is taken")
	}
}
