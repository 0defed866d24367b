package alter

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// MaxApprovalWait is how long the vault holds a question for an approval's
// status at most.
const MaxApprovalWait = 25 * time.Second

// ApprovalState is where an approval, or one of its gates, stands.
type ApprovalState string

// States of approvals. There are no others.
const (
	ApprovalPending   ApprovalState = "pending"
	ApprovalApproved  ApprovalState = "approved"
	ApprovalExecuting ApprovalState = "executing"
	ApprovalDenied    ApprovalState = "denied"
	ApprovalExpired   ApprovalState = "expired"
	ApprovalExecuted  ApprovalState = "executed"
	ApprovalFailed    ApprovalState = "failed"
)

// ApprovalStatus is how far a call that needs approval has come.
type ApprovalStatus struct {
	ID        string
	GroupID   string
	State     ApprovalState
	Gates     []ApprovalGateStatus // at least one
	ExpiresAt time.Time
	DecidedAt time.Time // zero: not yet
	// DecisionReason is what the person said; may be empty.
	DecisionReason string
	ExecutedAt     time.Time // zero: not yet
	// ExecutionError is why the call could not be made; empty if it was.
	ExecutionError string
	// HasResult says that [Client.ApprovalResult] has one.
	HasResult bool
}

// ApprovalGateStatus is one of the decisions that a call needs.
type ApprovalGateStatus struct {
	ID        string
	State     ApprovalState
	ExpiresAt time.Time
	DecidedAt time.Time // zero: not yet
}

// ApprovalStatus asks how far an approval has come: GET /sdk/approvals/{id}, key
// scope approvals:read or proxy:execute. With wait, the vault answers when the
// status changes, but after wait at the latest; whole seconds count, 25 at most.
// Errors: [ErrInvalid], [ErrApproval] for an id that the vault does not know,
// [ErrUnavailable], [ErrOperator].
func (c *Client) ApprovalStatus(ctx context.Context, id string, wait time.Duration) (*ApprovalStatus, error) {
	if !isUUID(id) {
		return nil, invalid("approval id %q: want a UUID in lower case", cut(id))
	}
	if wait < 0 || wait > MaxApprovalWait {
		return nil, invalid("approval wait %s: want at most %s", wait, MaxApprovalWait)
	}
	k := call{
		method: http.MethodGet, path: "/sdk/approvals/" + id, plain: true, repeatable: true,
		want: only(http.StatusOK),
	}
	if seconds := int(wait / time.Second); seconds > 0 {
		k.query = url.Values{"wait": {strconv.Itoa(seconds)}}
		k.timeout = wait + pollMargin
	}
	o, a, err := c.object(ctx, k)
	if err != nil {
		return nil, approvalError(err, id)
	}
	s := o.approvalStatus()
	if o.err(&k, a) == nil && s.ID != id {
		o.fail("approval_id", "is that of another approval")
	}
	if err := o.err(&k, a); err != nil {
		return nil, err
	}
	return s, nil
}

// ApprovalResult returns what the provider answered to an approved call: GET
// /sdk/approvals/{id}/result, key scope approvals:read or proxy:execute. It can
// be asked again. Errors: [ErrInvalid], [ErrApproval] for an id without a result
// and, below it, why there will be none; [ErrUnavailable], [ErrOperator]. The
// answer has at most 32 MiB.
func (c *Client) ApprovalResult(ctx context.Context, id string) (*ProxyResult, error) {
	if !isUUID(id) {
		return nil, invalid("approval id %q: want a UUID in lower case", cut(id))
	}
	k := call{
		method: http.MethodGet, path: "/sdk/approvals/" + id + "/result", plain: true, repeatable: true,
		want: only(http.StatusOK), limit: maxProxyAnswer,
	}
	o, a, err := c.object(ctx, k)
	if err != nil {
		return nil, approvalError(err, id)
	}
	r := o.proxyResult()
	if err := o.err(&k, a); err != nil {
		return nil, err
	}
	r.ApprovalID = id
	return r, nil
}

