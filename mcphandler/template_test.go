package mcphandler

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func testVocabulary() *vocabulary {
	return &vocabulary{
		arguments: map[string]argumentKind{
			"q": {typ: "string", optional: true}, "id": {typ: "string"}, "n": {typ: "integer"},
			"list": {typ: "array", items: "string", optional: true}, "any": {},
		},
		order:  []string{"q", "id", "n", "list", "any"},
		expand: fakeEnv,
	}
}

func testValues(t testing.TB, arguments string) *templateValues {
	t.Helper()
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(arguments), &raw); err != nil {
		t.Fatal(err)
	}
	values := &templateValues{arguments: map[string]templateValue{}, caller: alice()}
	for name, text := range raw {
		decoded, err := decodeJSON(text)
		if err != nil {
			t.Fatal(err)
		}
		if values.arguments[name], err = (argumentKind{}).canonical(templateValue{decoded, text}); err != nil {
			t.Fatal(err)
		}
	}
	return values
}

func TestTemplateText(t *testing.T) {
	for name, tc := range map[string]struct {
		text, arguments, want string
		absent                bool
	}{
		"literal":                      {text: "hello", want: "hello"},
		"empty":                        {text: "", want: ""},
		"argument":                     {text: "a {arg.q} b", arguments: `{"q":"x"}`, want: "a x b"},
		"never expanded twice":         {text: "{arg.q}", arguments: `{"q":"{user.id}{arg.id}{env.KEY}"}`, want: "{user.id}{arg.id}{env.KEY}"},
		"user":                         {text: "{user.id} {user.email} {user.name}", want: "u-1 alice@example.com Alice Ä"},
		"client":                       {text: "{client.id}/{client.name}", want: "c-1/Claude"},
		"environment":                  {text: "k={env.KEY}", want: "k=s3cr3t"},
		"environment is literal":       {text: "{env.TRICK}", want: "{arg.q}{user.id}"},
		"file":                         {text: "{file./run/key}!", want: "from file!"},
		"claim of text":                {text: "{user.claims.tenant}", want: "acme"},
		"claim of number":              {text: "{user.claims.level}", want: "3"},
		"claim of list":                {text: "{user.claims.groups}", want: `["eng","ops"]`},
		"claim named by a URL":         {text: "{user.claims.https://acme.example/roles}", want: `["admin"]`},
		"nested claim":                 {text: "{user.claims.address.country}", want: "NL"},
		"nested claim with dot":        {text: "{user.claims.address.geo.lat}", want: "52.5"},
		"JSON braces":                  {text: `{"a":{"b":1}} {x} {} {{`, want: `{"a":{"b":1}} {x} {} {{`},
		"braces around a placeholder":  {text: "{{arg.q}}", arguments: `{"q":"x"}`, want: "{x}"},
		"word without dot":             {text: "{arg} {user} {argument.x}", want: "{arg} {user} {argument.x}"},
		"escaped placeholder":          {text: `\{arg.q} \{x}`, want: `{arg.q} \{x}`},
		"number keeps its text":        {text: "{arg.n}", arguments: `{"n":12345678901234567890.10}`, want: "12345678901234567890.10"},
		"object is compact":            {text: "{arg.any}", arguments: `{"any":{"z": 1, "a": [1, 2]}}`, want: `{"z":1,"a":[1,2]}`},
		"absent alone":                 {text: "{arg.q}", absent: true},
		"absent beside literals":       {text: "is:{arg.q}", want: "is:", absent: true},
		"absent beside another absent": {text: "{arg.q}-{arg.list}", want: "-", absent: true},
		"absent beside a value":        {text: "{arg.q}-{arg.id}", arguments: `{"id":"7"}`, want: "-7"},
		"null is absent":               {text: "{arg.q}", arguments: `{"q":null}`, absent: true},
	} {
		t.Run(name, func(t *testing.T) {
			compiled, err := testVocabulary().compile(tc.text)
			if err != nil {
				t.Fatal(err)
			}
			if tc.arguments == "" {
				tc.arguments = "{}"
			}
			got, present, err := compiled.text(testValues(t, tc.arguments))
			if err != nil || got != tc.want || present == tc.absent {
				t.Errorf("text(%q) = %q, present %t, %v; want %q, present %t", tc.text, got, present, err, tc.want, !tc.absent)
			}
		})
	}
}

