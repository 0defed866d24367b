package measure

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// limit bounds one measurement.
const limit = 3 * time.Minute

// Plan is a load.
type Plan struct {
	Workers int
	Calls   int
	// Rate is how many calls are due per second, whether or not earlier ones
	// were answered. 0 means as many as Workers get answered.
	Rate float64
}

// Timing is what a load took.
type Timing struct {
	Calls     int
	Took      time.Duration
	latencies []time.Duration // sorted
}

// PerSecond returns how many calls were answered per second.
func (t *Timing) PerSecond() float64 { return float64(t.Calls) / t.Took.Seconds() }

// Quantile returns the latency that the part q of the calls did not exceed.
func (t *Timing) Quantile(q float64) time.Duration {
	if len(t.latencies) == 0 {
		return 0
	}
	return t.latencies[min(len(t.latencies)-1, int(q*float64(len(t.latencies))))]
}

// Drive calls op for each number below p.Calls from p.Workers goroutines. op
// checks its answer: the first error ends the load, and is the result. With a
// rate, a latency counts from the moment at which the call was due.
func Drive(p Plan, op func(worker, i int) error) (*Timing, error) {
	var (
		next   atomic.Int64
		failed atomic.Pointer[error]
		group  sync.WaitGroup
	)
	lists := make([][]time.Duration, p.Workers)
	start := time.Now()
	for w := range p.Workers {
		lists[w] = make([]time.Duration, 0, p.Calls/p.Workers+1)
		group.Go(func() {
			for i := int(next.Add(1) - 1); i < p.Calls && failed.Load() == nil; i = int(next.Add(1) - 1) {
				begin := p.due(start, i)
				err := op(w, i)
				if err == nil && time.Since(start) > limit {
					err = errors.New("it takes too long")
				}
				if err != nil {
					err = fmt.Errorf("call %d: %w", i, err)
					failed.CompareAndSwap(nil, &err)
					return
				}
				lists[w] = append(lists[w], time.Since(begin))
			}
		})
	}
	group.Wait()
	t := &Timing{Calls: p.Calls, Took: time.Since(start), latencies: slices.Concat(lists...)}
	if err := failed.Load(); err != nil {
		return nil, *err
	}
	slices.Sort(t.latencies)
	return t, nil
}

// due waits until call i is due and returns when that was.
func (p *Plan) due(start time.Time, i int) time.Time {
	if p.Rate == 0 {
		return time.Now()
	}
	at := start.Add(time.Duration(float64(i) / p.Rate * float64(time.Second)))
	time.Sleep(time.Until(at))
	return at
}
