package mcphandler

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func allInputs() []Input {
	return []Input{
		{Name: "q", Type: "string", Optional: true},
		{Name: "n", Type: "integer", Optional: true},
		{Name: "list", Type: "string[]", Optional: true},
		{Name: "nums", Type: "integer[]", Optional: true},
		{Name: "limit", Type: "integer", Default: json.RawMessage("10")},
	}
}

func TestRequestQuery(t *testing.T) {
	up := newRecorder(t, nil)
	d := mustDeclare(t, up, DeclaredConfig{
		Inputs: allInputs(),
		Request: &RequestConfig{Method: "GET", URL: up.URL + "/x", Query: []Pair{
			{"fixed name", "a&b"},
			{"q", "is:{arg.q}"},
			{"list[]", "{arg.list}"},
			{"nums", "{arg.nums}"},
			{"limit", "{arg.limit}"},
			{"both", "{arg.q}/{arg.n}"},
			{"who", "{user.id}"},
			{"groups", "{user.claims.groups}"},
		}},
	})
	const fixed, rest = "fixed+name=a%26b", "&who=u-1&groups=eng&groups=ops"
	for name, tc := range map[string]struct{ arguments, want string }{
		"absent and default":  {`{}`, fixed + "&limit=10" + rest},
		"all":                 {`{"q":"a b","n":3,"list":["x&y","z"],"nums":[1,2.0],"limit":5}`, fixed + "&q=is%3Aa+b&list%5B%5D=x%26y&list%5B%5D=z&nums=1&nums=2&limit=5&both=a+b%2F3" + rest},
		"empty list and text": {`{"q":"","list":[]}`, fixed + "&q=is%3A&limit=10&both=%2F" + rest},
		"integer as fraction": {`{"n":3.0,"limit":1e1}`, fixed + "&limit=10&both=%2F3" + rest},
		"hostile":             {`{"q":"x&admin=1#y\r\nz"}`, fixed + "&q=is%3Ax%26admin%3D1%23y%0D%0Az&limit=10&both=x%26admin%3D1%23y%0D%0Az%2F" + rest},
	} {
		t.Run(name, func(t *testing.T) {
			got := callText(t, d, tc.arguments)
			if request := up.take(); request == nil || request.RequestURI != "/x?"+tc.want {
				t.Errorf("Call(%s) = %s, sent %+v\nwant /x?%s", tc.arguments, got, request, tc.want)
			}
		})
	}
}

// Security PROV-03.
func TestRequestKeepsHostileValuesInQueryFormAndJSON(t *testing.T) {
	up := newRecorder(t, nil)
	inputs := []Input{{Name: "v", Type: "string"}}
	query := []Pair{{"a", "1"}, {"v", "{arg.v}"}, {"z", "2"}}
	asQuery := mustDeclare(t, up, DeclaredConfig{Inputs: inputs, Request: &RequestConfig{Method: "GET", URL: up.URL + "/x", Query: query}})
	asForm := mustDeclare(t, up, DeclaredConfig{Inputs: inputs, Request: &RequestConfig{Method: "POST", URL: up.URL + "/x", Form: query}})
	asJSON := mustDeclare(t, up, DeclaredConfig{Inputs: inputs, Request: &RequestConfig{
		Method: "POST", URL: up.URL + "/x", JSON: json.RawMessage(`{"a":"1","v":"{arg.v}","w":"<{arg.v}>"}`),
	}})
	for name, value := range hostile() {
		t.Run(name, func(t *testing.T) {
			arguments, err := json.Marshal(map[string]string{"v": value})
			if err != nil {
				t.Fatal(err)
			}
			wantPairs := url.Values{"a": {"1"}, "v": {value}, "z": {"2"}}
			callText(t, asQuery, string(arguments))
			uri, err := url.ParseRequestURI(up.take().RequestURI)
			if err != nil || uri.Path != "/x" || !cmp.Equal(uri.Query(), wantPairs) {
				t.Errorf("query of %q is %v, %v", value, uri, err)
			}
			callText(t, asForm, string(arguments))
			request := up.take()
			form, err := url.ParseQuery(request.Body)
			if err != nil || !cmp.Equal(form, wantPairs) || request.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
				t.Errorf("form of %q is %+v, %v", value, request, err)
			}
			callText(t, asJSON, string(arguments))
			var body map[string]string
			wantBody := map[string]string{"a": "1", "v": value, "w": "<" + value + ">"}
			request = up.take()
			if err := json.Unmarshal([]byte(request.Body), &body); err != nil || !cmp.Equal(body, wantBody) {
				t.Errorf("JSON of %q is %s, %v", value, request.Body, err)
			}
		})
	}
}

