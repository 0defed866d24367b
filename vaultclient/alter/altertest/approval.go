package altertest

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// States of an approval.
const (
	Pending   = "pending"
	Approved  = "approved"
	Executing = "executing"
	Denied    = "denied"
	Executed  = "executed"
	Failed    = "failed"
)

// approval is a provider call that people must agree to first.
type approval struct {
	gates    []*gate // the first one's id is the approval's
	group    string
	grant    Grant
	call     proxyCall
	status   string
	reason   string
	failure  string
	expires  time.Time
	decided  time.Time
	executed time.Time
	result   map[string]any
	told     int // opened gates at the last answer
}

type gate struct {
	id      string
	status  string
	decided time.Time
}

// newApproval opens an approval; the caller holds the lock.
func (v *Vault) newApproval(g Grant, call proxyCall) *approval {
	a := &approval{group: v.newID("approval group"), grant: g, call: call, status: Pending, expires: v.now().Add(sessionLife)}
	for range g.Gates {
		a.gates = append(a.gates, &gate{id: v.newID("approval"), status: Pending})
	}
	v.approvals = append(v.approvals, a)
	return a
}

func (v *Vault) findApproval(id string) (*approval, *gate) {
	for _, a := range v.approvals {
		for _, g := range a.gates {
			if g.id == id {
				return a, g
			}
		}
	}
	return nil, nil
}

func (a *approval) pending(v *Vault) map[string]any {
	left := int(a.expires.Sub(v.now()).Seconds())
	var gates []map[string]any
	for _, g := range a.gates {
		gates = append(gates, map[string]any{
			"approval_id": g.id, "expires_at": rfc3339(a.expires), "expires_in": left, "approval_url": v.URL + "/approve/" + g.id,
		})
	}
	return map[string]any{
		"approval_id": a.gates[0].id, "approval_group_id": a.group, "status": Pending, "gates": gates,
		"expires_at": rfc3339(a.expires), "expires_in": left, "approval_url": v.URL + "/approve/" + a.gates[0].id,
	}
}

// longestWait is the longest wait of a status, in seconds; above it is an error.
const longestWait = 25

func (v *Vault) approvalStatus(r *request) (reply, *refusal) {
	seconds, err := strconv.Atoi(cmp.Or(r.URL.Query().Get("wait"), "0"))
	if err != nil || seconds < 0 || seconds > longestWait {
		return reply{}, violation(422, "wait_invalid", "wait is 0 to 25 seconds")
	}
	v.mu.Lock()
	a, _ := v.findApproval(r.PathValue("id"))
	v.mu.Unlock()
	if a == nil {
		return reply{}, refuse(404, "approval_not_found", "no such approval")
	}
	v.wait(r.Request, time.Duration(seconds)*time.Second, func() bool {
		return !slices.Contains([]string{Pending, Approved, Executing}, a.status) || a.status == Pending && a.opened() != a.told
	})
	v.mu.Lock()
	defer v.mu.Unlock()
	if a.status == Pending && !v.now().Before(a.expires) {
		a.status = Expired
	}
	a.told = a.opened()
	return reply{body: a.body(r.PathValue("id"))}, nil
}

// opened is how many gates were opened.
func (a *approval) opened() int {
	n := 0
	for _, g := range a.gates {
		if g.status == Approved {
			n++
		}
	}
	return n
}

func (a *approval) body(id string) map[string]any {
	var gates []map[string]any
	for _, g := range a.gates {
		gates = append(gates, map[string]any{
			"approval_id": g.id, "status": g.status, "expires_at": rfc3339(a.expires), "decided_at": timeOrNull(g.decided),
		})
	}
	return map[string]any{
		"approval_id": id, "approval_group_id": a.group, "status": a.status, "gates": gates,
		"expires_at": rfc3339(a.expires), "decided_at": timeOrNull(a.decided), "decision_reason": nullable(a.reason),
		"executed_at": timeOrNull(a.executed), "execution_error": nullable(a.failure), "has_result": a.result != nil,
	}
}

func timeOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return rfc3339(t)
}

func (v *Vault) approvalResult(r *request) (reply, *refusal) {
	a, _ := v.findApproval(r.PathValue("id"))
	if a == nil {
		return reply{}, refuse(404, "approval_not_found", "no such approval")
	}
	switch {
	case a.result != nil:
		body := map[string]any{"approval_id": r.PathValue("id")}
		for name, value := range a.result {
			body[name] = value
		}
		return reply{body: body}, nil
	case a.status == Denied:
		return reply{}, refuse(403, "approval_denied", a.reason)
	case a.status == Expired:
		return reply{}, refuse(410, "approval_expired", "nobody decided in time")
	case a.status == Failed:
		return reply{}, refuse(502, "approval_execution_failed", a.failure)
	}
	return reply{}, refuse(404, "approval_result_not_ready", "the call was not made yet")
}

// Approve opens a gate. With the last one the call is made before Approve
// returns. It reports whether the gate was pending.
func (v *Vault) Approve(id string) bool {
	a := v.decide(id, Approved, "")
	if a == nil {
		return false
	}
	v.mu.Lock()
	ready := a.status == Approved
	if ready {
		a.status = Executing
		v.wake()
	}
	grant := a.grant
	v.mu.Unlock()
	if !ready {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	result, err := v.execute(ctx, &grant, a.call)
	v.mu.Lock()
	defer v.mu.Unlock()
	a.executed = v.now()
	if err != nil {
		a.status, a.failure = Failed, err.Error()
	} else {
		a.status, a.result = Executed, result
	}
	v.wake()
	return true
}

// Deny refuses a call at one gate.
func (v *Vault) Deny(id, reason string) bool { return v.decide(id, Denied, reason) != nil }

// ExpireApproval ends the time to decide.
func (v *Vault) ExpireApproval(id string) bool { return v.decide(id, Expired, "") != nil }

// PendingApprovals returns the ids of the gates that nobody decided on.
func (v *Vault) PendingApprovals() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var ids []string
	for _, a := range v.approvals {
		for _, g := range a.gates {
			if a.status == Pending && g.status == Pending {
				ids = append(ids, g.id)
			}
		}
	}
	return ids
}

// decide sets a gate's state, and the whole approval's where that follows. It
// returns nil if there was nothing to decide.
func (v *Vault) decide(id, status, reason string) *approval {
	v.mu.Lock()
	defer v.mu.Unlock()
	a, g := v.findApproval(id)
	if a == nil || a.status != Pending || g.status != Pending {
		return nil
	}
	g.status, g.decided = status, v.now()
	stillOpen := slices.ContainsFunc(a.gates, func(g *gate) bool { return g.status == Pending })
	if status != Approved || !stillOpen {
		a.status, a.reason, a.decided = status, reason, v.now()
	}
	v.wake()
	return a
}

// approvePage is where a person decides: decision is allow or deny.
func (v *Vault) approvePage(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	done, title := false, "Approved"
	switch r.FormValue("decision") {
	case "allow":
		done = v.Approve(id)
	case "deny":
		done, title = v.Deny(id, r.FormValue("reason")), "Denied"
	default:
		if !slices.Contains(v.PendingApprovals(), id) {
			break
		}
		page(w, http.StatusOK, "Approve a call", &form{Allow: "Approve"})
		return
	}
	if !done {
		page(w, http.StatusNotFound, "Nothing to decide", nil)
		return
	}
	page(w, http.StatusOK, title, nil)
}
