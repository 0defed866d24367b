package mcphandler

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
)

// hostile are the values of PROV-03 and their kin.
func hostile() map[string]string {
	return map[string]string{
		"dots":             "..",
		"one dot":          ".",
		"encoded dots":     "%2e%2e",
		"twice encoded":    "%252e%252e",
		"climbing":         "../../admin",
		"climbing inside":  "a/../../admin",
		"encoded climbing": "..%2f..%2fadmin",
		"backslashes":      `..\..\admin`,
		"slashes":          "//evil.example/x",
		"at":               "x@evil.example",
		"userinfo":         "@evil.example/",
		"absolute":         "https://evil.example/x",
		"query":            "x?admin=1&y=2",
		"fragment":         "x#y",
		"matrix":           "x;admin=1",
		"method":           "x:delete",
		"CRLF":             "x\r\nX-Evil: 1",
		"NUL":              "x\x00y",
		"DEL":              "x\x7f",
		"blank":            " x y ",
		"percent":          "100%",
		"bad percent":      "%zz",
		"plus":             "a+b",
		"text":             "ü/日本",
		"placeholder":      "{user.id}{env.KEY}",
		"empty":            "",
		"quote":            `"},{"admin":true`,
		"ampersand":        "a&b=c",
		"separator":        "x\u2028y",
	}
}

// Security PROV-03, SSRF-04.
func TestPathKeepsHostileValuesInOneSegment(t *testing.T) {
	refused := map[string]string{
		"dots":             "argument id holds a . or .. path segment",
		"one dot":          "argument id holds a . or .. path segment",
		"encoded dots":     "argument id holds a . or .. path segment",
		"twice encoded":    "argument id holds a . or .. path segment",
		"climbing":         "argument id holds a . or .. path segment",
		"climbing inside":  "argument id holds a . or .. path segment",
		"encoded climbing": "argument id holds a . or .. path segment",
		"backslashes":      "argument id holds a . or .. path segment",
		"CRLF":             "argument id holds a control character",
		"NUL":              "argument id holds a control character",
		"DEL":              "argument id holds a control character",
		"empty":            "argument id is empty: it is part of the URL",
	}
	up := newRecorder(t, nil)
	d := mustDeclare(t, up, DeclaredConfig{
		Inputs:  []Input{{Name: "id", Type: "string"}},
		Request: &RequestConfig{Method: "GET", URL: up.URL + "/v1/items/{arg.id}/parts?fixed=1"},
	})
	for name, value := range hostile() {
		t.Run(name, func(t *testing.T) {
			arguments, err := json.Marshal(map[string]string{"id": value})
			if err != nil {
				t.Fatal(err)
			}
			got := callText(t, d, string(arguments))
			request := up.take()
			if want, ok := refused[name]; ok {
				if got != "arguments: "+want || request != nil {
					t.Errorf("Call(%q) = %s, sent %v; want %s", value, got, request, want)
				}
				return
			}
			path, query, _ := strings.Cut(request.RequestURI, "?")
			segments := strings.Split(path, "/")
			if len(segments) != 5 || segments[1] != "v1" || segments[2] != "items" || segments[4] != "parts" || query != "fixed=1" {
				t.Fatalf("Call(%q) sent %s, want one segment in /v1/items/…/parts?fixed=1", value, request.RequestURI)
			}
			if decoded, err := url.PathUnescape(segments[3]); err != nil || decoded != value {
				t.Errorf("segment of %q decodes to %q, %v", value, decoded, err)
			}
		})
	}
}

