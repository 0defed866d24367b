package altervault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
)

// maxToldWait is how long a call waits for an approval at most when the client
// hears of it meanwhile.
const maxToldWait = 10 * time.Minute

// rememberTimeout bounds the write of what a call waits for.
const rememberTimeout = 5 * time.Second

// Approval is what a call waits for.
type Approval struct {
	ID    string `json:"id"`
	Gates []Gate `json:"gates"` // at least one
}

// Gate is one of the decisions that an approval needs.
type Gate struct {
	ID  string `json:"id"`
	URL string `json:"url"` // the page where it is decided
}

func approvalOf(p *alter.PendingApproval) *Approval {
	a := &Approval{ID: p.ID}
	for _, g := range p.Gates {
		a.Gates = append(a.Gates, Gate{g.ID, g.URL})
	}
	return a
}

// page returns the page of the first decision that is still to be made, by the
// status that was heard last.
func (p *Approval) page(s alter.ApprovalStatus) string {
	for _, gate := range p.Gates {
		open := !slices.ContainsFunc(s.Gates, func(g alter.ApprovalGateStatus) bool {
			return g.ID == gate.ID && g.State != alter.ApprovalPending
		})
		if open {
			return gate.URL
		}
	}
	return ""
}

// approved makes a call in proxy mode, or goes on waiting for one that was made
// before: the person's approval is for that, and another call would need
// another.
func (a *attempt) approved(ctx context.Context, call func() (*alter.ProxyAnswer, error)) (*alter.ProxyResult, error) {
	pending, err := a.waiting(ctx)
	if err != nil {
		return nil, err
	}
	if pending == nil {
		answer, err := call()
		if err != nil || answer.Result != nil {
			return resultOf(answer), err
		}
		pending = approvalOf(answer.Pending)
		a.remember(ctx, pending, answer.Pending.ExpiresAt)
	}
	return a.await(ctx, pending)
}

func resultOf(answer *alter.ProxyAnswer) *alter.ProxyResult {
	if answer == nil {
		return nil
	}
	return answer.Result
}

// waiting is the approval that this call waits for already, or nil.
func (a *attempt) waiting(ctx context.Context) (*Approval, error) {
	kept, err := a.vault.cfg.Pending.PendingApproval(ctx, a.use.UserID, a.call())
	if err != nil {
		// Another call would ask the person for another approval.
		return nil, fmt.Errorf("looking for an approval: %w", err)
	}
	if told := a.use.Approval; told != nil && (kept == nil || told.ID != kept.ID) { // forgotten here, but not by the client
		return told, nil
	}
	return kept, nil
}

// remember keeps the approval for who comes back without it, also when the client
// has just left; nil forgets. Where it cannot be kept the call goes on: the client
// may have it itself.
func (a *attempt) remember(ctx context.Context, p *Approval, until time.Time) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rememberTimeout)
	defer cancel()
	if err := a.vault.cfg.Pending.SetPendingApproval(ctx, a.use.UserID, a.call(), p, until); err != nil {
		a.vault.log.Warn("an approval that is waited for could not be remembered", zap.Error(err))
	}
}

// call tells this call from others of the person. The same arguments may be
// written in two ways.
func (a *attempt) call() string {
	arguments := string(a.use.Arguments)
	var decoded any
	decoder := json.NewDecoder(strings.NewReader(arguments))
	decoder.UseNumber()
	if decoder.Decode(&decoded) == nil {
		if canonical, err := json.Marshal(decoded); err == nil {
			arguments = string(canonical)
		}
	}
	return fmt.Sprintf("%q %q %q %q", a.use.Endpoint, a.use.Client, a.use.Tool, arguments)
}

// await waits for the person's decision as long as the client may be kept
// waiting.
func (a *attempt) await(ctx context.Context, p *Approval) (*alter.ProxyResult, error) {
	patience := a.patience(ctx)
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	go func() {
		select {
		case <-a.use.Closing:
			cancel()
		case <-wait.Done():
		}
	}()
	var last alter.ApprovalStatus
	if a.use.Progress != nil {
		a.use.Progress(approvalMessage(p.page(last)))
	}
	result, err := a.client.AwaitApproval(wait, p.ID, alter.AwaitApprovalOptions{
		AwaitOptions: alter.AwaitOptions{Timeout: patience}, // its default is shorter
		Changed: func(s alter.ApprovalStatus) {
			last = s
			a.tell(p, s)
		},
	})
	switch {
	case errors.Is(err, alter.ErrApprovalTimedOut):
		if ctx.Err() != nil { // the client gave up; it may come back
			return nil, ctx.Err()
		}
		return nil, &PendingError{Provider: a.provider.Name, URL: p.page(last), Approval: *p}
	case err == nil, errors.Is(err, alter.ErrApproval):
		a.remember(ctx, nil, time.Time{})
	}
	return result, err
}

// patience is how long a call waits. It ends before the call's own time does, so
// that there is an answer.
func (a *attempt) patience(ctx context.Context) time.Duration {
	wait := a.vault.cfg.ApprovalWait
	if a.use.Progress != nil {
		wait = maxToldWait
	}
	if end, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(end)-time.Second)
	}
	return max(wait, 0)
}

// tell passes on what has been decided so far, and where the next decision is made.
func (a *attempt) tell(p *Approval, s alter.ApprovalStatus) {
	if a.use.Progress == nil {
		return
	}
	approved := 0
	for _, g := range s.Gates {
		if g.State == alter.ApprovalApproved {
			approved++
		}
	}
	if len(s.Gates) > 1 {
		a.use.Progress(strings.TrimSpace(fmt.Sprintf("waiting for approvals: %d of %d %s", approved, len(s.Gates), p.page(s))))
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
	case alter.ErrApprovalFailed:
		return &ModelError{Message: "the call was approved, but the vault could not make it" + reason, Cause: e}
	}
	return &ModelError{Message: "the vault does not know the approval any more; call the tool again to ask once more", Cause: e}
}

// approvalMessage is for the person who looks at the client.
func approvalMessage(url string) string {
	if url == "" {
		return "waiting for an approval"
	}
	return "waiting for your approval: " + url
}
