package mcphandler

import (
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// getTool declares a tool that only gets the recorder's answer.
func getTool(t testing.TB, up *recorder, change func(*DeclaredConfig)) *Declared {
	t.Helper()
	cfg := DeclaredConfig{Request: &RequestConfig{Method: "GET", URL: up.URL + "/x"}}
	if change != nil {
		change(&cfg)
	}
	return mustDeclare(t, up, cfg)
}

// Security PROV-07.
func TestDeclaredAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		status            int
		contentType, body string
		result            string
		want              string
	}{
		"JSON is compact, in order":        {200, "application/json", "{ \"z\": 1.50,\n \"a\": 12345678901234567890123 }\n", "", `{"z":1.50,"a":12345678901234567890123}`},
		"JSON of another type":             {201, "application/problem+json; charset=utf-8", `{"a": "<b>"}`, "", `{"a":"<b>"}`},
		"JSON text is text":                {200, "application/json", `"a\nb"`, "", "a\nb"},
		"JSON null":                        {200, "application/json", `null`, "", "null"},
		"JSON behind a byte order mark":    {200, "application/json", "\ufeff[1, 2]", "", "[1,2]"},
		"JSON with bad UTF-8":              {200, "application/json", "[\"a\xff\"]", "", "[\"a\ufffd\"]"},
		"JSON in name only":                {200, "application/json", "oops {", "", "oops {"},
		"jq":                               {200, "application/json", `{"m":[{"id":1},{"id":2}]}`, ".m[].id", "[1,2]"},
		"jq makes text":                    {200, "application/json", `{"m":"x"}`, ".m", "x"},
		"jq of JSON called text":           {200, "text/plain", `{"m":"x"}`, ".m", "x"},
		"jq of nothing":                    {204, "", ``, `{done: true}`, `{"done":true}`},
		"jq says an error":                 {200, "application/json", `{"ok":false,"error":"channel_not_found"}`, `if .ok then . else error(.error) end`, "error: channel_not_found"},
		"jq fails":                         {200, "application/json", `{"m":"x"}`, ".m.n", `tool error: the service's answer had an unexpected form: expected an object but got: string ("x")`},
		"jq of no JSON":                    {200, "text/html", `<html>`, ".m", "tool error: the service's answer had an unexpected form: invalid JSON: invalid character '<' looking for beginning of value"},
		"jq of a monstrous number":         {200, "application/json", `{"m":1e99999999}`, ".m", "tool error: the service's answer had an unexpected form: the exponent of a number is out of range, accepted is -1000 to 1000"},
		"text":                             {200, "text/csv", "a,b\r\n1,2", "", "a,b\r\n1,2"},
		"text in another charset":          {200, "text/plain; charset=iso-8859-1", "gr\xfc\xdfe", "", "grüße"},
		"text with bad UTF-8":              {200, "text/plain", "a\xffb", "", "a\ufffdb"},
		"XML":                              {200, "application/atom+xml", "<feed/>", "", "<feed/>"},
		"no content":                       {204, "", "", "", "done: the service answered 204 No Content without content"},
		"created without a body":           {201, "application/json", "", "", "done: the service answered 201 Created without content"},
		"binary":                           {200, "application/zip", "PK\x03\x04", "", "error: the service answered with 4 bytes of type application/zip, which this tool cannot show"},
		"not found":                        {404, "application/json", `{ "message": "Not Found" }`, "", `error: the service answered 404 Not Found: {"message":"Not Found"}`},
		"not found without a body":         {404, "", "", "", `error: the service answered 404 Not Found`},
		"not authorized":                   {401, "application/json", `{}`, "", `error: the service answered 401 Unauthorized: {}`},
		"broken, in HTML with an escape":   {500, "text/html; charset=utf-8", "<h1>\x1b[31mOops</h1>\r\n", "", "error: the service answered 500 Internal Server Error: (text/html) <h1>[31mOops</h1>"},
		"broken, in binary":                {502, "application/octet-stream", "\x00\x01", "", "error: the service answered 502 Bad Gateway: (application/octet-stream)"},
		"unknown status":                   {599, "text/plain", "x", "", "error: the service answered 599: (text/plain) x"},
		"conflict is not shown to jq":      {409, "application/json", `{"m":1}`, ".m", `error: the service answered 409 Conflict: {"m":1}`},
		"percent signs stay percent signs": {400, "text/plain", "100%d %s", "", "error: the service answered 400 Bad Request: (text/plain) 100%d %s"},
	} {
		t.Run(name, func(t *testing.T) {
			up := newRecorder(t, answering(tc.status, tc.contentType, tc.body))
			d := getTool(t, up, func(c *DeclaredConfig) { c.Result = tc.result })
			if got := callText(t, d, `{}`); got != tc.want {
				t.Errorf("Call = %q\nwant   %q", got, tc.want)
			}
		})
	}
}

