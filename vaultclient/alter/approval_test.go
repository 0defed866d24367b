package alter

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

// pendingCall makes a call that so many people must approve.
func pendingCall(t *testing.T, gates int) (*altertest.Vault, *Client, *PendingApproval) {
	t.Helper()
	v, c, r := googleVault(t, gates)
	got, err := c.Proxy(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	p := got.Pending
	if got.Result != nil || p == nil || len(p.Gates) != gates || p.URL == "" || p.ExpiresIn <= 0 || p.ExpiresAt.IsZero() || p.GroupID == "" {
		t.Fatalf("answer %+v, want one pending with %d gates", p, gates)
	}
	return v, c, p
}

func TestAwaitApproval(t *testing.T) {
	v, c, p := pendingCall(t, 2)
	var states []ApprovalState
	changed := func(s ApprovalStatus) {
		states = append(states, s.State)
		for _, id := range v.PendingApprovals() {
			v.Approve(id)
		}
	}
	started := time.Now()
	got, err := c.AwaitApproval(t.Context(), p.ID, AwaitApprovalOptions{Changed: changed})
	if err != nil {
		t.Fatal(err)
	}
	if got.Status != http.StatusOK || got.ApprovalID != p.ID {
		t.Errorf("result %+v", got)
	}
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
	if last := states[len(states)-1]; states[0] != ApprovalPending || last != ApprovalExecuted {
		t.Errorf("states %v", states)
	}
}

func TestAwaitApprovalWoken(t *testing.T) {
	v, c, p := pendingCall(t, 1)
	path := "/sdk/approvals/" + p.ID
	go func() {
		eventually(t, v, path, 1)
		v.Approve(p.ID)
	}()
	started := time.Now()
	if _, err := c.AwaitApproval(t.Context(), p.ID, AwaitApprovalOptions{}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("took %s: the long poll was not woken", took)
	}
}

// Both questions leave out what else goes with each call.
func TestApprovalPlain(t *testing.T) {
	v, _, r := googleVault(t, 1)
	c := newTestClient(t, Config{BaseURL: v.URL, Caller: Caller{Name: "tools"}})
	ctx := WithAuditContext(t.Context(), map[string]string{"tool": "x"})
	got, err := c.Proxy(ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	if c.actorID.Load() == nil {
		t.Fatal("the fake gave no actor id")
	}
	v.Approve(got.Pending.ID)
	if _, err := c.AwaitApproval(ctx, got.Pending.ID, AwaitApprovalOptions{}); err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, call := range v.Calls() {
		if call.Method != http.MethodGet {
			continue
		}
		asked++
		sent := http.Header{}
		for _, h := range call.Header {
			sent.Add(h.Name, h.Value)
		}
		if sent.Get(headerActorID) != "" || sent.Get(headerContext) != "" || sent.Get(headerCaller) != "tools" {
			t.Errorf("%s: headers %v", call.Path, sent)
		}
	}
	if asked != 2 {
		t.Errorf("%d questions, want 2", asked)
	}
}

func TestAwaitApprovalEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end    func(*altertest.Vault, string)
		kind   Kind
		reason string
	}{
		"denied":  {func(v *altertest.Vault, id string) { v.Deny(id, "not today") }, ErrApprovalDenied, "not today"},
		"expired": {func(v *altertest.Vault, id string) { v.ExpireApproval(id) }, ErrApprovalExpired, ""},
		"failed": {func(v *altertest.Vault, id string) {
			v.AddFault(altertest.Fault{Path: "/sdk/approvals/*", Set: map[string]json.RawMessage{
				"status": json.RawMessage(`"failed"`), "execution_error": json.RawMessage(`"provider away"`),
			}})
			v.Approve(id)
		}, ErrApprovalFailed, "provider away"},
		"unknown": {func(v *altertest.Vault, _ string) { v.SetStep("another") }, ErrApproval, ""},
	} {
		t.Run(name, func(t *testing.T) {
			v, client, p := pendingCall(t, 1)
			c.end(v, p.ID)
			_, err := client.AwaitApproval(t.Context(), p.ID, AwaitApprovalOptions{})
			if e := wantKind(t, err, c.kind); e.ApprovalID != p.ID || e.Reason != c.reason {
				t.Errorf("approval %q, reason %q", e.ApprovalID, e.Reason)
			}
			if errors.Is(err, ErrGrantNotFound) {
				t.Errorf("%v is taken for a missing grant", err)
			}
		})
	}
}

func TestAwaitApprovalSurvives(t *testing.T) {
	for name, f := range map[string]altertest.Fault{
		"bad gateway":             {Path: "/sdk/approvals/*", Status: 502, Body: json.RawMessage(`"<html>"`), Times: 6},
		"cuts":                    {Path: "/sdk/approvals/*", Cut: altertest.CutUndone, Times: 6},
		"half answers":            {Path: "/sdk/approvals/*", Cut: altertest.CutHalf, Times: 6},
		"executed without result": {Path: "/sdk/approvals/*", Set: map[string]json.RawMessage{"has_result": json.RawMessage(`false`)}, Times: 2},
		"result lost":             {Path: "/sdk/approvals/*/result", Cut: altertest.CutDone, Times: 6},
		"result not ready":        {Path: "/sdk/approvals/*/result", Status: 404, Body: json.RawMessage(`{"error":"approval_result_not_ready"}`), Times: 2},
		"rate limit":              {Path: "/sdk/approvals/*", Status: 429, Times: 6},
	} {
		t.Run(name, func(t *testing.T) {
			v, c, p := pendingCall(t, 1)
			v.Approve(p.ID)
			v.AddFault(f)
			got, err := c.AwaitApproval(t.Context(), p.ID, AwaitApprovalOptions{})
			if err != nil || got.Status != http.StatusOK {
				t.Errorf("%+v, %v", got, err)
			}
			if n := len(v.Hits()); n != 1 {
				t.Errorf("the provider was called %d times, want once", n)
			}
		})
	}
}

