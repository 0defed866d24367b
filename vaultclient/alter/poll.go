package alter

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Waiting for people.
const (
	// DefaultAwait is how long an Await method waits when its options do not
	// say.
	DefaultAwait = 5 * time.Minute
	// DefaultPollInterval is the least time between two polls.
	DefaultPollInterval = 2 * time.Second
	// pollMargin is what a long poll may take beyond what the vault waits.
	pollMargin = 15 * time.Second
)

// AwaitOptions say how to wait for a person. The zero value has the defaults.
type AwaitOptions struct {
	// Timeout of the whole wait; the context may end it earlier. Default
	// [DefaultAwait].
	Timeout time.Duration
	// Interval is the least time between two polls. Where the vault holds a
	// poll until something happens, it is of no weight. Default
	// [DefaultPollInterval].
	Interval time.Duration
}

func (o AwaitOptions) withDefaults() AwaitOptions {
	if o.Timeout <= 0 {
		o.Timeout = DefaultAwait
	}
	if o.Interval <= 0 {
		o.Interval = DefaultPollInterval
	}
	return o
}

// errAwaitOver is the cause when the timeout of the options ended a wait, not
// the caller's context.
var errAwaitOver = errors.New("the time to wait is over")

// await calls poll until it is done, or fails with what survives does not let
// pass. over is the error when time is up; its cause is the caller's context, and
// what failed last.
func (c *Client) await(
	ctx context.Context, o AwaitOptions, over *Error,
	survives func(error) bool, poll func(context.Context) (bool, error),
) error {
	o = o.withDefaults()
	ctx, cancel := context.WithTimeoutCause(ctx, o.Timeout, errAwaitOver)
	defer cancel()
	var last error
	for ctx.Err() == nil {
		started := c.cfg.Now()
		done, err := poll(ctx)
		if done || err != nil && !survives(err) {
			return err
		}
		if ctx.Err() == nil || answered(err) {
			last = err
		}
		pause := max(o.Interval-c.cfg.Now().Sub(started), waitAsked(err))
		if pause > 0 && c.cfg.Sleep(ctx, pause) != nil {
			break
		}
	}
	over.Err = context.Cause(ctx)
	if last != nil {
		over.Err = errors.Join(over.Err, last)
	}
	return over
}

// passes reports whether a poll that failed may succeed later: the vault was
// away, its answer was lost, or there were too many calls.
func passes(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Status {
	case 0:
		return e.Kind == ErrUnavailable
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return errors.Is(err, ErrUnavailable)
	}
	// An answer that broke off has a status and a cause.
	return e.Kind == ErrRateLimited || e.Kind == ErrUnavailable && e.Err != nil
}

// answered reports whether the vault said something, so that it was not the end
// of the wait that made a poll fail.
func answered(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status != 0
}

// waitAsked is how long a refusal asks to wait.
func waitAsked(err error) time.Duration {
	var e *Error
	if errors.As(err, &e) {
		return e.RetryAfter
	}
	return 0
}

// pollFor is how long the vault is asked to hold a poll: as long as it may, but
// not past the end of the wait.
func pollFor(ctx context.Context, longest time.Duration) time.Duration {
	if end, ok := ctx.Deadline(); ok {
		return max(0, min(longest, time.Until(end)))
	}
	return longest
}