func TestDeclaredGuessesNoTypeButJSONAndText(t *testing.T) {
	for name, tc := range map[string]struct{ body, want string }{
		"JSON":   {`{"a": 1}`, `{"a":1}`},
		"text":   {"a <b>", "a <b>"},
		"binary": {"\xff\x00", "error: the service answered with 2 bytes of type application/octet-stream, which this tool cannot show"},
	} {
		t.Run(name, func(t *testing.T) {
			up := newRecorder(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = nil // no sniffing by the server
				io.WriteString(w, tc.body)
			})
			if got := callText(t, getTool(t, up, nil), `{}`); got != tc.want {
				t.Errorf("Call = %q, want %q", got, tc.want)
			}
		})
	}
}

func TestDeclaredPictures(t *testing.T) {
	for contentType, kind := range map[string]string{"image/png": "image", "audio/wav": "audio"} {
		t.Run(kind, func(t *testing.T) {
			up := newRecorder(t, answering(200, contentType+"; x=y", "\x89PNG\x00"))
			result, failed := callResult(t, getTool(t, up, nil), `{}`)
			if failed != "" {
				t.Fatal(failed)
			}
			var got []map[string]string
			if err := json.Unmarshal(result.Content, &got); err != nil {
				t.Fatal(err)
			}
			data := base64.StdEncoding.EncodeToString([]byte("\x89PNG\x00"))
			want := []map[string]string{{"type": kind, "mimeType": contentType, "data": data}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("content (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDeclaredOutputSchema(t *testing.T) {
	const schema = `{"type":"object","required":["n"],"properties":{"n":{"type":"integer"}}}`
	for name, tc := range map[string]struct{ contentType, body, result, want string }{
		"matches":            {"application/json", `{"n": 12345678901234567890}`, "", `{"n":12345678901234567890}`},
		"matches through jq": {"application/json", `{"m": 1}`, "{n: .m}", `{"n":1}`},
		"called text":        {"text/plain", `{"n":1}`, "", `{"n":1}`},
		"other type":         {"application/json", `{"n":"x"}`, "", "tool error: the service's answer had an unexpected form: output schema: n: must be of type integer, is string"},
		"missing":            {"application/json", `{}`, "", "tool error: the service's answer had an unexpected form: output schema: n: is missing"},
		"nothing":            {"application/json", ``, "", "tool error: the service's answer had an unexpected form: output schema: must be of type object, is null"},
		"no JSON":            {"text/html", `<html>`, "", "tool error: the service's answer had an unexpected form: invalid character '<' looking for beginning of value"},
		"monstrous number":   {"application/json", `{"n":1e99999999}`, "", "tool error: the service's answer had an unexpected form: the exponent of a number is out of range, accepted is -1000 to 1000"},
	} {
		t.Run(name, func(t *testing.T) {
			up := newRecorder(t, answering(200, tc.contentType, tc.body))
			d := getTool(t, up, func(c *DeclaredConfig) { c.OutputSchema, c.Result = json.RawMessage(schema), tc.result })
			if got := callText(t, d, `{}`); got != tc.want {
				t.Fatalf("Call = %q\nwant %q", got, tc.want)
			}
			if result, _ := callResult(t, d, `{}`); result != nil && string(result.StructuredContent) != tc.want {
				t.Errorf("structured content is %s, want %s", result.StructuredContent, tc.want)
			}
		})
	}
	up := newRecorder(t, nil)
	if result, _ := callResult(t, getTool(t, up, nil), `{}`); result.StructuredContent != nil {
		t.Errorf("structured content without a schema is %s", result.StructuredContent)
	}
}

// Security PROV-06.
func TestDeclaredRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		status       int
		header, want string
	}{
		"seconds":        {429, "30", "the service answered 429 Too Many Requests; try again in 30 seconds"},
		"date":           {503, "Mon, 23 Nov 2026 12:01:30 GMT", "the service answered 503 Service Unavailable; try again in 90 seconds"},
		"date that went": {503, "Mon, 23 Nov 2026 11:00:00 GMT", "the service answered 503 Service Unavailable; try again in 0 seconds"},
		"far away":       {429, "99999999", "the service answered 429 Too Many Requests; try again in 86400 seconds"},
		"negative":       {429, "-5", "the service answered 429 Too Many Requests"},
		"nonsense":       {429, "soon", "the service answered 429 Too Many Requests"},
		"none":           {429, "", "the service answered 429 Too Many Requests"},
		"other status":   {404, "30", "the service answered 404 Not Found"},
	} {
		t.Run(name, func(t *testing.T) {
			up := newRecorder(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", tc.header)
				w.Header().Set("Set-Cookie", "secret=1")
				w.WriteHeader(tc.status)
			})
			d, err := NewDeclared(DeclaredConfig{Name: "a", Description: "d", Request: &RequestConfig{Method: "GET", URL: up.URL}}, up,
				DeclaredOptions{Now: func() time.Time { return now }})
			if err != nil {
				t.Fatal(err)
			}
			if got := callText(t, d, `{}`); got != "error: "+tc.want {
				t.Errorf("Call = %q, want %q", got, tc.want)
			}
		})
	}
}

// Security PROV-02.
func TestDeclaredFollowsNoRedirect(t *testing.T) {
	other := newRecorder(t, nil)
	for _, status := range []int{301, 302, 303, 307, 308, 304} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			up := newRecorder(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", other.URL+"/steal?token=x")
				w.WriteHeader(status)
			})
			got := callText(t, getTool(t, up, nil), `{}`)
			want := fmt.Sprintf("tool error: the service answered %s, and redirects are not followed: redirect to host %q",
				statusLine(status), strings.TrimPrefix(other.URL, "http://"))
			if got != want {
				t.Errorf("Call = %s\nwant %s", got, want)
			}
			if request := other.take(); request != nil {
				t.Errorf("the redirect was followed: %+v", request)
			}
		})
	}
}