// approvalError says which approval an error is about. What the vault does not
// find is no grant here.
func approvalError(err error, id string) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	e.ApprovalID = id
	if e.Kind == ErrGrantNotFound || e.Kind == ErrGrantDeleted {
		e.Kind = ErrApproval
	}
	return err
}

// AwaitApprovalOptions say how to wait for an approval.
type AwaitApprovalOptions struct {
	AwaitOptions
	// Changed is called with each status that differs from the one before, the
	// first included; nil for nobody. The wait goes on when it returns.
	Changed func(ApprovalStatus)
}

// AwaitApproval waits until an approval is decided and its call made, and
// returns what the provider answered. A vault that is away meanwhile ends
// nothing.
//
// Errors: [ErrApprovalDenied], [ErrApprovalExpired], [ErrApprovalFailed] with
// [Error.Reason]; [ErrApprovalTimedOut] when the time is over or the context
// ends, and then the same id can be awaited again; those of
// [Client.ApprovalStatus].
func (c *Client) AwaitApproval(ctx context.Context, id string, o AwaitApprovalOptions) (*ProxyResult, error) {
	var result *ProxyResult
	var last ApprovalStatus
	over := &Error{Kind: ErrApprovalTimedOut, Op: "GET /sdk/approvals", ApprovalID: id}
	err := c.await(ctx, o.AwaitOptions, over, passes, func(ctx context.Context) (bool, error) {
		var wait time.Duration
		if o.Changed == nil || last.State != "" { // the first status is told at once
			wait = pollFor(ctx, MaxApprovalWait)
		}
		s, err := c.ApprovalStatus(ctx, id, wait)
		if err != nil {
			return false, err
		}
		if o.Changed != nil && s.differs(last) {
			o.Changed(*s)
		}
		last = *s
		if s.State != ApprovalExecuted {
			return false, s.failure()
		}
		if !s.HasResult {
			return false, nil
		}
		result, err = c.ApprovalResult(ctx, id)
		if isNotReady(err) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// isNotReady reports whether the vault has the result in a moment only.
func isNotReady(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == "approval_result_not_ready"
}

// differs reports whether anything that a person would see has changed.
func (s *ApprovalStatus) differs(from ApprovalStatus) bool {
	if s.State != from.State || len(s.Gates) != len(from.Gates) {
		return true
	}
	for i, g := range s.Gates {
		if g.State != from.Gates[i].State {
			return true
		}
	}
	return false
}

// failure is the error of a state from which no result comes.
func (s *ApprovalStatus) failure() error {
	e := &Error{Op: "GET /sdk/approvals", ApprovalID: s.ID, Reason: cut(s.DecisionReason)}
	switch s.State {
	case ApprovalDenied:
		e.Kind = ErrApprovalDenied
	case ApprovalExpired:
		e.Kind = ErrApprovalExpired
	case ApprovalFailed:
		e.Kind = ErrApprovalFailed
		if s.ExecutionError != "" {
			e.Reason = cut(s.ExecutionError)
		}
	default:
		return nil
	}
	e.Message = e.Reason
	return e
}

func (o *object) approvalStatus() *ApprovalStatus {
	s := &ApprovalStatus{
		ID: o.id("approval_id"), GroupID: o.id("approval_group_id"), State: o.approvalState(),
		ExpiresAt: o.time("expires_at"), DecidedAt: o.maybeTime("decided_at"),
		DecisionReason: o.maybeText("decision_reason"), ExecutedAt: o.maybeTime("executed_at"),
		ExecutionError: o.maybeText("execution_error"), HasResult: o.flag("has_result"),
	}
	for _, g := range o.objects("gates") {
		s.Gates = append(s.Gates, ApprovalGateStatus{
			ID: g.id("approval_id"), State: g.approvalState(),
			ExpiresAt: g.time("expires_at"), DecidedAt: g.maybeTime("decided_at"),
		})
	}
	return s
}

func (o *object) approvalState() ApprovalState {
	return ApprovalState(o.word("status", "", "pending", "approved", "executing", "denied", "expired", "executed", "failed"))
}