func TestAwaitApprovalTimedOut(t *testing.T) {
	v, c, p := pendingCall(t, 1)
	_, err := c.AwaitApproval(t.Context(), p.ID, AwaitApprovalOptions{AwaitOptions: AwaitOptions{Timeout: 50 * time.Millisecond}})
	if e := wantKind(t, err, ErrApprovalTimedOut); e.ApprovalID != p.ID || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.AwaitApproval(ctx, p.ID, AwaitApprovalOptions{})
	wantKind(t, err, ErrApprovalTimedOut)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v does not tell that the context ended", err)
	}
	v.Approve(p.ID)
	if _, err := c.AwaitApproval(t.Context(), p.ID, AwaitApprovalOptions{}); err != nil {
		t.Errorf("awaited again: %v", err)
	}
}

func TestApprovalRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		code   string
		kind   Kind
	}{
		"denied":    {403, "approval_denied", ErrApprovalDenied},
		"expired":   {410, "approval_expired", ErrApprovalExpired},
		"failed":    {502, "approval_execution_failed", ErrApprovalFailed},
		"not ready": {404, "approval_result_not_ready", ErrApproval},
		"scope":     {403, "insufficient_scope", ErrInsufficientScope},
		"away":      {503, "down", ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			client := newTestClient(t, Config{Vault: canned{c.status, []byte(`{"error":"` + c.code + `"}`)}})
			_, err := client.ApprovalResult(t.Context(), someID)
			if e := wantKind(t, err, c.kind); e.ApprovalID != someID {
				t.Errorf("approval %q", e.ApprovalID)
			}
		})
	}
}

// Questions are asked again when their answers were lost.
func TestApprovalAgain(t *testing.T) {
	v, c, p := pendingCall(t, 1)
	v.Approve(p.ID)
	for _, path := range []string{"/sdk/approvals/" + p.ID, "/sdk/approvals/" + p.ID + "/result"} {
		v.AddFault(altertest.Fault{Path: path, Cut: altertest.CutDone, Times: 2})
	}
	if s, err := c.ApprovalStatus(t.Context(), p.ID, 0); err != nil || s.State != ApprovalExecuted {
		t.Errorf("status %+v, %v", s, err)
	}
	if r, err := c.ApprovalResult(t.Context(), p.ID); err != nil || r.Status != http.StatusOK {
		t.Errorf("result %+v, %v", r, err)
	}
}

// A wait that ended without a word of the vault tells why.
func TestAwaitApprovalAwayToTheEnd(t *testing.T) {
	v, c, p := pendingCall(t, 1)
	v.AddFault(altertest.Fault{Path: "/sdk/approvals/*", Times: -1, Status: 503, Body: json.RawMessage(`{"error":"deploying"}`)})
	c.cfg.Sleep = sleep
	o := AwaitApprovalOptions{AwaitOptions: AwaitOptions{Timeout: 1500 * time.Millisecond, Interval: time.Millisecond}}
	_, err := c.AwaitApproval(t.Context(), p.ID, o)
	wantKind(t, err, ErrApprovalTimedOut)
	if !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v does not tell that the vault was away", err)
	}
}

func TestApprovalInvalid(t *testing.T) {
	_, c := startVault(t, altertest.Config{})
	for name, call := range map[string]func() error{
		"status id":   func() error { return discardResult(c.ApprovalStatus(t.Context(), "../x", 0)) },
		"result id":   func() error { return discardResult(c.ApprovalResult(t.Context(), "")) },
		"await id":    func() error { return discardResult(c.AwaitApproval(t.Context(), "x", AwaitApprovalOptions{})) },
		"long wait":   func() error { return discardResult(c.ApprovalStatus(t.Context(), someID, MaxApprovalWait+1)) },
		"before time": func() error { return discardResult(c.ApprovalStatus(t.Context(), someID, -1)) },
	} {
		t.Run(name, func(t *testing.T) { wantKind(t, call(), ErrInvalid) })
	}
}

func TestApprovalStatusOfAnother(t *testing.T) {
	body := answerCases()["approval status"].answer
	c := newTestClient(t, Config{Vault: canned{http.StatusOK, []byte(body)}})
	_, err := c.ApprovalStatus(t.Context(), otherID, 0)
	wantKind(t, err, ErrMalformed)
	s, err := c.ApprovalStatus(t.Context(), someID, 0)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	want := &ApprovalStatus{
		ID: someID, GroupID: otherID, State: ApprovalExecuted, ExpiresAt: at, DecidedAt: at, DecisionReason: "yes", ExecutedAt: at,
		ExecutionError: "none", HasResult: true,
		Gates: []ApprovalGateStatus{{ID: someID, State: ApprovalApproved, ExpiresAt: at, DecidedAt: at}},
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}