// Security PROV-04.
func TestDeclaredLimitsResponses(t *testing.T) {
	const tooLong = "error: the service's answer is longer than 1000 bytes, which is the most this tool reads; ask for less"
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"just right":      {answering(200, "text/plain", strings.Repeat("x", 1000)), strings.Repeat("x", 1000)},
		"one too many":    {answering(200, "text/plain", strings.Repeat("x", 1001)), tooLong},
		"endless":         {endless, tooLong},
		"gzip bomb":       {bomb, tooLong},
		"not asked for":   {encoded("br"), `tool error: the service's answer had an unexpected form: content encoding "br" was not asked for`},
		"breaking off":    {breakingOff, "tool error: the service's answer broke off: unexpected EOF"},
		"long error":      {answering(400, "text/plain", strings.Repeat("é", 3000)), "error: the service answered 400 Bad Request: (text/plain) " + strings.Repeat("é", 1024) + "… (3952 bytes more)"},
		"endless error":   {endlessError, "error: the service answered 500 Internal Server Error: (text/plain) " + strings.Repeat("x", 2048) + "… (63488 bytes more)"},
		"long jq message": {answering(200, "application/json", `"`+strings.Repeat("y", 900)+`"`), strings.Repeat("y", 900)},
	} {
		t.Run(name, func(t *testing.T) {
			up := newRecorder(t, tc.answer)
			d := getTool(t, up, func(c *DeclaredConfig) { c.MaxResponse = 1000 })
			if got := callText(t, d, `{}`); got != tc.want {
				t.Errorf("Call = %s\nwant %s", shorten(got, 300), shorten(tc.want, 300))
			}
		})
	}
	up := newRecorder(t, answering(200, "application/json", `"`+strings.Repeat("y", 900)+`"`))
	d := getTool(t, up, func(c *DeclaredConfig) { c.MaxResponse, c.Result = 1000, "[., .]" })
	if got := callText(t, d, `{}`); got != tooLong {
		t.Errorf("Call of a long jq result = %s\nwant %s", shorten(got, 300), tooLong)
	}
}

