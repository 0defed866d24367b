package alter

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

// The fake refuses a nonce that it has seen, so each try was signed anew.
func TestRetries(t *testing.T) {
	const quarter = time.Second / 4
	refusal := func(status int, code string, more string) altertest.Fault {
		return altertest.Fault{Status: status, Body: json.RawMessage(`{"error":"` + code + `","message":"m"` + more + `}`)}
	}
	text := func(status int, body string) altertest.Fault {
		raw, _ := json.Marshal(body)
		return altertest.Fault{Status: status, Body: raw}
	}
	for name, c := range map[string]struct {
		fault altertest.Fault
		times int
		kind  Kind // "" for success
		calls int
		waits []time.Duration
	}{
		"cut when it was read":    {altertest.Fault{Cut: altertest.CutUndone}, 2, "", 3, []time.Duration{quarter, 2 * quarter}},
		"cut when it was done":    {altertest.Fault{Cut: altertest.CutDone}, 1, "", 2, []time.Duration{quarter}},
		"cut in half":             {altertest.Fault{Cut: altertest.CutHalf}, 1, "", 2, []time.Duration{quarter}},
		"cut for ever":            {altertest.Fault{Cut: altertest.CutUndone}, -1, ErrUnavailable, 4, []time.Duration{quarter, 2 * quarter, 4 * quarter}},
		"502":                     {text(502, "<html>"), 1, "", 2, []time.Duration{quarter}},
		"503 with a time":         {refusal(503, "oops", `,"retry_after":3`), 1, "", 2, []time.Duration{3 * time.Second}},
		"503 with a long time":    {refusal(503, "oops", `,"retry_after":6`), 1, ErrUnavailable, 1, nil},
		"504 for ever":            {refusal(504, "timeout", ""), -1, ErrUnavailable, 4, []time.Duration{quarter, 2 * quarter, 4 * quarter}},
		"500":                     {refusal(500, "oops", ""), 1, ErrUnavailable, 1, nil},
		"502 that is a refusal":   {refusal(502, "grant_revoked", ""), 1, ErrGrantRevoked, 1, nil},
		"503 about the key":       {refusal(503, "app_not_found_for_key", ""), 1, ErrOperator, 1, nil},
		"429 short":               {refusal(429, "rate_limit_exceeded", `,"retry_after":2`), 1, "", 2, []time.Duration{2 * time.Second}},
		"429 long":                {refusal(429, "rate_limit_exceeded", `,"retry_after":6`), 1, ErrRateLimited, 1, nil},
		"a quota":                 {refusal(429, "quota_exceeded", `,"retry_after":1`), 1, ErrQuotaExceeded, 1, nil},
		"refresh in progress":     {refusal(409, "token_refresh_in_progress", ""), 3, "", 4, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}},
		"refresh without end":     {refusal(409, "token_refresh_in_progress", ""), -1, ErrRefreshInProgress, 4, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}},
		"garbage":                 {text(200, "<html>"), 1, ErrMalformed, 1, nil},
		"a redirect":              {altertest.Fault{Status: 302, Body: json.RawMessage(`{}`), Header: map[string]string{"Location": "/sdk/token"}}, 1, ErrMalformed, 1, nil},
		"not the vault's own 404": {text(404, "page not found"), 1, ErrUnavailable, 1, nil},
		"no grant":                {refusal(404, "grant_not_found", ""), 1, ErrGrantNotFound, 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFlow(t, Config{})
			c.fault.Path, c.fault.Times = tokenPath, c.times
			f.AddFault(c.fault)
			_, _, err := f.get(f.client, f.use("alice"), "ok")
			hits := 0
			if c.kind != "" {
				mustBe(t, err, c.kind)
			} else if hits = 1; err != nil {
				t.Fatal(err)
			}
			f.wantCounts(c.calls, hits)
			if diff := cmp.Diff(c.waits, f.waited()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A call that must not happen twice is repeated only if it did not happen.
func TestRetriesOfWhatHappensOnce(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	broken := &net.OpError{Op: "read", Err: errors.New("connection reset")}
	for name, c := range map[string]struct {
		err  Error
		want [2]bool // not repeatable, repeatable
	}{
		"refused connection":       {Error{Kind: ErrUnavailable, Err: refused}, [2]bool{true, true}},
		"refused by the proxy":     {Error{Kind: ErrUnavailable, Err: &net.OpError{Op: "proxyconnect", Err: refused}}, [2]bool{true, true}},
		"broken connection":        {Error{Kind: ErrUnavailable, Err: broken}, [2]bool{false, true}},
		"the whole timeout":        {Error{Kind: ErrUnavailable, Err: context.DeadlineExceeded}, [2]bool{false, false}},
		"half an answer":           {Error{Kind: ErrUnavailable, Status: 200, Err: broken}, [2]bool{false, true}},
		"503":                      {Error{Kind: ErrUnavailable, Status: 503}, [2]bool{false, true}},
		"429":                      {Error{Kind: ErrRateLimited, Status: 429}, [2]bool{true, true}},
		"refused here":             {Error{Kind: ErrInvalid}, [2]bool{false, false}},
		"malformed":                {Error{Kind: ErrMalformed, Status: 200}, [2]bool{false, false}},
		"a refusal with a 503":     {Error{Kind: ErrCallerAgentResolution, Status: 503}, [2]bool{false, false}},
		"refresh, not waited for":  {Error{Kind: ErrRefreshInProgress, Status: 409}, [2]bool{false, false}},
		"a time that is too long":  {Error{Kind: ErrUnavailable, Status: 503, RetryAfter: maxWait + 1}, [2]bool{false, false}},
		"429, a time that is long": {Error{Kind: ErrRateLimited, Status: 429, RetryAfter: maxWait + 1}, [2]bool{false, false}},
	} {
		for i, repeatable := range []bool{false, true} {
			k := call{repeatable: repeatable}
			if _, ok := k.again(&c.err, 0); ok != c.want[i] {
				t.Errorf("%s, repeatable %v: %v", name, repeatable, ok)
			}
			if _, ok := k.again(&c.err, maxTries-1); ok {
				t.Errorf("%s: a fifth try", name)
			}
		}
	}
}

func TestRetriesEnd(t *testing.T) {
	t.Run("at once, when the input is at fault", func(t *testing.T) {
		f := newFlow(t, Config{})
		ctx := WithAuditContext(t.Context(), map[string]string{"": "x"})
		_, err := f.client.do(ctx, call{method: "POST", path: tokenPath, repeatable: true, body: struct{}{}})
		mustBe(t, err, ErrInvalid)
		if f.waited() != nil || f.Count(tokenPath) != 0 {
			t.Errorf("waited %v, %d calls", f.waited(), f.Count(tokenPath))
		}
	})
	t.Run("nobody listens", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		f := newFlow(t, Config{})
		c := f.newClient(Config{BaseURL: "http://" + l.Addr().String()})
		_, _, err = f.get(c, f.use("alice"), "ok")
		mustBe(t, err, ErrUnavailable)
		if len(f.waited()) != maxTries-1 {
			t.Errorf("waited %v", f.waited())
		}
	})
	t.Run("when the caller gives up", func(t *testing.T) {
		f := newFlow(t, Config{Keep: -1})
		f.AddFault(altertest.Fault{Path: tokenPath, Times: -1, DelayMS: 60_000})
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		_, err := f.client.fetchToken(ctx, "GET", mustURL(t, "https://api.example.com/"), ptr(f.use("alice")))
		mustBe(t, err, ErrUnavailable)
		if !errors.Is(err, context.DeadlineExceeded) || len(f.waited()) != 0 {
			t.Errorf("%v; waited %v", err, f.waited())
		}
	})
	t.Run("after one whole timeout", func(t *testing.T) {
		f := newFlow(t, Config{Keep: -1, Timeout: 30 * time.Millisecond})
		f.AddFault(altertest.Fault{Path: tokenPath, Times: -1, DelayMS: 60_000})
		_, _, err := f.get(f.client, f.use("alice"), "ok")
		mustBe(t, err, ErrUnavailable)
		f.wantCounts(1, 0)
	})
	t.Run("our clock is wrong", func(t *testing.T) {
		f := newFlow(t, Config{Now: func() time.Time { return time.Now().Add(-7 * time.Minute) }})
		_, _, err := f.get(f.client, f.use("alice"), "ok")
		if e := mustBe(t, err, ErrOperator); e.Code != "signature_expired" {
			t.Errorf("code %q", e.Code)
		}
		f.wantCounts(1, 0)
		f.TakeViolations() // the clock is what was to be refused
	})
}
