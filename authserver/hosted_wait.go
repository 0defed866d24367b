package authserver

import (
	"context"
	"sync"
	"time"
)

// hostedWaits has the requests that wait for the end of one login wait together,
// whether they are the tabs of a person or a flood: the login's service is asked
// once for all.
type hostedWaits struct {
	ask func(ctx context.Context, handle string, wait time.Duration) (*HostedPerson, error) // the Await of a HostedLogin

	mu    sync.Mutex
	under map[string]*hostedQuestion // way, by handle
}

// hostedQuestion is one question to the service.
type hostedQuestion struct {
	waiting int // requests
	cancel  context.CancelFunc
	done    chan struct{} // closed when the service has answered:
	who     *HostedPerson
	err     error
}

// await returns what the service answers. It is asked until all who wait have
// gone.
func (w *hostedWaits) await(ctx context.Context, handle string) (*HostedPerson, error) {
	q := w.join(ctx, handle)
	defer w.leave(handle, q)
	select {
	case <-q.done:
		return q.who, q.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// join returns the question that is under way, or asks one.
func (w *hostedWaits) join(ctx context.Context, handle string) *hostedQuestion {
	w.mu.Lock()
	defer w.mu.Unlock()
	if q := w.under[handle]; q != nil {
		q.waiting++
		return q
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx)) // others may wait for longer
	q := &hostedQuestion{waiting: 1, cancel: cancel, done: make(chan struct{})}
	if w.under == nil {
		w.under = make(map[string]*hostedQuestion)
	}
	w.under[handle] = q
	go func() {
		q.who, q.err = w.ask(ctx, handle, hostedWait)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.forget(handle, q)
		close(q.done)
	}()
	return q
}

// leave ends a question for which nobody waits any longer.
func (w *hostedWaits) leave(handle string, q *hostedQuestion) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if q.waiting--; q.waiting == 0 {
		w.forget(handle, q)
		q.cancel()
	}
}

// forget has whoever comes next ask anew. w.mu is held.
func (w *hostedWaits) forget(handle string, q *hostedQuestion) {
	if w.under[handle] == q {
		delete(w.under, handle)
	}
}
