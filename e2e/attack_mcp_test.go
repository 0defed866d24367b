package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
)

// TestAttackMessages sends messages and fields that no client should send, with
// a good token: the answer is clear and the server lives.
//
// Security MCP-07, MCP-08, MCP-10, MCP-14, MCP-16 to MCP-22, MCP-29.
func TestAttackMessages(t *testing.T) {
	a := newTarget(t)
	token := a.token(alice)
	echo := func(arguments string) string { return callOf(1, "echo", arguments) }
	for name, c := range map[string]struct {
		body   string
		header []string // in place of those of a good request
		want   []int
	}{
		"cut off":                   {body: whoami[:len(whoami)-1], want: []int{400}},
		"no JSON":                   {body: "tools/call whoami", want: []int{400}},
		"empty":                     {body: "", want: []int{400}},
		"a list of nothing":         {body: "[]", want: []int{400}},
		"a response":                {body: `{"jsonrpc":"2.0","id":1,"result":{}}`, want: []int{202, 400}},
		"a notification":            {body: `{"jsonrpc":"2.0","method":"notifications/unknown"}`, want: []int{202}},
		"method twice":              {body: `{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}`, want: []int{400}},
		"name twice":                {body: `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami","name":"echo","arguments":{}}}`, want: []int{400}},
		"arguments no object":       {body: echo(`[1]`), want: []int{200, 400}},
		"arguments of other types":  {body: echo(`{"text":{"a":[]},"number":"x"}`), want: []int{200}},
		"arguments unknown":         {body: echo(`{"text":"x","__proto__":{"a":1},"constructor":1}`), want: []int{200}},
		"a huge exponent":           {body: echo(`{"text":"x","number":1e999999999}`), want: []int{200}},
		"a number of 100 kB":        {body: echo(`{"text":"x","number":` + strings.Repeat("9", 100_000) + `}`), want: []int{200}},
		"minus zero":                {body: echo(`{"text":"x","number":-0.0}`), want: []int{200}},
		"half a surrogate pair":     {body: echo(`{"text":"\ud800"}`), want: []int{200}},
		"NUL and controls":          {body: echo(`{"text":"\u0000\u001b[31m\r\n\u202e"}`), want: []int{200}},
		"a string of 3 MB":          {body: echo(`{"text":"` + strings.Repeat("x", 3<<20) + `"}`), want: []int{200}},
		"not UTF-8":                 {body: echo(`{"text":"` + "\xff\xfe" + `"}`), want: []int{200, 400}},
		"100 000 brackets":          {body: strings.Repeat("[", 100_000), want: []int{400}},
		"100 000 objects deep":      {body: echo(strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000)), want: []int{400}},
		"as a form":                 {body: whoami, header: []string{"Content-Type", "application/x-www-form-urlencoded"}, want: []int{400, 415}},
		"as text":                   {body: whoami, header: []string{"Content-Type", "text/plain"}, want: []int{400, 415}},
		"as text that says JSON":    {body: whoami, header: []string{"Content-Type", "text/plain; application/json"}, want: []int{400, 415}},
		"of no type":                {body: whoami, header: []string{"Accept", "*/*"}, want: []int{400, 415}},
		"for a picture":             {body: whoami, header: []string{"Content-Type", jsonType, "Accept", "image/png"}, want: []int{400, 406}},
		"for anything":              {body: whoami, header: []string{"Content-Type", jsonType, "Accept", "*/*"}, want: []int{200}},
		"with weights":              {body: whoami, header: []string{"Content-Type", jsonType, "Accept", "text/event-stream;q=0.5, application/json;q=0.9, */*;q=0.1"}, want: []int{200}},
		"64 MB compressed to 64 kB": {body: gzipped(t, 64<<20), header: []string{"Content-Type", jsonType, "Content-Encoding", "gzip"}, want: []int{400, 413, 415}},
		"compressed and well":       {body: gzipped(t, 0), header: []string{"Content-Type", jsonType, "Content-Encoding", "deflate"}, want: []int{400, 413, 415}},
	} {
		t.Run(name, func(t *testing.T) {
			a := *a
			a.T = t
			header := c.header
			if header == nil {
				header = []string{"Content-Type", jsonType, "Accept", "application/json, text/event-stream"}
			}
			r := a.send("POST", "/mcp", strings.NewReader(c.body), append(header, "Authorization", "Bearer "+token)...)
			if !slices.Contains(c.want, r.status) {
				t.Errorf("answer = %d %.300s, want one of %v", r.status, r.body, c.want)
			}
			if r.status != 202 && !json.Valid([]byte(r.body)) {
				t.Errorf("answer is no JSON: %.300s", r.body)
			}
			if got := r.header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control = %q, want no-store", got)
			}
			a.alive(token)
		})
	}
}