func TestURLBuild(t *testing.T) {
	for name, tc := range map[string]struct{ url, arguments, query, want string }{
		"no path":              {"https://h.example", `{}`, "", "https://h.example/"},
		"only a query":         {"https://h.example?a=b", `{}`, "c=d", "https://h.example/?a=b&c=d"},
		"port":                 {"http://[::1]:8080/x", `{}`, "", "http://[::1]:8080/x"},
		"host of environment":  {"https://{env.HOST}/v1/{arg.id}", `{"id":"a b"}`, "", "https://api.example.com/v1/a%20b"},
		"trailing slash":       {"https://h.example/{arg.id}/", `{"id":"x"}`, "", "https://h.example/x/"},
		"escaped literal":      {"https://h.example/a%2Fb/{arg.id}", `{"id":"x/y"}`, "", "https://h.example/a%2Fb/x%2Fy"},
		"literals in segment":  {"https://h.example/x-{arg.id}.json", `{"id":"1"}`, "", "https://h.example/x-1.json"},
		"two in one segment":   {"https://h.example/{arg.id}...{arg.q}", `{"id":"a","q":"b"}`, "", "https://h.example/a...b"},
		"custom method":        {"https://h.example/{arg.id}:get", `{"id":"a:b"}`, "", "https://h.example/a%3Ab:get"},
		"number":               {"https://h.example/{arg.n}", `{"n":12345678901234567890}`, "", "https://h.example/12345678901234567890"},
		"person":               {"https://h.example/users/{user.email}", `{}`, "", "https://h.example/users/alice%40example.com"},
		"fixed query, and one": {"https://h.example/x?k=%20", `{}`, "", "https://h.example/x?k=%20"},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := testVocabulary().compileURL(tc.url, false)
			if err != nil {
				t.Fatal(err)
			}
			got, err := u.build(testValues(t, tc.arguments), tc.query)
			if err != nil || got.String() != tc.want {
				t.Errorf("build(%s, %s) = %v, %v, want %s", tc.url, tc.arguments, got, err, tc.want)
			}
		})
	}
}

func TestURLBuildErrors(t *testing.T) {
	for name, tc := range map[string]struct{ url, arguments, want string }{
		"absent":                {"https://h.example/{arg.q}", `{}`, "argument q is missing: it is part of the URL"},
		"null":                  {"https://h.example/{arg.q}", `{"q":null}`, "argument q is empty: it is part of the URL"},
		"list of unknown type":  {"https://h.example/{arg.any}", `{"any":["a"]}`, "argument any is a list or an object, and cannot be a path segment"},
		"dots of two":           {"https://h.example/{arg.id}{arg.q}", `{"id":".","q":"."}`, "argument id holds a . or .. path segment"},
		"dots with the literal": {"https://h.example/.{arg.id}", `{"id":"."}`, "argument id holds a . or .. path segment"},
		"list of a claim":       {"https://h.example/{user.claims.groups}", `{}`, "{user.claims.groups} is a list or an object, and cannot be a path segment"},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := testVocabulary().compileURL(tc.url, false)
			if err != nil {
				t.Fatal(err)
			}
			got, err := u.build(testValues(t, tc.arguments), "")
			var refused *ArgumentsError
			message := ""
			if errors.As(err, &refused) {
				message = refused.Message
			} else if err != nil {
				message = err.Error()
			}
			if message != tc.want {
				t.Errorf("build(%s, %s) = %v, %v, want %s", tc.url, tc.arguments, got, err, tc.want)
			}
		})
	}
}

