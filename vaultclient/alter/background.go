package alter

import (
	"context"
	"sync"
)

// maxReports is how many reports of missing scopes are under way at most.
const maxReports = 8

// background is what goes on without anybody who waits for it.
type background struct {
	ending context.Context // ends when close is called
	end    context.CancelFunc

	mu      sync.Mutex
	closed  bool
	reports int // under way
	wg      sync.WaitGroup
}

func newBackground() *background {
	b := new(background)
	b.ending, b.end = context.WithCancel(context.Background())
	return b
}

// report runs send, unless that are too many, or it is too late: a report that is
// lost costs one more refusal of the provider.
func (b *background) report(send func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.reports == maxReports {
		return
	}
	b.reports++
	b.wg.Go(func() {
		defer func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.reports--
		}()
		send()
	})
}

// detach returns a context that outlives ctx, but not the client.
func (b *background) detach(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(b.ending, cancel)
	return ctx, func() { stop(); cancel() }
}

// close waits for the reports.
func (b *background) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.end()
	b.wg.Wait()
}
