package alter

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

// countedBody counts how often it is closed.
type countedBody struct {
	io.Reader
	closed *atomic.Int32
}

func (b countedBody) Close() error { b.closed.Add(1); return nil }

func TestDoRefusesTargets(t *testing.T) {
	f := newFlow(t, Config{})
	for _, u := range []string{
		"http://api.example.com/", "ftp://localhost/", "https:///x", "https://:443/", "https://u@api.example.com/", "https:opaque",
		"https://api.example.com:0/", "https://api.example.com:65536/", "https://api.example.com/{id}", "https://api.example.com/?q={q}", "http://localhost.evil.example/",
		"https://api.example.com/" + strings.Repeat("x", maxURL),
	} {
		var closed atomic.Int32
		req := &http.Request{URL: mustURL(t, u), Body: countedBody{strings.NewReader("x"), &closed}}
		_, err := f.client.Do(req, f.use("alice"))
		mustBe(t, err, ErrInvalid)
		if closed.Load() != 1 {
			t.Errorf("%.40s: the body was closed %d times", u, closed.Load())
		}
	}
	_, err := f.client.Do(&http.Request{}, f.use("alice"))
	mustBe(t, err, ErrInvalid)
	// What a kept token would hide is refused all the same.
	use := f.use("alice")
	f.mustGet(use, "ok")
	use.Caller = &Caller{Name: "a\nb"}
	_, _, err = f.get(f.client, use, "ok")
	mustBe(t, err, ErrInvalid)
	req, _ := http.NewRequestWithContext(WithAuditContext(t.Context(), map[string]string{"": ""}), "GET", f.ProviderURL("ok")+"/me", nil)
	_, err = f.client.Do(req, f.use("alice"))
	mustBe(t, err, ErrInvalid)
	f.wantCounts(1, 1)
	// Braces that are meant are escaped.
	req, _ = http.NewRequestWithContext(t.Context(), "GET", f.ProviderURL("ok")+"/%7Bid%7D", nil)
	if status, _, err := answerOf(f.client.Do(req, f.use("alice"))); status != 200 || err != nil {
		t.Errorf("%d, %v", status, err)
	}
}