// TestAttackLongBodies: a body that says that it is too long is refused before it
// is there; one that does not say is cut off, which may reset the connection
// before the client has read the answer.
//
// Security MCP-15.
func TestAttackLongBodies(t *testing.T) {
	a := newTarget(t)
	token := a.token(alice)
	head := strings.TrimSuffix(a.rawCall(token, ""), "Content-Length: 0\r\n\r\n")
	announced := a.raw(head + "Content-Length: 67108864\r\n\r\n{")
	if len(announced) != 1 || announced[0].status != http.StatusRequestEntityTooLarge {
		t.Errorf("64 MB announced = %+v, want 413", announced)
	}
	chunk := "100000\r\n" + strings.Repeat(" ", 1<<20) + "\r\n"
	for _, r := range a.raw(head + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat(chunk, 8) + "0\r\n\r\n") {
		if r.status != http.StatusRequestEntityTooLarge {
			t.Errorf("8 MB in chunks = %d %s, want 413", r.status, r.body)
		}
	}
	a.alive(token)
}

// gzipped compresses n blanks.
func gzipped(t *testing.T, n int) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(bytes.Repeat([]byte(" "), n)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestAttackMethods: nothing but POST, DELETE and OPTIONS is served at the
// endpoint; nobody's stream can be taken up again, because there are none.
//
// Security CORS-05, CORS-06, HTTP-03, MCP-05, MCP-06, SESS-10.
func TestAttackMethods(t *testing.T) {
	a := newTarget(t)
	token := a.token(alice)
	opened := a.post(token, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"e2e","version":"1"}}}`)
	session := opened.header.Get("Mcp-Session-Id")
	if opened.status != 200 || session == "" {
		t.Fatalf("initialize = %d %s", opened.status, opened.body)
	}
	for _, token := range []string{token, a.token(bob)} {
		for _, method := range []string{"GET", "HEAD", "PUT", "PATCH", "PROPFIND", "TRACE", "X-ODD"} {
			r := a.send(method, "/mcp", nil, "Authorization", "Bearer "+token, "Accept", "text/event-stream", "Last-Event-ID", "1", "X-Marker", "m4rker")
			if r.status != 405 || r.header.Get("Allow") == "" || strings.Contains(r.body, "m4rker") {
				t.Errorf("%s = %d, Allow %q, %s; want 405 with Allow", method, r.status, r.header.Get("Allow"), r.body)
			}
		}
	}
	if r := a.send("GET", "/mcp", nil, "Authorization", "Bearer "+a.token(bob), "Accept", "text/event-stream", "Last-Event-ID", "1", "Mcp-Session-Id", session); r.status != 404 {
		t.Errorf("another's stream by its last event = %d %s, want 404", r.status, r.body)
	}

	const inspector = "https://inspector.example" // is allowed in the Caddyfile
	preflight := func(origin string) reply {
		return a.send("OPTIONS", "/mcp", nil, "Origin", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type,mcp-session-id")
	}
	allowed := preflight(inspector)
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": inspector, "Access-Control-Allow-Methods": "POST",
		"Access-Control-Allow-Headers": "Authorization",
	} {
		if got := allowed.header.Get(name); allowed.status != 204 || !strings.Contains(got, want) {
			t.Errorf("preflight = %d, %s %q, want %s in it", allowed.status, name, got, want)
		}
	}
	r := a.post(token, whoami, "Origin", inspector)
	exposed := r.header.Get("Access-Control-Expose-Headers")
	if r.status != 200 || !strings.Contains(exposed, "Mcp-Session-Id") || !strings.Contains(exposed, "WWW-Authenticate") {
		t.Errorf("call from an allowed page = %d, exposes %q", r.status, exposed)
	}
	for _, r := range []reply{preflight("https://evil.example"), a.post(token, whoami, "Origin", "https://evil.example")} {
		if r.status != 403 || r.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("from a foreign page = %d, allows %q", r.status, r.header.Get("Access-Control-Allow-Origin"))
		}
	}
}

// TestAttackPeopleAtOnce lets two people call over shared connections, 16 at a
// time, all with the same few ids.
//
// Security ISO-01, MCP-03, MCP-34.
func TestAttackPeopleAtOnce(t *testing.T) {
	const workers, calls = 16, 50
	a := newTarget(t)
	people := []browser.Person{alice, bob}
	tokens := []string{a.token(alice), a.token(bob)}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range calls {
				own := people[(w+i)%2].Name
				mark := own + " " + strconv.Itoa(w) + "-" + strconv.Itoa(i)
				who := a.quick(tokens[(w+i)%2], callOf(i%3, "whoami", "{}"))
				said := a.quick(tokens[(w+i)%2], callOf(i%3, "echo", `{"text":"`+mark+`"}`))
				if !strings.Contains(who, "I am "+own+"@") || !strings.Contains(said, `"`+mark+`"`) {
					t.Errorf("%s got %s and %s", mark, who, said)
				}
			}
		})
	}
	wg.Wait()
}

// quick is a call whose body alone is of interest; it may be used by goroutines.
func (a *target) quick(token, message string) string {
	req, err := http.NewRequestWithContext(a.Context(), "POST", a.Endpoint, strings.NewReader(message))
	if err != nil {
		return err.Error()
	}
	req.Header = http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {jsonType}}
	resp, err := a.http.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}