func endless(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	for r.Context().Err() == nil {
		if _, err := io.WriteString(w, strings.Repeat("x", 4096)); err != nil {
			return
		}
	}
}

func endlessError(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(500)
	endless(w, r)
}

// bomb is 64 MiB that travel as 64 KiB.
func bomb(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	zeros := make([]byte, 1<<20)
	for range 64 {
		if _, err := z.Write(zeros); err != nil {
			return
		}
	}
	z.Close()
}

func encoded(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", name)
		io.WriteString(w, "x")
	}
}

func breakingOff(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "100")
	io.WriteString(w, "x")
}

// Security PROV-04.
func TestDeclaredTimeout(t *testing.T) {
	for name, before := range map[string]string{"before the header": "", "within the body": "x"} {
		t.Run(name, func(t *testing.T) {
			up := newRecorder(t, func(w http.ResponseWriter, r *http.Request) {
				if before != "" {
					io.WriteString(w, before)
					http.NewResponseController(w).Flush()
				}
				<-r.Context().Done()
			})
			d := getTool(t, up, func(c *DeclaredConfig) { c.Timeout = 20 * time.Millisecond })
			if got, want := callText(t, d, `{}`), "error: no answer within 20ms"; got != want {
				t.Errorf("Call = %s, want %s", got, want)
			}
		})
	}
	up := newRecorder(t, nil)
	d := getTool(t, up, func(c *DeclaredConfig) { c.Timeout, c.Result = 20*time.Millisecond, "def f: f; f" })
	if got, want := callText(t, d, `{}`), "error: no answer within 20ms"; got != want {
		t.Errorf("Call with an endless program = %s, want %s", got, want)
	}
}

// upstreamFunc is an [Upstream] of one function.
type upstreamFunc func(*Caller, Need, *http.Request) (*http.Response, error)

func (f upstreamFunc) Do(caller *Caller, need Need, req *http.Request) (*http.Response, error) {
	return f(caller, need, req)
}

