package alter

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// ApprovalState is where an approval stands.
type ApprovalState string

// States of an [Approval] and its gates. There are no others.
const (
	ApprovalPending   ApprovalState = "pending"
	ApprovalApproved  ApprovalState = "approved"
	ApprovalExecuting ApprovalState = "executing"
	ApprovalDenied    ApprovalState = "denied"
	ApprovalExpired   ApprovalState = "expired"
	ApprovalExecuted  ApprovalState = "executed"
	ApprovalFailed    ApprovalState = "failed"
)

func (s ApprovalState) known() bool {
	switch s {
	case ApprovalPending, ApprovalApproved, ApprovalExecuting, ApprovalDenied, ApprovalExpired, ApprovalExecuted, ApprovalFailed:
		return true
	}
	return false
}

// Approval is what is known of a call that waits for people.
type Approval struct {
	ID, GroupID string
	Status      ApprovalState
	Gates       []ApprovalGate
	ExpiresAt   time.Time
	DecidedAt   time.Time // zero: not decided
	// DecisionReason and ExecutionError are words of people and of the vault.
	DecisionReason string
	ExecutedAt     time.Time // zero: not executed
	ExecutionError string
	// HasResult says that [Client.ApprovalResult] has the provider's answer.
	HasResult bool
}

// ApprovalGate is one of the approvals that a call needs.
type ApprovalGate struct {
	ID        string        `json:"approval_id"`
	Status    ApprovalState `json:"status"`
	ExpiresAt time.Time     `json:"expires_at"`
	DecidedAt time.Time     `json:"decided_at"` // zero: not decided
}

// MaxApprovalWait is how long the vault holds a question for a status at most.
const MaxApprovalWait = 25 * time.Second

// longPollSlack is added to the time that the vault may hold an answer.
const longPollSlack = 15 * time.Second

// Approval asks where an approval stands: GET /sdk/approvals/{id}. The vault
// answers when the status changes, or after wait: at most [MaxApprovalWait], in
// whole seconds; 0 answers at once. The key needs approvals:read or
// proxy:execute. Any refusal is an [*Error] that says only that.
func (c *Client) Approval(ctx context.Context, id string, wait time.Duration) (*Approval, error) {
	if !isUUID(id) {
		return nil, invalid("approval id %q: want a UUID", cut(id))
	}
	if wait < 0 || wait > MaxApprovalWait {
		return nil, invalid("waiting %v for an approval: at most %v", wait, MaxApprovalWait)
	}
	k := call{method: http.MethodGet, path: "/sdk/approvals/" + id, plain: true, repeatable: true, want: only(http.StatusOK)}
	if seconds := int(wait / time.Second); seconds > 0 {
		k.query, k.timeout = url.Values{"wait": {strconv.Itoa(seconds)}}, wait+longPollSlack
	}
	a, err := c.do(ctx, k)
	if err != nil {
		return nil, err
	}
	return k.approval(a)
}

func (k *call) approval(a *answer) (*Approval, error) {
	var wire struct {
		ID             string         `json:"approval_id"`
		GroupID        string         `json:"approval_group_id"`
		Status         ApprovalState  `json:"status"`
		Gates          []ApprovalGate `json:"gates"`
		ExpiresAt      time.Time      `json:"expires_at"`
		DecidedAt      time.Time      `json:"decided_at"`
		DecisionReason string         `json:"decision_reason"`
		ExecutedAt     time.Time      `json:"executed_at"`
		ExecutionError string         `json:"execution_error"`
		HasResult      *bool          `json:"has_result"`
	}
	if err := k.decode(a, &wire); err != nil {
		return nil, err
	}
	if !isUUID(wire.ID) || !isUUID(wire.GroupID) || !wire.Status.known() || wire.ExpiresAt.IsZero() || wire.HasResult == nil {
		return nil, k.malformed(a, "the approval lacks members, or they are invalid")
	}
	for _, g := range wire.Gates {
		if !isUUID(g.ID) || !g.Status.known() || g.ExpiresAt.IsZero() {
			return nil, k.malformed(a, "a gate of the approval lacks members, or they are invalid")
		}
	}
	return &Approval{
		ID: wire.ID, GroupID: wire.GroupID, Status: wire.Status, Gates: wire.Gates, ExpiresAt: wire.ExpiresAt,
		DecidedAt: wire.DecidedAt, DecisionReason: cut(wire.DecisionReason), ExecutedAt: wire.ExecutedAt,
		ExecutionError: cut(wire.ExecutionError), HasResult: *wire.HasResult,
	}, nil
}

