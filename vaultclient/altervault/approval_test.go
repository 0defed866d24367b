package altervault_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/altervault"
)

// gated makes a grant whose calls so many people must approve.
func (e *env) gated(gates int) {
	e.fake.AddGrant(altertest.Grant{Person: "alice", Provider: "google", Gates: gates})
}

// gaveUp makes a call of a client that gives up when the approval is asked for,
// and returns its gates.
func (e *env) gaveUp(use altervault.Use) []string {
	e.Helper()
	ctx, cancel := context.WithCancel(e.Context())
	use.Progress = func(string) { cancel() }
	if _, _, err := e.send(ctx, "ok", use); !errors.Is(err, context.Canceled) {
		e.Fatalf("Send of a client that gives up: %v", err)
	}
	return e.fake.PendingApprovals()
}

// A person decides while the client waits.
func TestApprovalDecided(t *testing.T) {
	tests := map[string]struct {
		decide func(v *altertest.Vault, id string) bool
		want   string // of the message; empty: it works
		hits   int
	}{
		"approved": {(*altertest.Vault).Approve, "", 1},
		"denied":   {func(v *altertest.Vault, id string) bool { return v.Deny(id, "not\nnow") }, "the call was not approved: notnow", 0},
		"expired":  {(*altertest.Vault).ExpireApproval, "nobody approved the call in time", 0},
	}
	for name, tt := range tests {
		for _, gates := range []int{1, 2} {
			t.Run(name, func(t *testing.T) {
				e := newEnv(t)
				e.gated(gates)
				use := e.use(func(u *altervault.Use) { u.Progress = e.decides(tt.decide) })
				a, _, err := e.send(t.Context(), "ok", use)
				var told *altervault.ModelError
				if tt.want == "" && (err != nil || a.Person != "alice") {
					t.Errorf("Send = %+v, %v, want the answer", a, err)
				}
				if tt.want != "" && (!errors.As(err, &told) || !strings.HasPrefix(told.Message, tt.want)) {
					t.Errorf("Send: %v, want %q", err, tt.want)
				}
				if n := len(e.fake.Hits()); n != tt.hits {
					t.Errorf("the provider got %d requests, want %d", n, tt.hits)
				}
				halfway := func(told string) bool {
					return strings.HasPrefix(told, "waiting for approvals: 1 of 2 "+e.fake.URL+"/approve/")
				}
				if said := slices.ContainsFunc(e.told, halfway); said != (tt.want == "" && gates == 2) {
					t.Errorf("told %q with %d gates", e.told, gates)
				}
				// What was decided is over: the same call asks anew.
				if e.gaveUp(use); e.fake.Count("/sdk/proxy") != 2 {
					t.Errorf("%d calls in proxy mode, want a second one", e.fake.Count("/sdk/proxy"))
				}
			})
		}
	}
}

// decides returns a listener that decides one gate whenever it hears something.
func (e *env) decides(decide func(*altertest.Vault, string) bool) func(string) {
	return func(message string) {
		e.progress(message)
		if ids := e.fake.PendingApprovals(); len(ids) > 0 {
			decide(e.fake, ids[0]) // at once, so that the next question hears of one more
		}
	}
}

// A client that gives up finds the decision when it comes back: with what it was
// told, or without.
func TestApprovalOfAClientThatComesBack(t *testing.T) {
	for name, with := range map[string]bool{"with the id": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			e.gated(2)
			ids := e.gaveUp(e.use())
			use := e.use(func(u *altervault.Use) { u.Arguments = json.RawMessage(` { "a" : 1 } `) }) // the same, written otherwise
			if with {
				use.Approval = &altervault.Approval{ID: ids[0]}
			}
			for _, id := range ids {
				if !e.fake.Approve(id) {
					t.Fatal("nothing to approve")
				}
			}
			e.works(use)
			if n := e.fake.Count("/sdk/proxy"); n != 1 {
				t.Errorf("the call was made %d times, want once", n)
			}
			if n := len(e.fake.Hits()); n != 1 {
				t.Errorf("the provider got %d requests, want one", n)
			}
		})
	}
}

// Another call, client, person or tool waits for an approval of its own.
func TestApprovalIsOfOneCall(t *testing.T) {
	e := newEnv(t)
	e.gated(1)
	e.fake.AddGrant(altertest.Grant{Person: "bob", Provider: "google", Gates: 1})
	e.gaveUp(e.use())
	e.gaveUp(e.use())
	if n := e.fake.Count("/sdk/proxy"); n != 1 {
		t.Fatalf("the same call asked for %d approvals", n)
	}
	for i, change := range []func(*altervault.Use){
		func(u *altervault.Use) { u.Arguments = json.RawMessage(`{"a":2}`) },
		func(u *altervault.Use) { u.Client = "another" },
		func(u *altervault.Use) { u.UserID = "bob" },
		func(u *altervault.Use) { u.Tool = "other" },
	} {
		e.gaveUp(e.use(change))
		if n := e.fake.Count("/sdk/proxy"); n != i+2 {
			t.Errorf("%d approvals after change %d, want another one each", n, i)
		}
	}
}