func TestDeclaredPassesErrorsOn(t *testing.T) {
	request := &RequestConfig{Method: "GET", URL: "https://h.example/x?secret=1"}
	connect := &ConnectError{Provider: "p", Reason: ReasonAuthorizationRequired}
	answer := func(err error) error {
		d := mustDeclare(t, upstreamFunc(func(*Caller, Need, *http.Request) (*http.Response, error) { return nil, err }), DeclaredConfig{Request: request})
		_, got := d.Call(t.Context(), &Call{Caller: alice(), Arguments: json.RawMessage(`{}`)})
		return got
	}
	var gotConnect *ConnectError
	if err := answer(fmt.Errorf("asking: %w", connect)); !errors.As(err, &gotConnect) || gotConnect != connect {
		t.Errorf("Call = %v, want the connect error", err)
	}
	if err := answer(context.Canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("Call = %v, want %v", err, context.Canceled)
	}
	var tool *ToolError
	if err := answer(errors.New("dial tcp: refused")); !errors.As(err, &tool) || tool.Message != "the service could not be reached" {
		t.Errorf("Call = %v, want a tool error", err)
	}
	if err := answer(&ToolError{Message: "vault is down"}); !errors.As(err, &tool) || tool.Message != "vault is down" {
		t.Errorf("Call = %v, want the tool error of the upstream", err)
	}

	up := newRecorder(t, nil)
	up.Close()
	err := answerOf(t, getTool(t, up, func(c *DeclaredConfig) { c.Request.Query = []Pair{{"secret", "s3cr3t"}} }))
	if err == nil || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("Call of a closed service = %v, want an error without the query", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	stopping := newRecorder(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	d := getTool(t, stopping, nil)
	if _, err := d.Call(ctx, &Call{Caller: alice(), Arguments: json.RawMessage(`{}`)}); !errors.Is(err, context.Canceled) {
		t.Errorf("Call that was canceled = %v, want %v", err, context.Canceled)
	}
}

func answerOf(t testing.TB, d *Declared) error {
	_, err := d.Call(t.Context(), &Call{Caller: alice(), Arguments: json.RawMessage(`{}`)})
	return err
}

// TestDeclaredBodyCanBeSentAgain: a vault answers 401 with a new credential
// and the same request.
func TestDeclaredBodyCanBeSentAgain(t *testing.T) {
	up := newRecorder(t, nil)
	twice := upstreamFunc(func(caller *Caller, need Need, req *http.Request) (*http.Response, error) {
		first, err := up.Do(caller, need, req)
		if err != nil {
			return nil, err
		}
		first.Body.Close()
		again := req.Clone(req.Context())
		if again.Body, err = req.GetBody(); err != nil {
			return nil, err
		}
		return up.Do(caller, need, again)
	})
	d := mustDeclare(t, twice, DeclaredConfig{
		Inputs:  []Input{{Name: "v", Type: "string"}},
		Request: &RequestConfig{Method: "POST", URL: up.URL, JSON: json.RawMessage(`{"v":"{arg.v}"}`)},
	})
	callText(t, d, `{"v":"x"}`)
	if request := up.take(); request == nil || request.Body != `{"v":"x"}` {
		t.Errorf("second request is %+v", request)
	}
}

// Security ISO-04.
func TestDeclaredKeepsCallersApart(t *testing.T) {
	echo := upstreamFunc(func(_ *Caller, _ Need, req *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/plain"}}, Body: io.NopCloser(strings.NewReader(req.URL.Path))}, nil
	})
	d := mustDeclare(t, echo, DeclaredConfig{
		Inputs:  []Input{{Name: "v", Type: "integer"}},
		Request: &RequestConfig{Method: "GET", URL: "https://h.example/{user.id}/{arg.v}"},
	})
	done := make(chan string)
	for i := range 8 {
		go func() {
			var wrong string
			for n := range 200 {
				caller := &Caller{UserID: fmt.Sprintf("u%d", i)}
				result, err := d.Call(t.Context(), &Call{Caller: caller, Arguments: json.RawMessage(fmt.Sprintf(`{"v":%d}`, n))})
				if want := string(textContent(fmt.Sprintf("/u%d/%d", i, n))); err != nil || string(result.Content) != want {
					wrong = fmt.Sprintf("Call of u%d = %+v, %v, want %s", i, result, err, want)
				}
			}
			done <- wrong
		}()
	}
	for range 8 {
		if wrong := <-done; wrong != "" {
			t.Error(wrong)
		}
	}
}

func BenchmarkDeclaredCall(b *testing.B) {
	const body = `{"messages":[{"id":"18c","threadId":"18c"},{"id":"18d","threadId":"18d"}],"nextPageToken":"1","resultSizeEstimate":201}`
	header := http.Header{"Content-Type": {"application/json; charset=UTF-8"}}
	up := upstreamFunc(func(*Caller, Need, *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: header, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body))}, nil
	})
	for name, program := range map[string]string{"raw": "", "jq": ".messages"} {
		b.Run(name, func(b *testing.B) {
			d := mustDeclare(b, up, DeclaredConfig{
				Inputs: []Input{
					{Name: "query", Type: "string", Optional: true},
					{Name: "limit", Type: "integer", Default: json.RawMessage("10"), Min: pointer(1.0), Max: pointer(100.0)},
				},
				Provider: "google", Result: program,
				Request: &RequestConfig{
					Method: "GET", URL: "https://gmail.googleapis.com/gmail/v1/users/me/messages",
					Query: []Pair{{"q", "{arg.query}"}, {"maxResults", "{arg.limit}"}},
				},
			})
			call := &Call{Caller: alice(), Arguments: json.RawMessage(`{"query":"from:bob newer_than:7d","limit":5}`)}
			b.ReportAllocs()
			for b.Loop() {
				if result, err := d.Call(b.Context(), call); err != nil || result.IsError {
					b.Fatal(result, err)
				}
			}
		})
	}
}