// ApprovalResult returns the provider's answer to a call that was approved and
// made: GET /sdk/approvals/{id}/result.
func (c *Client) ApprovalResult(ctx context.Context, id string) (*ProxyResult, error) {
	if !isUUID(id) {
		return nil, invalid("approval id %q: want a UUID", cut(id))
	}
	k := call{
		method: http.MethodGet, path: "/sdk/approvals/" + id + "/result", plain: true, repeatable: true,
		want: only(http.StatusOK), limit: maxProxyAnswer,
	}
	a, err := c.do(ctx, k)
	if err != nil {
		return nil, err
	}
	return k.proxyResult(a)
}

// AwaitOptions of [Client.AwaitApproval]. Zero values mean the documented
// default.
type AwaitOptions struct {
	// Timeout of the whole wait, beside that of the context. Default 5 min.
	Timeout time.Duration
	// Progress is told each status that differs from the one before.
	Progress func(*Approval)
}

// defaultAwait is how long the vault's own clients wait for an approval.
const defaultAwait = 5 * time.Minute

// AwaitApproval waits until people have decided and the vault has made the call,
// and returns the provider's answer. Errors: [ErrApprovalDenied],
// [ErrApprovalExpired], [ErrApprovalFailed], and [ErrApprovalTimedOut] when time
// is up first; then it can be awaited again. A vault that is away is waited for.
func (c *Client) AwaitApproval(ctx context.Context, id string, o AwaitOptions) (*ProxyResult, error) {
	if o.Timeout <= 0 {
		o.Timeout = defaultAwait
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	last, wait := "", time.Duration(0)
	for {
		s, err := c.Approval(ctx, id, wait)
		if ctx.Err() != nil {
			return nil, &Error{Kind: ErrApprovalTimedOut, Op: "GET /sdk/approvals", ApprovalID: id, Err: ctx.Err()}
		}
		if errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrMalformed) {
			if c.cfg.Sleep(ctx, firstWait) != nil {
				continue // time is up
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		if o.Progress != nil && s.digest() != last {
			o.Progress(s)
		}
		last = s.digest()
		result, done, err := c.ended(ctx, s)
		if done || err != nil {
			return result, err
		}
		// The vault answers a changed status at once; what is decided and not
		// done yet would be asked for without pause.
		if s.Status != ApprovalPending {
			if c.cfg.Sleep(ctx, firstWait) != nil {
				continue
			}
		}
		wait = longPoll(ctx)
	}
}

// longPoll is the longest wait that ends before the context does.
func longPoll(ctx context.Context) time.Duration {
	wait := MaxApprovalWait
	if end, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(end))
	}
	return max(wait, time.Second)
}

// digest tells one status from another.
func (a *Approval) digest() string {
	s := string(a.Status)
	for _, g := range a.Gates {
		s += "," + string(g.Status)
	}
	return s
}

// ended returns how it ended; false while it has not.
func (c *Client) ended(ctx context.Context, s *Approval) (*ProxyResult, bool, error) {
	refused := func(kind Kind, reason string) (*ProxyResult, bool, error) {
		return nil, true, &Error{Kind: kind, Op: "GET /sdk/approvals", ApprovalID: s.ID, Reason: reason}
	}
	switch s.Status {
	case ApprovalDenied:
		return refused(ErrApprovalDenied, s.DecisionReason)
	case ApprovalExpired:
		return refused(ErrApprovalExpired, "")
	case ApprovalFailed:
		return refused(ErrApprovalFailed, s.ExecutionError)
	case ApprovalExecuted:
		if s.HasResult {
			result, err := c.ApprovalResult(ctx, s.ID)
			return result, true, err
		}
	}
	return nil, false, nil
}