// Security PROV-03.
func TestRequestHeaders(t *testing.T) {
	up := newRecorder(t, nil)
	d := mustDeclare(t, up, DeclaredConfig{
		Inputs: []Input{{Name: "v", Type: "string", Optional: true}},
		Request: &RequestConfig{Method: "GET", URL: up.URL + "/x", Headers: []Pair{
			{"authorization", "Bearer {env.KEY}"},
			{"x-value", "{arg.v}"},
			{"X-Who", "{user.name}"},
			{"Accept", "text/csv"},
			{"accept", "text/plain"},
		}},
	})
	for name, value := range hostile() {
		t.Run(name, func(t *testing.T) {
			arguments, err := json.Marshal(map[string]string{"v": value})
			if err != nil {
				t.Fatal(err)
			}
			got := callText(t, d, string(arguments))
			request := up.take()
			if strings.ContainsFunc(value, isControl) {
				if want := "arguments: argument v holds a control character, and cannot be a header"; got != want || request != nil {
					t.Errorf("Call(%q) = %s, sent %+v, want %s", value, got, request, want)
				}
				return
			}
			want := http.Header{
				"Authorization": {"Bearer s3cr3t"}, "X-Value": {strings.TrimSpace(value)}, "X-Who": {"Alice Ä"},
				"Accept": {"text/csv", "text/plain"}, "User-Agent": {"caddy-alter-mcp"}, "Accept-Encoding": {"gzip"},
			}
			if diff := cmp.Diff(want, request.Header); diff != "" {
				t.Errorf("header of %q (-want +got):\n%s", value, diff)
			}
		})
	}
	if callText(t, d, `{}`); len(up.take().Header["X-Value"]) != 0 {
		t.Error("a header of an absent argument was sent")
	}
}

func TestRequestHeaderHoldsNoList(t *testing.T) {
	up := newRecorder(t, nil)
	for name, tc := range map[string]struct{ value, want string }{
		"argument of unknown type": {"{arg.any}", "arguments: argument any is a list or an object, and cannot be a header"},
		"claim":                    {"x-{user.claims.groups}", "tool error: {user.claims.groups} is a list or an object, and cannot be a header"},
		"claim that is missing":    {"{user.claims.nope}", "tool error: {user.claims.nope} is needed by this tool, but your login does not carry it"},
	} {
		t.Run(name, func(t *testing.T) {
			d := mustDeclare(t, up, DeclaredConfig{
				InputSchema: json.RawMessage(`{"type":"object","properties":{"any":true}}`),
				Request:     &RequestConfig{Method: "GET", URL: up.URL, Headers: []Pair{{"X", tc.value}}},
			})
			if got := callText(t, d, `{"any":{"a":1}}`); got != tc.want || up.take() != nil {
				t.Errorf("Call with header %s = %s, want %s", tc.value, got, tc.want)
			}
		})
	}
}