func TestTemplateErrors(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"unknown argument":   {"{arg.nope}", "placeholder {arg.nope} names no argument of the tool; known are q, id, n, list, any"},
		"blank in the name":  {"{arg. q}", "placeholder {arg. q} names no argument of the tool; known are q, id, n, list, any"},
		"unknown user field": {"{user.phone}", "unknown placeholder {user.phone}; accepted are {user.id}, {user.email}, {user.name} and {user.claims.NAME}"},
		"claims alone":       {"{user.claims.}", "unknown placeholder {user.claims.}; accepted are {user.id}, {user.email}, {user.name} and {user.claims.NAME}"},
		"unknown client":     {"{client.url}", "unknown placeholder {client.url}; accepted are {client.id} and {client.name}"},
		"not closed":         {"x {arg.q", "placeholder {arg.q is not closed by }"},
		"not set":            {"{env.NOPE}", "placeholder {env.NOPE}: not set"},
		"empty":              {"{env.EMPTY}", "placeholder {env.EMPTY} is empty"},
		"rewritten shorthand": {"{http.request.host}", "unknown placeholder {http.request.host}; in a Caddyfile, Caddy rewrites shorthands such as {host}, {path}, {uri}, " +
			"{query.x}, {header.x} and {file.secret} to it before the tool sees them; accepted are {arg.*}, {user.*}, {client.*}, {env.*}, " +
			"and {file.*} with a path that holds a slash, such as {file./run/secrets/key}"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := testVocabulary().compile(tc.text); err == nil || err.Error() != tc.want {
				t.Errorf("compile(%q) = %v, want %s", tc.text, err, tc.want)
			}
		})
	}
	if _, err := (&vocabulary{}).compile("{env.KEY}"); err == nil || !strings.Contains(err.Error(), "cannot be read here") {
		t.Errorf("compile without Expand = %v", err)
	}
}

func TestTemplateNeedsWhatIsNotKnown(t *testing.T) {
	for name, tc := range map[string]struct{ text, want string }{
		"claim":  {"{user.claims.dept}", "{user.claims.dept} is needed by this tool, but your login does not carry it"},
		"inner":  {"{user.claims.tenant.x}", "{user.claims.tenant.x} is needed by this tool, but your login does not carry it"},
		"e-mail": {"{user.email}", "{user.email} is needed by this tool, but your login does not carry it"},
	} {
		t.Run(name, func(t *testing.T) {
			compiled, err := testVocabulary().compile(tc.text)
			if err != nil {
				t.Fatal(err)
			}
			caller := alice()
			caller.Email = ""
			values := &templateValues{caller: caller}
			if _, _, err := compiled.text(values); err == nil || err.Error() != tc.want {
				t.Errorf("text(%q) = %v, want %s", tc.text, err, tc.want)
			}
			values.lenient = true
			if got, _, err := compiled.text(values); err != nil || got != "" {
				t.Errorf("lenient text(%q) = %q, %v, want empty", tc.text, got, err)
			}
		})
	}
}

func TestTemplateJSON(t *testing.T) {
	for name, tc := range map[string]struct{ doc, arguments, want string }{
		"literals and order":     {`{"z": 1.50, "a": [null, true, "x<y"], "m": {}}`, `{}`, `{"z":1.50,"a":[null,true,"x<y"],"m":{}}`},
		"type is kept":           {`{"n":"{arg.n}","l":"{arg.list}","s":"{arg.id}"}`, `{"n":7,"list":["a","b"],"id":"7"}`, `{"n":7,"l":["a","b"],"s":"7"}`},
		"number in text":         {`{"n":"#{arg.n}"}`, `{"n":7}`, `{"n":"#7"}`},
		"big integer":            {`["{arg.n}"]`, `{"n":123456789012345678901234567890}`, `[123456789012345678901234567890]`},
		"order of an object":     {`"{arg.any}"`, `{"any":{"z":1,"a":{"y":1,"b":2}}}`, `{"z":1,"a":{"y":1,"b":2}}`},
		"absent member":          {`{"a":"{arg.q}","b":1,"c":"{arg.list}"}`, `{}`, `{"b":1}`},
		"absent members all":     {`{"a":"{arg.q}"}`, `{}`, `{}`},
		"absent item":            {`["{arg.q}",1,"{arg.list}",2]`, `{}`, `[1,2]`},
		"absent in text":         {`{"a":"is:{arg.q}"}`, `{}`, `{"a":"is:"}`},
		"null is kept":           {`{"a":"{arg.q}"}`, `{"q":null}`, `{"a":null}`},
		"quotes are escaped":     {`{"a":"{arg.q}","b":"x{arg.q}"}`, `{"q":"\",\"admin\":true,\"\\\n"}`, `{"a":"\",\"admin\":true,\"\\\n","b":"x\",\"admin\":true,\"\\\n"}`},
		"claim keeps its type":   {`["{user.claims.groups}","{user.claims.level}","{user.claims.flag}"]`, `{}`, `[["eng","ops"],3,true]`},
		"environment is text":    {`["{env.KEY}"]`, `{}`, `["s3cr3t"]`},
		"document is one value":  {`"{arg.list}"`, `{"list":[]}`, `[]`},
		"document that is empty": {`"{arg.q}"`, `{}`, ``},
	} {
		t.Run(name, func(t *testing.T) {
			compiled, err := testVocabulary().compileJSON(json.RawMessage(tc.doc))
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if _, err := compiled.build(&b, testValues(t, tc.arguments)); err != nil || b.String() != tc.want {
				t.Errorf("build(%s, %s) = %s, %v, want %s", tc.doc, tc.arguments, b.String(), err, tc.want)
			}
		})
	}
}
