package alter_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

const (
	awayLog = "the vault takes no audit records at the moment; they are kept"
	backLog = "the vault takes audit records again"
	dropLog = "the vault refuses an audit record for good, which is dropped"
	fullLog = "the audit queue is full: new records are refused"
	roomLog = "the audit queue has room again"
)

// TestAuditCarriesItsOwnCall: caller, context and trace are those of the call
// that is reported, whether the record comes from memory or from the spool.
func TestAuditCarriesItsOwnCall(t *testing.T) {
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	entries := map[string]alter.AuditEntry{
		"agent": {
			Caller:  alter.Caller{Name: "helper", Type: alter.CallerAgent},
			Context: map[string]string{"tool": "list_messages", "who": "Jürgen"}, Traceparent: trace,
		},
		"service":    {Caller: alter.Caller{Name: "helper"}, Traceparent: "00-nonsense"},
		"own caller": {Caller: alter.Caller{Name: "the client", Type: alter.CallerService}},
		"nobody":     {},
	}
	want := map[string]map[string]string{
		"agent": {
			"X-Alter-Caller": "helper", "X-Alter-Caller-Type": "agent",
			"X-Alter-Context": `{"tool":"list_messages","who":"J\u00fcrgen"}`, "Traceparent": trace,
		},
		"service":    {"X-Alter-Caller": "helper", "X-Alter-Caller-Type": "service"},
		"own caller": {"X-Alter-Caller": "the client", "X-Alter-Caller-Type": "service"},
		"nobody":     {"X-Alter-Caller": "the client", "X-Alter-Caller-Type": "service"},
	}
	for name, running := range map[string]bool{"from memory": true, "from the spool": false} {
		t.Run(name, func(t *testing.T) {
			v := startAuditVault(t)
			q := newAuditQueue(t, alter.AuditQueueConfig{Spool: newAuditSpool(t)})
			if running {
				q.run(t, newAuditClient(t, v.URL))
			}
			for name, e := range entries {
				e.Body = auditRecord(name).Body
				auditMust(t, "Add", q.Add(t.Context(), e))
				clear(e.Body) // it is the caller's again
				clear(e.Context)
			}
			if !running {
				q.run(t, newAuditClient(t, v.URL))
			}
			entries["agent"].Context["tool"], entries["agent"].Context["who"] = "list_messages", "Jürgen"
			q.awaitEmpty(t)
			got := map[string]map[string]string{}
			for _, call := range v.Calls() {
				sent := map[string]string{}
				for _, h := range call.Header {
					switch name := http.CanonicalHeaderKey(h.Name); name {
					case "X-Alter-Caller", "X-Alter-Caller-Type", "X-Alter-Context", "Traceparent":
						sent[name] = h.Value
					}
				}
				got[auditName(t, call)] = sent
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("headers by record (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAuditRefusesWhatCannotBeSent(t *testing.T) {
	v := startAuditVault(t)
	for spooled, cfg := range map[string]alter.AuditQueueConfig{"spool": {Spool: newAuditSpool(t)}, "memory": {}} {
		cfg.MaxEntry = 1000
		q := newAuditQueue(t, cfg).run(t, newAuditClient(t, v.URL))
		for name, e := range map[string]alter.AuditEntry{
			"no body":             {},
			"a body that is cut":  {Body: json.RawMessage(`{"a":`)},
			"a list":              {Body: json.RawMessage(`[]`)},
			"two bodies":          {Body: json.RawMessage(`{}{}`)},
			"a caller":            {Caller: alter.Caller{Name: "a\nb"}, Body: json.RawMessage(`{}`)},
			"a caller type":       {Caller: alter.Caller{Name: "a", Type: "b"}, Body: json.RawMessage(`{}`)},
			"a context too large": {Context: map[string]string{"a": strings.Repeat("b", 513)}, Body: json.RawMessage(`{}`)},
			"a record too large":  {Body: json.RawMessage(`{"a":"` + strings.Repeat("b", 1000) + `"}`)},
		} {
			if err := q.Add(t.Context(), e); !errors.Is(err, alter.ErrInvalid) {
				t.Errorf("%s: Add of %s = %v, want ErrInvalid", spooled, name, err)
			}
		}
		if s := q.Stats(); s != (alter.AuditStats{}) {
			t.Errorf("%s: stats %+v, want none", spooled, s)
		}
	}
}

func TestAuditQueueConfig(t *testing.T) {
	for name, cfg := range map[string]alter.AuditQueueConfig{
		"a negative bound": {MaxEntries: -1},
		"negative bytes":   {MaxBytes: -1},
		"a short lease":    {Timeout: 30 * time.Second, Lease: time.Minute},
		"a negative poll":  {Poll: -1},
	} {
		if _, err := alter.NewAuditQueue(cfg); !errors.Is(err, alter.ErrInvalid) {
			t.Errorf("NewAuditQueue with %s = %v, want ErrInvalid", name, err)
		}
	}
	q := newAuditQueue(t, alter.AuditQueueConfig{}).run(t, newAuditClient(t, "http://127.0.0.1:1"))
	auditMust(t, "Run", q.end())
	if err := q.Run(t.Context(), newAuditClient(t, "http://127.0.0.1:1")); !errors.Is(err, alter.ErrInvalid) {
		t.Errorf("Run again = %v, want ErrInvalid", err)
	}
}

// TestAuditVaultAway: whatever keeps the vault from taking records, they wait,
// the log has one line for it and one for its end, and nothing is dropped.
func TestAuditVaultAway(t *testing.T) {
	for name, c := range map[string]struct {
		fault   altertest.Fault
		timeout time.Duration
		twice   bool // what was carried out and not answered is sent again
	}{
		"503":                        {fault: altertest.Fault{Status: 503}},
		"503 of a proxy":             {fault: altertest.Fault{Status: 503, Body: json.RawMessage(`"<html>"`)}},
		"500":                        {fault: altertest.Fault{Status: 500}},
		"a redirect":                 {fault: altertest.Fault{Status: 302, Header: map[string]string{"Location": "/"}}},
		"404 of another server":      {fault: altertest.Fault{Status: 404, Body: json.RawMessage(`"not here"`)}},
		"403 of a firewall":          {fault: altertest.Fault{Status: 403, Body: json.RawMessage(`"<html>"`)}},
		"401 for the key":            {fault: altertest.Fault{Status: 401, Body: json.RawMessage(`{"error":"invalid_key"}`)}},
		"401 without a word":         {fault: altertest.Fault{Status: 401}},
		"403 for the key's scope":    {fault: altertest.Fault{Status: 403, Body: json.RawMessage(`{"error":"insufficient_scope"}`)}},
		"429 without a time":         {fault: altertest.Fault{Status: 429}},
		"cut before it was done":     {fault: altertest.Fault{Cut: altertest.CutUndone}},
		"cut after it was done":      {fault: altertest.Fault{Cut: altertest.CutDone}, twice: true},
		"cut in the answer":          {fault: altertest.Fault{Cut: altertest.CutHalf}, twice: true},
		"slower than the timeout":    {fault: altertest.Fault{DelayMS: 60_000}, timeout: 300 * time.Millisecond, twice: true},
		"an answer without an end":   {fault: altertest.Fault{Status: 200, Body: endlessAnswer()}},
		"a status that is not there": {fault: altertest.Fault{Status: 599}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := startAuditVault(t)
			c.fault.Path, c.fault.Times = auditPath, -1
			v.AddFault(c.fault)
			q := newAuditQueue(t, alter.AuditQueueConfig{
				Spool: newAuditSpool(t), InFlight: 4, Timeout: c.timeout,
			}).run(t, newAuditClient(t, v.URL))
			names := auditNames("record ", 12)
			q.add(t, names...)
			auditAwait(t, "the outage", func() bool { return q.Stats().Away })
			if s := q.Stats(); s.Waiting != len(names) || s.Sent+s.Dropped != 0 || s.Oldest <= 0 {
				t.Errorf("stats %+v, want all waiting", s)
			}
			v.ClearFaults()
			q.awaitEmpty(t)
			got := auditArrived(t, v)
			if c.twice {
				for name := range got {
					got[name] = 1
				}
			}
			if diff := cmp.Diff(auditOnce(names...), got); diff != "" {
				t.Errorf("arrived (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{awayLog, backLog}, q.messages()); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}
			s := q.Stats()
			if s.Sent != uint64(len(names)) || s.Dropped != 0 || s.Failed == 0 || s.Away || s.Oldest != 0 {
				t.Errorf("stats at the end %+v", s)
			}
			auditMust(t, "Run", q.end())
		})
	}
}

func endlessAnswer() json.RawMessage {
	return json.RawMessage(`"` + strings.Repeat("x", 2<<20) + `"`)
}

// TestAuditClosedPort: nobody listens, then somebody does.
func TestAuditClosedPort(t *testing.T) {
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	auditMust(t, "Listen", err)
	address := l.Addr().String()
	auditMust(t, "Close", l.Close())
	q := newAuditQueue(t, alter.AuditQueueConfig{Spool: newAuditSpool(t)}).run(t, newAuditClient(t, "http://"+address))
	q.add(t, "a", "b", "c")
	auditAwait(t, "the outage", func() bool { return q.Stats().Away })

	v, err := altertest.New(altertest.Config{BaseURL: "http://" + address, Grants: []altertest.Grant{{ID: auditGrant, Provider: "google", Person: "alice"}}})
	auditMust(t, "New", err)
	l, err = lc.Listen(t.Context(), "tcp", address)
	auditMust(t, "Listen", err)
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- v.Serve(ctx, l) }()
	q.awaitEmpty(t)
	if diff := cmp.Diff(auditOnce("a", "b", "c"), auditArrived(t, v)); diff != "" {
		t.Errorf("arrived (-want +got):\n%s", diff)
	}
	stop()
	auditMust(t, "Serve", <-served)
}

// TestAuditRateLimit: nothing is sent before the time that the vault named.
func TestAuditRateLimit(t *testing.T) {
	v := startAuditVault(t)
	v.AddFault(altertest.Fault{Path: auditPath, Status: 429, Header: map[string]string{"Retry-After": "1"}})
	q := newAuditQueue(t, alter.AuditQueueConfig{Spool: newAuditSpool(t), InFlight: 1, MaxPause: time.Minute}).run(t, newAuditClient(t, v.URL))
	q.add(t, auditNames("record ", 5)...)
	q.awaitEmpty(t)
	calls := v.Calls()
	if len(calls) != 6 {
		t.Fatalf("%d calls, want 6", len(calls))
	}
	if pause := calls[1].At.Sub(calls[0].At); pause < time.Second {
		t.Errorf("the next call after %v, want a second at least", pause)
	}
	if len(q.messages()) != 0 {
		t.Errorf("log %q, want none: it was no outage", q.messages())
	}
}

// TestAuditLongPause: a vault that wants to be left alone for long is an outage
// at once, and is left alone.
func TestAuditLongPause(t *testing.T) {
	for name, fault := range map[string]altertest.Fault{
		"a rate":  {Status: 429, Header: map[string]string{"Retry-After": "3600"}},
		"a quota": {Status: 429, Body: json.RawMessage(`{"error":"quota_exceeded","retry_after":2000000}`)},
		"503":     {Status: 503, Header: map[string]string{"Retry-After": "600"}},
	} {
		t.Run(name, func(t *testing.T) {
			v := startAuditVault(t)
			fault.Path = auditPath
			v.AddFault(fault)
			q := newAuditQueue(t, alter.AuditQueueConfig{Spool: newAuditSpool(t), InFlight: 1}).run(t, newAuditClient(t, v.URL))
			q.add(t, auditNames("record ", 5)...)
			auditAwait(t, "the outage", func() bool { return q.Stats().Away })
			q.add(t, "later")
			auditMust(t, "Run", q.end())
			if n := v.Count(auditPath); n != 1 {
				t.Errorf("%d calls, want one", n)
			}
			if diff := cmp.Diff([]string{awayLog}, q.messages()); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAuditRefusedForGood: a record that the vault will never take goes, and the
// others get through.
func TestAuditRefusedForGood(t *testing.T) {
	for name, fault := range map[string]altertest.Fault{
		"400":                {Status: 400, Body: json.RawMessage(`{"error":"bad_record"}`)},
		"400 without a word": {Status: 400},
		"413":                {Status: 413},
		"422 of validation":  {Status: 422, Body: json.RawMessage(`{"detail":[{"type":"missing","loc":["body"],"msg":"m"}]}`)},
		"a grant deleted":    {Status: 404, Body: json.RawMessage(`{"error":"grant_not_found"}`)},
		"a policy":           {Status: 403, Body: json.RawMessage(`{"error":"policy"}`)},
	} {
		t.Run(name, func(t *testing.T) {
			v := startAuditVault(t)
			fault.Path, fault.Skip, fault.Times = auditPath, 2, 2
			v.AddFault(fault)
			q := newAuditQueue(t, alter.AuditQueueConfig{Spool: newAuditSpool(t), InFlight: 1}).run(t, newAuditClient(t, v.URL))
			q.add(t, auditNames("record ", 10)...)
			q.awaitEmpty(t)
			if s := q.Stats(); s.Sent != 8 || s.Dropped != 2 || s.Failed != 0 {
				t.Errorf("stats %+v, want 8 sent and 2 dropped", s)
			}
			if got := auditArrived(t, v); len(got) != 8 || v.Count(auditPath) != 10 {
				t.Errorf("%v arrived by %d calls, want 8 by 10", got, v.Count(auditPath))
			}
			if diff := cmp.Diff([]string{dropLog}, q.messages()); diff != "" {
				t.Errorf("log (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAuditPoison: one record with which the vault fails again and again holds up
// no other, and leaves the memory.
func TestAuditPoison(t *testing.T) {
	v := startAuditVault(t)
	for name, cfg := range map[string]alter.AuditQueueConfig{"spool": {Spool: newAuditSpool(t)}, "memory": {Grace: -1}} {
		t.Run(name, func(t *testing.T) {
			proxy := poisonProxy{v}
			c, err := alter.New(alter.Config{APIKey: auditKey(), BaseURL: v.URL, Vault: proxy})
			auditMust(t, "New", err)
			q := newAuditQueue(t, cfg).run(t, c)
			q.add(t, "poison")
			for i := range 40 {
				q.add(t, auditNames(name, 40)[i])
				auditAwait(t, "a record past the poison", func() bool { return q.Stats().Sent > uint64(i) })
			}
			auditAwait(t, "all but one to go", func() bool { return q.Stats().Waiting == 1 })
			if s := q.Stats(); s.Sent != 40 || s.Dropped != 0 || s.Failed < 3 {
				t.Errorf("stats %+v, want 40 sent and none dropped", s)
			}
			_ = q.end() // without a spool it is lost, which another test looks at
		})
	}
}

// poisonProxy answers 500 for one record.
type poisonProxy struct{ v *altertest.Vault }

func (p poisonProxy) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := r.GetBody()
	if err != nil {
		return nil, err
	}
	var record struct {
		Reason string `json:"reason"`
	}
	if err := json.NewDecoder(body).Decode(&record); err != nil {
		return nil, err
	}
	if record.Reason == "poison" {
		return &http.Response{StatusCode: 500, Body: http.NoBody, Header: http.Header{}, Request: r}, nil
	}
	return http.DefaultTransport.RoundTrip(r)
}

// TestAuditManyAdders adds from many goroutines while the vault falters.
func TestAuditManyAdders(t *testing.T) {
	for name, cfg := range map[string]alter.AuditQueueConfig{"spool": {Spool: newAuditSpool(t)}, "memory": {}} {
		t.Run(name, func(t *testing.T) {
			v := startAuditVault(t)
			v.AddFault(altertest.Fault{Path: auditPath, Skip: 100, Times: 30, Status: 503})
			q := newAuditQueue(t, cfg).run(t, newAuditClient(t, v.URL))
			const adders, each = 32, 60 // more than the window
			var wg sync.WaitGroup
			for i := range adders {
				wg.Go(func() {
					for _, name := range auditNames(string(rune('A'+i))+" ", each) {
						if err := q.Add(t.Context(), auditRecord(name)); err != nil {
							t.Errorf("Add = %v", err)
						}
					}
				})
			}
			wg.Wait()
			q.awaitEmpty(t)
			got := auditArrived(t, v)
			for name, n := range got {
				if n != 1 {
					t.Errorf("record %s arrived %d times", name, n)
				}
			}
			if len(got) != adders*each {
				t.Errorf("%d records arrived, want %d", len(got), adders*each)
			}
			auditMust(t, "Run", q.end())
			wantNoAuditGoroutines(t)
		})
	}
}
