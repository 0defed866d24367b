package altervault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
)

// approved makes a call in proxy mode, or goes on waiting for one that was made
// before: the person's approval is for that, and another call would need
// another.
func (a *attempt) approved(ctx context.Context, call func() (*alter.ProxyAnswer, error)) (*alter.ProxyResult, error) {
	id, err := a.waiting(ctx)
	if err != nil {
		return nil, err
	}
	if id == "" {
		answer, err := call()
		if err != nil || answer.Result != nil {
			return resultOf(answer), err
		}
		pending := answer.Pending
		a.remember(ctx, pending.ID, pending.ExpiresAt)
		return a.await(ctx, pending.ID, pending.URL)
	}
	return a.await(ctx, id, "")
}

func resultOf(answer *alter.ProxyAnswer) *alter.ProxyResult {
	if answer == nil {
		return nil
	}
	return answer.Result
}

// waiting is the approval that this call waits for already, or "".
func (a *attempt) waiting(ctx context.Context) (string, error) {
	if a.use.Approval != "" {
		return a.use.Approval, nil
	}
	if a.use.Call == "" {
		return "", nil
	}
	id, err := a.vault.cfg.Pending.PendingApproval(ctx, a.use.UserID, a.use.Call)
	if err != nil {
		// Another call would ask the person for another approval.
		return "", fmt.Errorf("looking for an approval: %w", err)
	}
	return id, nil
}

// remember keeps the approval for who comes back without its id. Where it cannot
// be kept the call goes on: the client may have the id itself.
func (a *attempt) remember(ctx context.Context, id string, until time.Time) {
	if a.use.Call == "" {
		return
	}
	if err := a.vault.cfg.Pending.SetPendingApproval(ctx, a.use.UserID, a.use.Call, id, until); err != nil {
		a.vault.log.Warn("an approval that is waited for could not be remembered", zap.Error(err))
	}
}

// await waits for the person's decision as long as the client may be kept
// waiting.
func (a *attempt) await(ctx context.Context, id, url string) (*alter.ProxyResult, error) {
	wait, cancel := ctx, context.CancelFunc(func() {})
	if a.use.Progress == nil {
		wait, cancel = context.WithTimeout(ctx, maxPendingWait)
	}
	defer cancel()
	if a.use.Progress != nil {
		a.use.Progress("waiting for an approval")
	}
	result, err := a.client.AwaitApproval(wait, id, alter.AwaitOptions{Progress: a.tell})
	switch {
	case err == nil, isAny(err, alter.ErrApprovalDenied, alter.ErrApprovalExpired, alter.ErrApprovalFailed), isGone(err):
		a.remember(context.WithoutCancel(ctx), "", time.Time{})
	case ctx.Err() == nil && (errors.Is(err, alter.ErrApprovalTimedOut) || wait.Err() != nil):
		return nil, &PendingError{Provider: a.provider.Name, URL: url, ID: id}
	}
	return result, err
}

// isGone reports that the vault does not know an approval.
func isGone(err error) bool {
	var e *alter.Error
	return errors.As(err, &e) && e.Status == 404
}

// tell passes on what has been decided so far.
func (a *attempt) tell(s *alter.Approval) {
	if a.use.Progress == nil {
		return
	}
	approved := 0
	for _, g := range s.Gates {
		if g.Status == alter.ApprovalApproved {
			approved++
		}
	}
	if len(s.Gates) > 1 {
		a.use.Progress(fmt.Sprintf("waiting for approvals: %d of %d", approved, len(s.Gates)))
	}
}

// undone says why an approved call did not happen.
func (a *attempt) undone(e *alter.Error) error {
	reason := ""
	if e.Reason != "" {
		reason = ": " + clean(e.Reason)
	}
	switch e.Kind {
	case alter.ErrApprovalDenied:
		return &ModelError{Message: "the call was not approved" + reason, Cause: e}
	case alter.ErrApprovalExpired:
		return &ModelError{Message: "nobody approved the call in time; call the tool again to ask once more", Cause: e}
	}
	return &ModelError{Message: "the call was approved, but the vault could not make it" + reason, Cause: e}
}
