package mcphandler

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// untilEnd reports once, waits for the end of its context, and returns its error.
func untilEnd(ctx context.Context, c *Call) (*Result, error) {
	c.Progress(Progress{Message: "waiting"})
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestSilentStreamIsKeptAlive: no more than 15 s pass without a word, which
// clients skip; and nobody on the way is to hold it back.
//
// Security MCP-07.
func TestSilentStreamIsKeptAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newToolFixture(t, func(_ context.Context, c *Call) (*Result, error) {
			c.Progress(Progress{})
			time.Sleep(3*keepAlive + time.Second)
			return TextResult("done"), nil
		}, nil)
		w := f.serve("POST", legacyFields(), slowCall(`"progressToken":1`))
		const comment = ": waiting\n\n"
		if got := strings.Count(w.Body.String(), comment); got != 3 {
			t.Errorf("%d comments in 46 s, want 3: %q", got, w.Body)
		}
		if got := events(t, strings.ReplaceAll(w.Body.String(), comment, "")); len(got) != 2 {
			t.Errorf("events %q, want a report and the response", got)
		}
		want := http.Header{
			"Content-Type": {"text/event-stream"}, "Cache-Control": {"no-store, no-transform"}, "X-Accel-Buffering": {"no"},
			"X-Content-Type-Options": {"nosniff"},
		}
		if diff := cmp.Diff(want, w.Header()); diff != "" || !w.Flushed {
			t.Errorf("flushed %v, header (-want +got):\n%s", w.Flushed, diff)
		}
	})
}

// TestClosingEndsStreams: a tool that hears of the end answers by itself, another
// one's context ends a second later. Either way the client gets a response.
//
// Security OPS-11.
func TestClosingEndsStreams(t *testing.T) {
	tests := map[string]struct {
		tool    func(context.Context, *Call) (*Result, error)
		after   time.Duration
		want    string
		outcome string
	}{
		"a tool that listens": {func(_ context.Context, c *Call) (*Result, error) {
			c.Progress(Progress{})
			<-c.Closing
			return TextResult("later"), nil
		}, 0, `"text":"later"`, outcomeOK},
		"a tool that does not": {untilEnd, closingRest, "the server restarts; call the tool again", outcomeCanceled},
		"one that says why": {func(ctx context.Context, c *Call) (*Result, error) {
			_, _ = untilEnd(ctx, c)
			return nil, &ToolError{Message: context.Cause(ctx).Error()}
		}, closingRest, ErrClosing.Error(), outcomeToolError},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				closing := make(chan struct{})
				f := newToolFixture(t, test.tool, func(cfg *Config) { cfg.Closing = closing })
				time.AfterFunc(5*time.Second, func() { close(closing) })
				begin := time.Now()
				w := f.serve("POST", legacyFields(), slowCall(`"progressToken":1`))
				got := events(t, w.Body.String())
				if last := got[len(got)-1]; len(got) != 2 || !strings.Contains(last, test.want) || !strings.Contains(last, `"id":7`) {
					t.Errorf("events %q, want a response with %q at the end", got, test.want)
				}
				if took := time.Since(begin); took != 5*time.Second+test.after {
					t.Errorf("it took %v, want %v after the beginning of the end", took, test.after)
				}
				if rec := <-f.records; rec.Outcome != test.outcome {
					t.Errorf("outcome %q, want %q", rec.Outcome, test.outcome)
				}
			})
		})
	}
}

// TestClosingLeavesWork: a call that does not stream is served to its end.
func TestClosingLeavesWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closing := make(chan struct{})
		close(closing)
		f := newToolFixture(t, func(ctx context.Context, _ *Call) (*Result, error) {
			time.Sleep(time.Minute)
			return TextResult("done"), ctx.Err()
		}, func(cfg *Config) { cfg.Closing = closing })
		if w := f.serve("POST", legacyFields(), slowCall(`"progressToken":1`)); !strings.Contains(w.Body.String(), `"done"`) {
			t.Errorf("answer %s", w.Body)
		}
	})
}

// tokenOfAlice is good until it is revoked, and says when it ends.
type tokenOfAlice struct {
	expiry  time.Time
	revoked *atomic.Bool
}

func (a tokenOfAlice) Authenticate(*http.Request) (*Caller, error) {
	if a.revoked.Load() {
		return nil, ErrInvalidToken
	}
	return &Caller{UserID: "u-alice", Scopes: []string{"mcp", "mail"}, Expiry: a.expiry}, nil
}

// TestRevokedTokenEndsStream: a call whose token is revoked meanwhile ends soon;
// one whose token has reached its end does not.
//
// Security SESS-11.
func TestRevokedTokenEndsStream(t *testing.T) {
	for name, test := range map[string]struct {
		life    time.Duration
		ends    bool
		outcome string
	}{
		"revoked":               {time.Hour, true, outcomeLogin},
		"expired before it was": {time.Minute, false, outcomeOK},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				alice := tokenOfAlice{time.Now().Add(test.life), new(atomic.Bool)}
				f := newToolFixture(t, func(ctx context.Context, c *Call) (*Result, error) {
					c.Progress(Progress{})
					select {
					case <-ctx.Done():
						return nil, ctx.Err()
					case <-time.After(5 * time.Minute):
						return TextResult("done"), nil
					}
				}, func(cfg *Config) { cfg.Authenticator = alice })
				begin := time.Now()
				time.AfterFunc(2*time.Minute+time.Second, func() { alice.revoked.Store(true) })
				w := f.serve("POST", legacyFields(), slowCall(`"progressToken":1`))
				if ended := time.Since(begin) <= 2*time.Minute+keepAlive; ended != test.ends {
					t.Errorf("the call took %v", time.Since(begin))
				}
				if told := strings.Contains(w.Body.String(), `"error":{"code":-32600,"message":"the access token is invalid or expired; log in again"}`); told != test.ends {
					t.Errorf("answer %q", w.Body)
				}
				if rec := <-f.records; rec.Outcome != test.outcome {
					t.Errorf("outcome %q, want %q", rec.Outcome, test.outcome)
				}
			})
		})
	}
}

