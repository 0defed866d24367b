package alter

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

// Waiting between tries.
const (
	// maxTries of one call, the first included.
	maxTries = 4
	// maxWait is the longest time to wait that a refusal may ask for and have it
	// waited inside the call.
	maxWait = 5 * time.Second
	// firstWait doubles with each try: 1, 2 and 4 seconds for a renewal under
	// way, a quarter of that for a vault that is away.
	firstWait = time.Second
)

// Sleeper waits for d, or returns the error of ctx when that ends first.
type Sleeper func(ctx context.Context, d time.Duration) error

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// again decides whether a call that failed is made once more, and when. A call
// that may have happened is repeated only if that does no harm; one that was
// refused, or that never left, has not happened. One that took the whole timeout
// would only take it again.
func (k *call) again(err error, tries int) (time.Duration, bool) {
	var e *Error
	if tries+1 >= maxTries || !errors.As(err, &e) {
		return 0, false
	}
	backoff := firstWait << tries
	switch {
	case e.Kind == ErrRefreshInProgress:
		return max(backoff, e.RetryAfter), k.refreshes && e.RetryAfter <= maxWait
	case e.Kind == ErrRateLimited:
		return max(e.RetryAfter, backoff/4), e.RetryAfter <= maxWait
	case e.Kind != ErrUnavailable:
		return 0, false
	case neverLeft(e.Err):
		return backoff / 4, true
	case e.Err != nil: // no answer, or a part of one
		return backoff / 4, k.repeatable && !errors.Is(e.Err, context.DeadlineExceeded)
	case e.Status == http.StatusBadGateway, e.Status == http.StatusServiceUnavailable, e.Status == http.StatusGatewayTimeout:
		return max(e.RetryAfter, backoff/4), k.repeatable && e.RetryAfter <= maxWait
	}
	return 0, false
}

// neverLeft reports whether a transport failed before it could send anything.
func neverLeft(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect")
}