// Security PROV-03.
func TestCompileURLErrors(t *testing.T) {
	for name, tc := range map[string]struct {
		url    string
		secure bool
		want   string
	}{
		"empty":                  {"", false, `found ""; accepted is an absolute URL, with {arg.*} and {user.*} in its path only`},
		"argument first":         {"{arg.id}/x", false, `found "{arg.id}/x"; accepted is an absolute URL, with {arg.*} and {user.*} in its path only`},
		"relative":               {"/v1/x", false, `found "/v1/x": accepted is an absolute URL that begins with https:// or http://`},
		"other scheme":           {"ftp://h/x", false, `found "ftp://h/x": accepted is an absolute URL that begins with https:// or http://`},
		"argument in host":       {"https://{arg.id}.example/x", false, `found "https://{arg.id}.example/x": the host must be fixed: {arg.*}, {user.*} and {client.*} are accepted in path segments only`},
		"argument as port":       {"https://h.example:{arg.n}/x", false, `found "https://h.example:{arg.n}/x": the host must be fixed: {arg.*}, {user.*} and {client.*} are accepted in path segments only`},
		"host runs into path":    {"https://h.example{arg.id}", false, `found "https://h.example{arg.id}": the host must be fixed: {arg.*}, {user.*} and {client.*} are accepted in path segments only`},
		"user name":              {"https://u:p@h.example/", false, `found "https://u:p@h.example/": the URL holds a user name; credentials belong in a provider or a header`},
		"no host":                {"https:///x", false, `found "https:///x": the URL has no host`},
		"bad host":               {"https://h example/{env.KEY}", false, `found "https://h example/{env.KEY}": the host does not parse; accepted is a name or an address, with a port or without`},
		"plain http with grant":  {"http://h.example/", true, `found "http://h.example/": the request carries the grant of a provider; accepted is https, or http to a loopback host`},
		"argument in query":      {"https://h.example/x?y={arg.q}", false, `found "https://h.example/x?y={arg.q}": placeholders are accepted in the path only; use query for parameters`},
		"argument in both":       {"https://h.example/{arg.id}?y={arg.q}&z", false, `found "https://h.example/{arg.id}?y={arg.q}&z": placeholders are accepted in the path only; use query for parameters`},
		"argument in fragment":   {"https://h.example/#{arg.q}", false, `found "https://h.example/#{arg.q}": the URL holds a fragment, which is never sent`},
		"fragment":               {"https://h.example/x#y", false, `found "https://h.example/x#y": the URL holds a fragment, which is never sent`},
		"braces of OpenAPI":      {"https://h.example/{owner}/x", false, `found "https://h.example/{owner}/x": braces are accepted around placeholders only; an argument is written {arg.NAME}`},
		"blank":                  {"https://h.example/a b", false, `found "https://h.example/a b": the path holds characters that must be percent-encoded`},
		"bad escape":             {"https://h.example/%zz", false, `found "https://h.example/%zz": the path holds characters that must be percent-encoded`},
		"dot segment":            {"https://h.example/a/../b", false, `found "https://h.example/a/../b": the path holds a . or .. segment`},
		"encoded dot segment":    {"https://h.example/%2e%2e/b", false, `found "https://h.example/%2e%2e/b": the path holds a . or .. segment`},
		"control in query":       {"https://h.example/x?a=\r\n", false, `found "https://h.example/x?a=\r\n": the query holds characters that must be percent-encoded`},
		"control of environment": {"https://h.example/x/{env.LINES}", false, `found "https://h.example/x/{env.LINES}": the path holds characters that must be percent-encoded`},
		"list in path":           {"https://h.example/{arg.list}", false, `placeholder {arg.list} is of type array; accepted in a path are string, integer, number and boolean`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := testVocabulary().compileURL(tc.url, tc.secure); err == nil || err.Error() != tc.want {
				t.Errorf("compileURL(%q) = %v\nwant %s", tc.url, err, tc.want)
			}
		})
	}
	for _, host := range []string{"localhost", "127.0.0.1:9000", "127.8.8.8", "[::1]:80", "LOCALHOST"} {
		if _, err := testVocabulary().compileURL("http://"+host+"/x", true); err != nil {
			t.Errorf("compileURL(http://%s/x) with a grant = %v, want loopback accepted", host, err)
		}
	}
}

// FuzzTemplate: whatever the values, the URL keeps host, prefix and number of
// segments, and the values come out of it as they went in. Security PROV-03,
// SSRF-04.
func FuzzTemplate(f *testing.F) {
	for _, value := range hostile() {
		f.Add(value, "x", value)
		f.Add("x", value, "")
	}
	const text = "https://{env.HOST}/v1/a%2Fb/{arg.id}/s-{arg.q}.{arg.any}/end?k=1"
	u, err := testVocabulary().compileURL(text, true)
	if err != nil {
		f.Fatal(err)
	}
	pairs, err := testVocabulary().compilePairs("query", []Pair{{"q", "{arg.q}"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, id, q, other string) {
		values := &templateValues{caller: alice(), arguments: map[string]templateValue{
			"id": {decoded: id}, "q": {decoded: q}, "any": {decoded: other},
		}}
		query, err := buildPairs(pairs, values)
		if err != nil {
			t.Fatalf("buildPairs(%q) = %v", q, err)
		}
		built, err := u.build(values, query)
		if err != nil {
			var refused *ArgumentsError
			if !errors.As(err, &refused) {
				t.Fatalf("build(%q, %q, %q) = %v, want a URL or an argument error", id, q, other, err)
			}
			return
		}
		again, err := url.Parse(built.String())
		if err != nil {
			t.Fatalf("%q does not parse: %v", built, err)
		}
		segments := strings.Split(again.EscapedPath(), "/")
		if again.Scheme != "https" || again.Host != "api.example.com" || again.User != nil || again.Fragment != "" ||
			len(segments) != 6 || segments[1] != "v1" || segments[2] != "a%2Fb" || segments[5] != "end" {
			t.Fatalf("build(%q, %q, %q) = %s leaves https://api.example.com/v1/a%%2Fb/…/…/end", id, q, other, again)
		}
		if got, err := url.PathUnescape(segments[3]); err != nil || got != id {
			t.Fatalf("segment of %q decodes to %q, %v", id, got, err)
		}
		if got := again.Query(); len(got) != 2 || got.Get("k") != "1" || got.Get("q") != q {
			t.Fatalf("query of %q is %v", q, got)
		}
	})
}
