package alter

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

const recordPath = "/sdk/oauth/audit/api-call"

// recorded makes requests by a client of a level, and returns what the vault was
// told of them, in order of their latest arrival.
func recorded(t *testing.T, level AuditLevel, do func(*flow, *Client)) []map[string]any {
	t.Helper()
	queue, err := NewAuditQueue(AuditQueueConfig{InFlight: 1})
	if err != nil {
		t.Fatal(err)
	}
	f := newFlow(t, Config{})
	c := f.newClient(Config{Audit: level, Queue: queue, Caller: Caller{Name: "mcp"}})
	do(f, c)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- queue.Run(ctx, c) }()
	deadline := time.Now().Add(10 * time.Second)
	for queue.Stats().Waiting > 0 {
		if time.Now().After(deadline) {
			t.Fatal("the records do not arrive")
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-ended
	var out []map[string]any
	for _, call := range f.Calls() {
		if call.Path != recordPath {
			continue
		}
		var body map[string]any
		if err := json.Unmarshal(call.Body, &body); err != nil {
			t.Fatal(err)
		}
		delete(body, "latency_ms")
		if h, ok := body["response_headers"].(map[string]any); ok {
			delete(h, "date")
		}
		for _, h := range call.Header {
			if h.Name == "X-Alter-Caller" {
				body["caller"] = h.Value
			}
		}
		out = append(out, body)
	}
	return out
}

func post(t *testing.T, f *flow, c *Client, mode, contentType, body string, use Use) (int, string, error) {
	t.Helper()
	ctx := WithAuditContext(t.Context(), map[string]string{"tool": "send"})
	req, err := http.NewRequestWithContext(ctx, "POST", f.ProviderURL(mode)+"/me?secret=q", io.NopCloser(strings.NewReader(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Content-Type": {contentType}, "X-Trace": {"t1"}, "Cookie": {"c"}, "X-Auth-Token": {"a"}, "authorization": {"mine"}}
	return answerOf(c.Do(req, use))
}

func TestRecords(t *testing.T) {
	var url, grant, generation, echo string
	send := func(f *flow, c *Client) {
		url, grant, generation = f.ProviderURL("ok")+"/me", f.Grants()[0].ID, f.Grants()[0].Generation
		use := f.use("alice")
		use.Reason, use.Caller = "because", &Caller{Name: "another"}
		status, text, err := post(t, f, c, "ok", "application/json; charset=utf-8", `{"n":[1,2.5],"t":"<é>"}`, use)
		if status != 200 || err != nil {
			t.Fatalf("%d, %v", status, err)
		}
		echo = text
	}
	meta := func() map[string]any {
		return map[string]any{
			"grant_id": grant, "provider_id": "google", "token_generation": generation, "method": "POST", "url": url,
			"request_headers": nil, "request_body": nil, "response_status": 200.0, "response_headers": nil,
			"response_body": nil, "reason": "because", "context": map[string]any{"tool": "send"}, "caller": "another",
		}
	}
	t.Run("none", func(t *testing.T) {
		if got := recorded(t, AuditNone, send); got != nil {
			t.Error(got)
		}
	})
	t.Run("meta", func(t *testing.T) {
		got := recorded(t, AuditMeta, send)
		if diff := cmp.Diff([]map[string]any{meta()}, got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("full", func(t *testing.T) {
		got := recorded(t, AuditFull, send)
		want := meta()
		want["url"] = url + "?secret=q"
		want["request_headers"] = map[string]any{"Content-Type": "application/json; charset=utf-8", "User-Agent": DefaultUserAgent, "X-Trace": "t1"}
		want["request_body"] = map[string]any{"n": []any{1.0, 2.5}, "t": "<é>"}
		want["response_headers"] = map[string]any{"content-type": "application/json", "content-length": got[0]["response_headers"].(map[string]any)["content-length"]}
		want["response_body"] = echo
		if diff := cmp.Diff([]map[string]any{want}, got); diff != "" {
			t.Error(diff)
		}
	})
}

// What a request says of the person by a signature of its own is no matter of the
// record.
func TestRecordHidesASignedIdentity(t *testing.T) {
	got := recorded(t, AuditFull, func(f *flow, client *Client) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.ProviderURL("ok")+"/me", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Who", "signed")
		req.Header.Set("X-Trace", "t1")
		use := f.use("alice")
		use.Hidden = "X-Who"
		if status, _, err := answerOf(client.Do(req, use)); status != 200 || err != nil {
			t.Fatalf("%d, %v", status, err)
		}
		if hit := f.Hits()[0]; !slices.Contains(hit.Header, altertest.Header{Name: "X-Who", Value: "signed"}) {
			t.Errorf("the provider got %v", hit.Header)
		}
	})
	if headers := got[0]["request_headers"].(map[string]any); headers["X-Who"] != nil || headers["X-Trace"] != "t1" {
		t.Errorf("the record has %v", headers)
	}
}

func TestRecordBodies(t *testing.T) {
	type bodies struct{ request, response any }
	for name, c := range map[string]struct {
		mode, body string
		want       bodies
	}{
		"text":          {"404", "plain", bodies{"plain", `{"error":"404"}`}},
		"no text":       {"404", "\xff\xfe", bodies{"<binary body: 2 bytes>", `{"error":"404"}`}},
		"10,000 bytes":  {"404", strings.Repeat("x", 10_000), bodies{strings.Repeat("x", 10_000), `{"error":"404"}`}},
		"10,001 bytes":  {"404", strings.Repeat("x", 10_001), bodies{"<binary body: more than 10000 bytes>", `{"error":"404"}`}},
		"nothing sent":  {"404", "", bodies{"", `{"error":"404"}`}},
		"a big answer":  {"big", "x", bodies{"x", "<response too large: more than 10000 bytes>"}},
		"no answer":     {"cut", "x", bodies{"x", "<transport error>"}},
		"401, 1 record": {"401", "x", bodies{"x", `{"error":"401"}`}},
	} {
		t.Run(name, func(t *testing.T) {
			got := recorded(t, AuditFull, func(f *flow, client *Client) {
				_, text, err := post(t, f, client, c.mode, "text/plain", c.body, f.use("alice"))
				if c.mode == "big" && (len(text) < 2<<20 || err != nil) {
					t.Errorf("the caller got %d bytes, %v", len(text), err)
				}
			})
			if len(got) != 1 {
				t.Fatalf("%d records", len(got))
			}
			if r := (bodies{got[0]["request_body"], got[0]["response_body"]}); r != c.want {
				t.Errorf("got %.80v, want %.80v", r, c.want)
			}
		})
	}
}

// Who reads the answer afterwards sees it as if nobody had read before.
func TestResponseRecordLeavesTheBody(t *testing.T) {
	broken := io.ErrUnexpectedEOF
	for name, c := range map[string]struct {
		status int
		media  string
		body   []io.Reader
		length int64
		want   any
		text   string
		err    error
	}{
		"short":            {200, "", []io.Reader{strings.NewReader("abc")}, 3, "abc", "abc", nil},
		"long, said":       {200, "", []io.Reader{strings.NewReader(strings.Repeat("x", 20_000))}, 20_000, "<response too large: 20000 bytes>", strings.Repeat("x", 20_000), nil},
		"broken":           {200, "", []io.Reader{strings.NewReader("abc"), errorReader{broken}}, -1, "abc", "abc", broken},
		"no text":          {200, "", []io.Reader{bytes.NewReader([]byte{0xff})}, 1, "<binary response: 1 bytes>", "\xff", nil},
		"a stream":         {200, "text/event-stream; charset=utf-8", []io.Reader{strings.NewReader("data")}, -1, "<event stream>", "data", nil},
		"another protocol": {101, "", []io.Reader{strings.NewReader("data")}, -1, "", "data", nil},
	} {
		resp := &http.Response{
			StatusCode: c.status, Header: http.Header{"Content-Type": {c.media}}, ContentLength: c.length,
			Body: io.NopCloser(io.MultiReader(c.body...)),
		}
		if got := responseRecord(resp); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
		text, err := io.ReadAll(resp.Body)
		if string(text) != c.text || err != c.err {
			t.Errorf("%s: the caller reads %d bytes, %v", name, len(text), err)
		}
	}
}

// A full queue loses records, not calls.
func TestRecordsThatAreLost(t *testing.T) {
	queue, err := NewAuditQueue(AuditQueueConfig{MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	f := newFlow(t, Config{})
	c := f.newClient(Config{Audit: AuditMeta, Queue: queue})
	for range 3 {
		if status, _, err := f.get(c, f.use("alice"), "ok"); status != 200 || err != nil {
			t.Fatalf("%d, %v", status, err)
		}
	}
	if _, err := New(Config{APIKey: c.cfg.APIKey, Audit: AuditMeta}); err == nil {
		t.Error("an audit without a queue")
	}
	if slices.ContainsFunc(f.Calls(), func(call altertest.Call) bool { return call.Path == recordPath }) {
		t.Error("a record was sent by nobody")
	}
}