func TestDoLeavesTheRequestAlone(t *testing.T) {
	f := newFlow(t, Config{})
	req := &http.Request{URL: mustURL(t, f.ProviderURL("ok")+"/me?a=b")} // no method, no header
	resp, err := f.client.Do(req, f.use("alice"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if req.Header != nil || req.Method != "" || resp.Request != req {
		t.Errorf("request %+v, the answer's %+v", req, resp.Request)
	}
	if hit := f.Hits()[0]; hit.Method != "GET" || hit.Query != "a=b" {
		t.Errorf("hit %+v", hit)
	}
}

func TestDoAnswers(t *testing.T) {
	f := newFlow(t, Config{})
	for mode, want := range map[string]int{"400": 400, "404": 404, "429": 429, "500": 500, "503": 503, "302": 302, "403": 403} {
		if status, _, err := f.get(f.client, f.use("alice"), mode); status != want || err != nil {
			t.Errorf("%s: %d, %v", mode, status, err)
		}
	}
	if len(f.Hits()) != 7 || f.waited() != nil {
		t.Errorf("%d hits, waited %v: a provider's answer is nobody's to repeat", len(f.Hits()), f.waited())
	}
}

func TestDoScopes(t *testing.T) {
	f := newFlow(t, Config{})
	use := f.use("alice")
	_, _, err := f.get(f.client, use, "403scope")
	e := mustBe(t, err, ErrScopesMissing)
	if fmt.Sprint(e.Missing) != "[gmail.send]" || e.GrantID == "" {
		t.Errorf("%+v", e)
	}
	f.client.Close() // waits for the report
	path := "/sdk/grants/" + e.GrantID + "/report-scope-mismatch"
	if f.Count(path) != 1 {
		t.Fatalf("%d reports", f.Count(path))
	}
	body := string(f.Calls()[len(f.Calls())-1].Body)
	for _, want := range []string{`"missing_scopes":["gmail.send"]`, `"api_endpoint":"` + f.ProviderURL("403scope") + `/me"`} {
		if !strings.Contains(body, want) {
			t.Errorf("report %s has no %s", body, want)
		}
	}
	// From now on the vault says so, and a 403 without a challenge is about that.
	c := f.newClient(Config{})
	_, _, err = f.get(c, use, "403")
	if e := mustBe(t, err, ErrScopesMissing); e.Missing != nil {
		t.Errorf("missing %v", e.Missing)
	}
}

func TestDoTransportFaults(t *testing.T) {
	f := newFlow(t, Config{})
	use := f.use("alice")
	_, _, err := f.get(f.client, use, "cut")
	mustBe(t, err, ErrProviderUnreached)
	_, body, err := f.get(f.client, use, "half")
	if err == nil || body == "" {
		t.Errorf("half a body: %q, %v", body, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, "GET", f.ProviderURL("slow")+"/me?ms=60000", nil)
	_, err = f.client.Do(req, use)
	mustBe(t, err, ErrProviderUnreached)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	f.wantCounts(1, 3)
}

func TestDoBodies(t *testing.T) {
	f := newFlow(t, Config{}, altertest.Grant{Person: "alice", Provider: "google", Token: "tok-old"})
	use := f.use("alice")
	var closed, opened atomic.Int32
	post := func(again bool) (int, string, error) {
		req, _ := http.NewRequestWithContext(t.Context(), "POST", f.ProviderURL("ok")+"/me", countedBody{strings.NewReader("text"), &closed})
		if again {
			req.GetBody = func() (io.ReadCloser, error) {
				opened.Add(1)
				return countedBody{strings.NewReader("text"), &closed}, nil
			}
		}
		return answerOf(f.client.Do(req, use))
	}
	if status, _, err := post(false); status != 200 || err != nil {
		t.Fatalf("%d, %v", status, err)
	}
	f.ChangeGrant(f.Grants()[0].ID, func(g *altertest.Grant) { g.Token = "tok-new" })
	if _, _, err := post(false); !errors.Is(err, ErrProviderUnauthorized) {
		t.Errorf("a body that can be had once was sent twice: %v", err)
	}
	f.wantCounts(1, 2) // the vault need not be asked for what cannot be sent
	f.mustPost(post)
	f.ChangeGrant(f.Grants()[0].ID, func(g *altertest.Grant) { g.Token = "tok-newer" })
	f.mustPost(post)
	if opened.Load() != 1 || closed.Load() != 5 {
		t.Errorf("%d bodies were opened, %d closed", opened.Load(), closed.Load())
	}
	for _, h := range f.Hits() {
		if string(h.Body) != `"text"` {
			t.Errorf("body %s", h.Body)
		}
	}
}

func (f *flow) mustPost(post func(bool) (int, string, error)) {
	f.t.Helper()
	if status, _, err := post(true); status != 200 || err != nil {
		f.t.Fatalf("%d, %v", status, err)
	}
}

// The fake finds out by itself whose credential it was sent, signatures of AWS
// included, and how many headers of its name there were.
func TestDoInjections(t *testing.T) {
	aws := map[string]string{"secret_key": "aws-secret", "region": "eu-west-1", "service": "lambda"}
	with := func(more map[string]string) map[string]string {
		out := map[string]string{}
		for _, m := range []map[string]string{aws, more} {
			for k, v := range m {
				out[k] = v
			}
		}
		return out
	}
	for name, in := range map[string]altertest.Injection{
		"bearer":           {},
		"another header":   {InjectHeader: "x-API-key", InjectFormat: "{token}"},
		"basic":            {InjectFormat: "Basic {token}"},
		"twice a token":    {InjectFormat: "{token} {token}"},
		"more of it":       {Additional: map[string]string{"org": "o-secret"}, Injections: []altertest.ExtraInjection{{Target: "header", Key: "X_Org", Source: "additional_credentials.org"}, {Target: "query_param", Key: "key", Source: "token"}}},
		"aws":              {InjectFormat: "AWS4-HMAC-SHA256", Additional: aws},
		"aws with session": {InjectFormat: "AWS4-HMAC-SHA256", Additional: with(map[string]string{"session_token": "session-secret"})},
		"aws s3":           {InjectFormat: "AWS4-HMAC-SHA256", Additional: with(map[string]string{"service": "s3"})},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFlow(t, Config{}, altertest.Grant{Person: "alice", Provider: "google", Injection: in})
			for _, body := range []string{"", `{"a":"b"}`} {
				req, _ := http.NewRequestWithContext(t.Context(), "POST", f.ProviderURL("ok")+"/a%20b/c?q=x+y&key=mine&e=", io.NopCloser(strings.NewReader(body)))
				for _, spelling := range []string{"authorization", "Authorization", "AUTHORIZATION", "x-api-key", "X-API-KEY", "x-amz-date", "x_org"} {
					req.Header[spelling] = []string{"mine"}
				}
				if in.InjectHeader == "" {
					delete(req.Header, "x-api-key")
					delete(req.Header, "X-API-KEY")
				}
				status, text, err := answerOf(f.client.Do(req, f.use("alice")))
				if status != 200 || err != nil || !strings.Contains(text, `"person":"alice"`) {
					t.Fatalf("%d, %s, %v", status, text, err)
				}
				hit := f.Hits()[len(f.Hits())-1]
				if hit.Credentials != 1 {
					t.Errorf("%d credential headers: %v", hit.Credentials, hit.Header)
				}
				if strings.HasPrefix(name, "aws") && !strings.Contains(hit.Query, "q=x%20y") {
					t.Errorf("query %s", hit.Query)
				}
				if name == "more of it" && (strings.Count(hit.Query, "key=") != 1 || !strings.HasPrefix(hit.Query, "q=x+y&e=")) {
					t.Errorf("query %s", hit.Query)
				}
			}
		})
	}
	for name, additional := range map[string]map[string]string{"no secret": {"region": "eu-west-1"}, "nothing beside it": nil, "no region": {"secret_key": "s", "service": "lambda"}} {
		f := newFlow(t, Config{}, altertest.Grant{Person: "alice", Provider: "google", Injection: altertest.Injection{InjectFormat: "AWS4-HMAC-SHA256", Additional: additional}})
		_, _, err := f.get(f.client, f.use("alice"), "ok")
		mustBe(t, err, ErrOperator)
		if len(f.Hits()) != 0 {
			t.Errorf("%s: the provider was called", name)
		}
	}
}

// Whatever fails, no secret stands in an error or in the log.
func TestNoSecretInErrors(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	queue, err := NewAuditQueue(AuditQueueConfig{MaxEntry: 10})
	if err != nil {
		t.Fatal(err)
	}
	f := newFlow(t, Config{}, altertest.Grant{
		Person: "alice", Provider: "google", Token: "tok-secret", Injection: altertest.Injection{
			Additional: map[string]string{"a": "query-secret"},
			Injections: []altertest.ExtraInjection{{Target: "query_param", Key: "k", Source: "additional_credentials.a"}},
		},
	})
	c := f.newClient(Config{Logger: zap.New(core), Audit: AuditFull, Queue: queue})
	use := f.use("alice")
	var texts []string
	for _, mode := range []string{"cut", "half", "401", "403scope", "403", "ok"} {
		if _, _, err := f.get(c, use, mode); err != nil {
			texts = append(texts, fmt.Sprintf("%v %+v %#v", err, err, err))
		}
	}
	f.AddFault(altertest.Fault{Path: tokenPath, Times: -1, Drop: []string{"grant_id"}})
	_, _, err = f.get(c, f.use("bob"), "ok")
	texts = append(texts, fmt.Sprint(err))
	_, _, err = f.get(f.newClient(Config{Keep: -1}), use, "ok")
	texts = append(texts, fmt.Sprint(err))
	c.Close()
	for _, entry := range logs.All() {
		texts = append(texts, fmt.Sprint(entry.Message, entry.ContextMap()))
	}
	if len(texts) < 8 || logs.Len() == 0 {
		t.Fatalf("too little went wrong: %q", texts)
	}
	for _, text := range texts {
		for _, secret := range []string{"tok-secret", "query-secret", altertest.DefaultAPIKey, use.UserToken.Reveal()} {
			if strings.Contains(text, secret) {
				t.Errorf("%s is in %q", secret, text)
			}
		}
	}
}

// Each of 200 people gets an answer by that person's own token.
func TestManyPeople(t *testing.T) {
	const people = 200
	var config altertest.Config
	for i := range people {
		name := fmt.Sprintf("person%d", i)
		config.People = append(config.People, altertest.Person{Name: name})
		config.Grants = append(config.Grants, altertest.Grant{Person: name, Provider: "google"})
	}
	f := &flow{t: t, Vault: altertest.Start(t, config)}
	c := f.newClient(Config{})
	var wg sync.WaitGroup
	for _, p := range config.People {
		use := f.use(p.Name)
		wg.Go(func() {
			for range 3 {
				_, text, err := f.get(c, use, "ok")
				if err != nil || !strings.Contains(text, `"person":"`+p.Name+`"`) {
					t.Errorf("%s got %s, %v", p.Name, text, err)
				}
			}
		})
	}
	wg.Wait()
	f.wantCounts(people, 3*people)
}

func TestTLSAndTrace(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.EnableHTTP2 = true
	v, err := altertest.New(altertest.Config{
		BaseURL: "https://" + server.Listener.Addr().String(), Grants: []altertest.Grant{{Person: "alice", Provider: "google"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var protocols sync.Map
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protocols.Store(r.Proto+" "+r.TLS.NegotiatedProtocol, true)
		v.ServeHTTP(w, r)
	})
	server.StartTLS()
	defer server.Close()
	base := newTransport()
	base.TLSClientConfig = &tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	f := &flow{t: t, Vault: v}
	c := f.newClient(Config{Vault: base, Providers: base})

	state, _ := trace.ParseTraceState("vendor=value")
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, TraceState: state,
	}))
	req, _ := http.NewRequestWithContext(ctx, "GET", v.ProviderURL("ok")+"/me", nil)
	if status, _, err := answerOf(c.Do(req, f.use("alice"))); status != 200 || err != nil {
		t.Fatalf("%d, %v", status, err)
	}
	protocols.Range(func(got, _ any) bool {
		if got != "HTTP/2.0 h2" {
			t.Errorf("protocol %s", got)
		}
		return true
	})
	header := http.Header{}
	for _, h := range v.Calls()[0].Header {
		header.Add(h.Name, h.Value)
	}
	if got := header.Get("Traceparent"); got != "00-01000000000000000000000000000000-0200000000000000-01" || header.Get("Tracestate") != "" {
		t.Errorf("traceparent %q, tracestate %q", got, header.Get("Tracestate"))
	}
	if len(v.Violations()) != 0 {
		t.Error(v.Violations())
	}
}