func TestRequestBodies(t *testing.T) {
	up := newRecorder(t, nil)
	for name, tc := range map[string]struct {
		request           RequestConfig
		arguments         string
		body, contentType string
	}{
		"JSON":                  {request: RequestConfig{Method: "POST", JSON: json.RawMessage(`{"z":"{arg.n}","a":["{arg.list}","{arg.q}"]}`)}, arguments: `{"n":9007199254740993,"list":["x"]}`, body: `{"z":9007199254740993,"a":[["x"]]}`, contentType: "application/json"},
		"JSON of another type":  {request: RequestConfig{Method: "PATCH", JSON: json.RawMessage(`[]`), Headers: []Pair{{"Content-Type", "application/json-patch+json"}}}, body: `[]`, contentType: "application/json-patch+json"},
		"JSON that is absent":   {request: RequestConfig{Method: "POST", JSON: json.RawMessage(`"{arg.q}"`)}},
		"form":                  {request: RequestConfig{Method: "POST", Form: []Pair{{"q", "{arg.q}"}, {"l", "{arg.list}"}}}, arguments: `{"list":["a","b"]}`, body: "l=a&l=b", contentType: "application/x-www-form-urlencoded"},
		"text":                  {request: RequestConfig{Method: "PUT", Body: "{ viewer(id: {arg.n}) { login } } {arg.q}!"}, arguments: `{"n":1}`, body: "{ viewer(id: 1) { login } } !", contentType: "text/plain; charset=utf-8"},
		"text of another type":  {request: RequestConfig{Method: "POST", Body: "<a/>", ContentType: "application/xml"}, body: "<a/>", contentType: "application/xml"},
		"POST without body":     {request: RequestConfig{Method: "POST"}},
		"DELETE without body":   {request: RequestConfig{Method: "DELETE"}},
		"DELETE with JSON body": {request: RequestConfig{Method: "DELETE", JSON: json.RawMessage(`{"limit":"{arg.limit}"}`)}, body: `{"limit":10}`, contentType: "application/json"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.request.URL = up.URL + "/x"
			d := mustDeclare(t, up, DeclaredConfig{Inputs: allInputs(), Request: &tc.request})
			got := callText(t, d, tc.arguments)
			request := up.take()
			if request == nil || request.Body != tc.body || request.Header.Get("Content-Type") != tc.contentType || request.Method != tc.request.Method {
				t.Errorf("Call(%s) = %s, sent %+v; want %s of %s", tc.arguments, got, request, tc.body, tc.contentType)
			}
		})
	}
}