// TestCancelledStream: a client of a revision with handshake ends its own call,
// and nobody else's. No response follows.
func TestCancelledStream(t *testing.T) {
	const notification = `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7,"reason":"enough"}}`
	for name, test := range map[string]struct {
		token string
		body  string
		other bool // session
		ends  bool
	}{
		"by the client itself": {"alice", notification, false, true},
		"of another id":        {"alice", strings.Replace(notification, "7", "8", 1), false, false},
		"of the id as a text":  {"alice", strings.Replace(notification, "7", `"7"`, 1), false, false},
		"without an id":        {"alice", strings.Replace(notification, `"requestId":7,`, "", 1), false, false},
		"by another session":   {"alice", notification, true, false},
		"by another client":    {"alice/other", notification, true, false},
		"by another person":    {"bob", notification, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newToolFixture(t, func(ctx context.Context, c *Call) (*Result, error) {
					c.Progress(Progress{})
					select {
					case <-ctx.Done():
						return nil, ctx.Err()
					case <-time.After(10 * time.Second):
						return TextResult("done"), nil
					}
				}, nil)
				own := f.initialize("alice", "2025-11-25", "{}")
				sender := own
				if test.other {
					sender = f.initialize(test.token, "2025-11-25", "{}")
				}
				time.AfterFunc(time.Second, func() {
					w := f.serve("POST", map[string]string{"Authorization": "Bearer " + test.token, "Mcp-Session-Id": sender}, test.body)
					if w.Code != http.StatusAccepted {
						t.Errorf("notification: status %d", w.Code)
					}
				})
				w := f.serve("POST", map[string]string{"Authorization": "Bearer alice", "Mcp-Session-Id": own}, slowCall(`"progressToken":1`))
				if ended := !strings.Contains(w.Body.String(), `"id":7`); ended != test.ends {
					t.Errorf("answer %q", w.Body)
				}
				if len(f.handler.streams.open) != 0 {
					t.Error("the stream is kept")
				}
			})
		})
	}
}

// TestClientThatDoesNotRead: it counts as gone, and its call ends.
func TestClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newToolFixture(t, untilEnd, nil)
		r := httptest.NewRequest("POST", "/mcp", strings.NewReader(slowCall(`"progressToken":1`)))
		for name, value := range legacyFields() {
			r.Header.Set(name, value)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "application/json, text/event-stream")
		w := &deaf{ResponseRecorder: httptest.NewRecorder()}
		begin := time.Now()
		f.handler.ServeHTTP(w, r)
		if took := time.Since(begin); took != writeTimeout || w.writes != 1 {
			t.Errorf("the call took %v with %d writes, want %v and one", took, w.writes, writeTimeout)
		}
		if rec := <-f.records; rec.Outcome != outcomeCanceled {
			t.Errorf("outcome %q", rec.Outcome)
		}
	})
}

// deaf is a connection whose other side reads nothing.
type deaf struct {
	*httptest.ResponseRecorder
	deadline time.Time
	writes   int
}

func (d *deaf) SetWriteDeadline(at time.Time) error { d.deadline = at; return nil }

func (d *deaf) Write([]byte) (int, error) {
	d.writes++
	time.Sleep(time.Until(d.deadline))
	return 0, errors.New("i/o timeout")
}

// TestStreamsOfOnePerson: who has as many streams open as one person may have
// requests is refused another, and others are not.
//
// Security HTTP-06.
func TestStreamsOfOnePerson(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 100
		goOn := make(chan struct{})
		f := newToolFixture(t, func(_ context.Context, c *Call) (*Result, error) {
			if c.Caller.UserID == "u-alice" {
				c.Progress(Progress{})
				<-goOn
			}
			return TextResult("done"), nil
		}, func(cfg *Config) { cfg.MaxRequests = most })
		as := func(person string) *httptest.ResponseRecorder {
			fields := legacyFields()
			fields["Authorization"] = "Bearer " + person
			return f.serve("POST", fields, slowCall(`"progressToken":1`))
		}
		var open sync.WaitGroup
		for range most {
			open.Go(func() {
				if w := as("alice"); !strings.Contains(w.Body.String(), `"done"`) {
					t.Errorf("a stream of alice ends with %q", w.Body)
				}
			})
		}
		synctest.Wait()
		if w := as("alice"); w.Code != http.StatusTooManyRequests {
			t.Errorf("one stream more: status %d, want 429", w.Code)
		}
		if w := as("bob"); !strings.Contains(w.Body.String(), `"done"`) {
			t.Errorf("bob: status %d, body %q", w.Code, w.Body)
		}
		close(goOn)
		open.Wait()
	})
}