// A client that listens to nothing is told where to decide, in good time; the
// link and the id are the same until it is decided.
func TestApprovalPending(t *testing.T) {
	e := newEnv(t, func(c *altervault.Config) { c.ApprovalWait = 50 * time.Millisecond })
	e.gated(1)
	var first, again *altervault.PendingError
	_, _, err := e.send(t.Context(), "ok", e.use())
	if !errors.As(err, &first) || !strings.HasPrefix(first.URL, e.fake.URL+"/approve/") || first.Approval.ID == "" {
		t.Fatalf("Send: %v %+v, want the page to decide on", err, first)
	}
	if strings.Contains(first.Error(), first.URL) {
		t.Errorf("the error %q holds the link", first)
	}
	_, _, err = e.send(t.Context(), "ok", e.use(func(u *altervault.Use) {
		u.Client, u.Approval = "forgot", &first.Approval
	}))
	if !errors.As(err, &again) || again.Approval.ID != first.Approval.ID || again.URL != first.URL {
		t.Errorf("Send again: %v %+v, want the same page", err, again)
	}
}

// An approval that the vault does not know any more is asked for once more, by
// the next call.
func TestApprovalForgottenByTheVault(t *testing.T) {
	e := newEnv(t)
	e.gated(1)
	e.gaveUp(e.use())
	e.fake.AddFault(altertest.Fault{Path: "/sdk/approvals/*", Status: 404, Body: json.RawMessage(`{"error":"approval_not_found"}`)})
	var told *altervault.ModelError
	if _, _, err := e.send(t.Context(), "ok", e.use()); !errors.As(err, &told) || !strings.Contains(told.Message, "call the tool again") {
		t.Errorf("Send: %v, want that it is asked for again", err)
	}
	if e.gaveUp(e.use()); e.fake.Count("/sdk/proxy") != 2 {
		t.Errorf("%d calls in proxy mode, want a second one", e.fake.Count("/sdk/proxy"))
	}
}

// Each of several decisions has a page of its own: whoever comes back is shown the
// one that is still to be made.
func TestApprovalShowsTheNextGate(t *testing.T) {
	e := newEnv(t, func(c *altervault.Config) { c.ApprovalWait = time.Second })
	e.gated(2)
	page := func() string {
		var pending *altervault.PendingError
		if _, _, err := e.send(t.Context(), "ok", e.use()); !errors.As(err, &pending) {
			t.Fatalf("Send: %v, want the page to decide on", err)
		}
		return pending.URL
	}
	first := page()
	ids := e.fake.PendingApprovals()
	if len(ids) != 2 || !strings.Contains(first, ids[0]) {
		t.Fatalf("page %s, approvals %q", first, ids)
	}
	if !e.fake.Approve(ids[0]) {
		t.Fatal("nothing to approve")
	}
	if second := page(); !strings.Contains(second, ids[1]) || second == first {
		t.Errorf("after the first decision the page is %s, want that of %s", second, ids[1])
	}
}

// A client that hears of the approval waits as long as its call may take, up to
// ten minutes, also where that is longer than the client of the vault waits by
// itself.
func TestApprovalWaitFollowsTheCall(t *testing.T) {
	tests := map[string]struct{ call, want time.Duration }{
		"shorter than the vault's client waits": {3 * time.Minute, 3*time.Minute - time.Second},
		"longer than the vault's client waits":  {8 * time.Minute, 8*time.Minute - time.Second},
		"longer than any call waits":            {time.Hour, 10 * time.Minute},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			e.gated(1)
			e.fake.AddFault(altertest.Fault{Path: "/sdk/approvals/*", Times: 8, Status: 503, Body: json.RawMessage(`{"error":"deploying"}`)})
			ctx, cancel := context.WithTimeout(t.Context(), tt.call)
			defer cancel()
			started := time.Now()
			use := e.use(func(u *altervault.Use) { u.Progress = e.decides((*altertest.Vault).Approve) })
			if _, _, err := e.send(ctx, "ok", use); err != nil {
				t.Fatal(err)
			}
			if waited := e.until.Sub(started); waited < tt.want-10*time.Second || waited > tt.want+10*time.Second {
				t.Errorf("the call waits for %s, want %s", waited, tt.want)
			}
		})
	}
}