func TestRequestConfigErrors(t *testing.T) {
	const target = "https://h.example/x"
	post := RequestConfig{Method: "POST", URL: target}
	with := func(change func(*RequestConfig)) RequestConfig {
		cfg := post
		change(&cfg)
		return cfg
	}
	header := func(name, value string) RequestConfig {
		return with(func(c *RequestConfig) { c.Headers = []Pair{{name, value}} })
	}
	for name, tc := range map[string]struct {
		cfg      RequestConfig
		provider bool
		want     string
	}{
		"method":                  {RequestConfig{Method: "get", URL: target}, false, `method "get"; accepted are GET, POST, PUT, PATCH, DELETE, HEAD`},
		"url":                     {RequestConfig{Method: "GET", URL: "x"}, false, `url: found "x": accepted is an absolute URL that begins with https:// or http://`},
		"query":                   {with(func(c *RequestConfig) { c.Query = []Pair{{"a", "b"}, {"c", "{arg.x}"}} }), false, `query[1] c: placeholder {arg.x} names no argument of the tool; known are q, id, n, list, any`},
		"empty name":              {with(func(c *RequestConfig) { c.Query = []Pair{{"", "b"}} }), false, `query[0]: the name is empty`},
		"placeholder in name":     {with(func(c *RequestConfig) { c.Form = []Pair{{"{arg.q}", "b"}} }), false, `form[0]: found the name "{arg.q}"; placeholders are accepted in the value only`},
		"two bodies":              {with(func(c *RequestConfig) { c.Body, c.JSON = "x", json.RawMessage("1") }), false, `json and body exclude each other; set one of them`},
		"body of GET":             {RequestConfig{Method: "GET", URL: target, Body: "x"}, false, `method GET has no body, but body is set; accepted with POST, PUT, PATCH and DELETE`},
		"content type alone":      {with(func(c *RequestConfig) { c.ContentType = "text/csv" }), false, `content_type "text/csv" is set without body; json and form have their own, which a header can replace`},
		"bad content type":        {with(func(c *RequestConfig) { c.Body, c.ContentType = "x", "a\nb" }), false, `content_type "a\nb" is not a valid header value`},
		"content type twice":      {with(func(c *RequestConfig) { c.Body, c.Headers = "x", []Pair{{"content-type", "a/b"}} }), false, `headers[0] content-type: this field is not accepted beside body; set content_type`},
		"bad JSON":                {with(func(c *RequestConfig) { c.JSON = json.RawMessage(`{"a":}`) }), false, `json: invalid JSON: invalid character '}' looking for beginning of value`},
		"two JSON values":         {with(func(c *RequestConfig) { c.JSON = json.RawMessage(`{} {}`) }), false, `json: more than one JSON value, found a second at byte 4`},
		"placeholder as member":   {with(func(c *RequestConfig) { c.JSON = json.RawMessage(`{"{arg.q}":1}`) }), false, `json: name of a member "{arg.q}": placeholders are accepted in values only`},
		"placeholder in JSON":     {with(func(c *RequestConfig) { c.JSON = json.RawMessage(`["{user.x}"]`) }), false, `json: unknown placeholder {user.x}; accepted are {user.id}, {user.email}, {user.name} and {user.claims.NAME}`},
		"body":                    {with(func(c *RequestConfig) { c.Body = "{arg.x}" }), false, `body: placeholder {arg.x} names no argument of the tool; known are q, id, n, list, any`},
		"header name":             {header("X Y", "v"), false, `headers[0] X Y: the name is not valid; accepted are letters, digits and -`},
		"hop by hop":              {header("transfer-encoding", "chunked"), false, `headers[0] transfer-encoding: this field is set by the transport and not accepted`},
		"host":                    {header("host", "evil"), false, `headers[0] host: this field is set by the transport and not accepted`},
		"cookie":                  {header("Cookie", "a=b"), false, `headers[0] Cookie: cookies are not accepted`},
		"authorization":           {header("AUTHORIZATION", "Bearer x"), true, `headers[0] AUTHORIZATION: this field is set by the provider; accepted only in a tool without one`},
		"authorization of an arg": {header("Authorization", "Bearer {arg.q}"), false, `headers[0] Authorization: this field must not be made of arguments`},
		"list in header":          {header("X-L", "{arg.list}"), false, `headers[0] X-L: placeholder {arg.list} is of type array; accepted in a header are string, integer, number and boolean`},
		"control character":       {header("X-L", "{env.LINES}"), false, `headers[0] X-L: the value holds a control character`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := testVocabulary().compileRequest(&tc.cfg, tc.provider); err == nil || err.Error() != tc.want {
				t.Errorf("compileRequest(%+v) = %v\nwant %s", tc.cfg, err, tc.want)
			}
		})
	}
}

// Security PROV-01, SSRF-04.
func TestRequestCarriesNothingElse(t *testing.T) {
	up := newRecorder(t, nil)
	d := mustDeclare(t, up, DeclaredConfig{
		Provider: "google", Scopes: []string{"s1"},
		Request: &RequestConfig{Method: "GET", URL: up.URL + "/x"},
	})
	if got := callText(t, d, `{}`); got != `{"ok":true}` {
		t.Fatalf("Call = %s", got)
	}
	want := http.Header{"Accept": {"application/json"}, "User-Agent": {"caddy-alter-mcp"}, "Accept-Encoding": {"gzip"}}
	if diff := cmp.Diff(want, up.take().Header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Need{Provider: "google", Scopes: []string{"s1"}, Tool: "tool", Arguments: json.RawMessage("{}")}, up.need); diff != "" || up.caller.UserID != "u-1" {
		t.Errorf("need of caller %s (-want +got):\n%s", up.caller.UserID, diff)
	}
}
