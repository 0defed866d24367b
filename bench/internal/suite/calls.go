package suite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/client"
	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/measure"
)

const (
	workers = 32 // at this many the figures are steadiest

	// In the open loop, which shows latency without a queue, openRate calls are
	// due per second, for openSeconds.
	openRate    = 50
	openSeconds = 20
	openRounds  = 3
)

// row is one system with what its rounds gave.
type row struct {
	name, era string
	share     int  // of a slow system, which gets one of so many calls
	open      bool // is measured in the open loop as well
	start     func(ctx context.Context) (*target, error)

	cpu       measure.Spread // µs a call
	perSecond measure.Spread
	p50, p99  measure.Spread // ms
	open99    measure.Spread // ms
	idle      measure.Spread // MB
	started   measure.Spread // ms until it answers
	others    measure.Spread // part of the server's CPU that others used
}

// Calls measures tools/call on every system, once per round, so that a change
// of the machine's speed meets all of them. All systems run all the time, but
// only one of them has anything to do.
func (s *Suite) Calls(ctx context.Context) error {
	s.rows = s.newRows()
	var loads []*load
	err := s.startAll(ctx, &loads)
	if err == nil {
		err = s.rounds(ctx, loads)
	}
	for _, l := range loads {
		l.close()
		err = errors.Join(err, l.target.stop())
	}
	return err
}

// startAll starts every system and warms it up. What was started is in loads,
// even after an error.
func (s *Suite) startAll(ctx context.Context, loads *[]*load) error {
	for _, r := range s.rows {
		t, err := r.start(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		l := &load{target: t}
		*loads = append(*loads, l)
		if err := s.warmUp(ctx, r, l); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		s.progress("%s: started", r.name)
	}
	return nil
}

// warmUp reads what the system needs at rest; then everybody has a session and
// has called.
func (s *Suite) warmUp(ctx context.Context, r *row, l *load) error {
	time.Sleep(s.settle())
	idle, err := measure.Of(l.target.pid())
	if err != nil {
		return err
	}
	r.idle = append(r.idle, megabytes(idle.RSS))
	r.started = append(r.started, milliseconds(l.target.took))
	if err := s.fillLoad(l, r.era, s.opts.People, workers); err != nil {
		return err
	}
	if err := l.open(); err != nil {
		return err
	}
	_, err = s.run(ctx, l, measure.Plan{Workers: workers, Calls: max(s.opts.People, s.calls(r))})
	return err
}

// calls returns how many calls a system gets in a round.
func (s *Suite) calls(r *row) int {
	return s.opts.Calls / max(1, r.share)
}

func (s *Suite) rounds(ctx context.Context, loads []*load) error {
	for round := range s.opts.Rounds {
		for i, r := range s.rows {
			if err := s.measureRow(ctx, r, loads[i]); err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			s.progress("round %d: %s: %.1f µs of CPU a call", round+1, r.name, r.cpu[len(r.cpu)-1])
		}
	}
	for range openRounds {
		for i, r := range s.rows {
			if !r.open {
				continue
			}
			plan := measure.Plan{Workers: workers, Calls: openRate * s.openSeconds(), Rate: openRate}
			open, err := s.run(ctx, loads[i], plan)
			if err != nil {
				return fmt.Errorf("%s at %d calls/s: %w", r.name, openRate, err)
			}
			r.open99 = append(r.open99, milliseconds(open.Quantile(.99)))
		}
	}
	return nil
}

func (s *Suite) measureRow(ctx context.Context, r *row, l *load) error {
	profiled := s.profile(ctx, r.name, l.target.admin)
	closed, err := s.run(ctx, l, measure.Plan{Workers: workers, Calls: s.calls(r)})
	if err = errors.Join(err, <-profiled); err != nil {
		return err
	}
	r.cpu = append(r.cpu, closed.perCall)
	r.perSecond = append(r.perSecond, closed.PerSecond())
	r.p50 = append(r.p50, milliseconds(closed.Quantile(.5)))
	r.p99 = append(r.p99, milliseconds(closed.Quantile(.99)))
	r.others = append(r.others, closed.others)
	return nil
}

// load is people who call one target.
type load struct {
	target  *target
	callers []*client.Caller
	conns   []*client.Conn // one per worker
}

// fillLoad makes the clients and connections of a load.
func (s *Suite) fillLoad(l *load, era string, people, workers int) error {
	t := l.target
	for i := range people {
		name, token := personName(i), ""
		var err error
		if t.tenant != nil {
			name, token = t.tenant.people[i].Name, t.tenant.people[i].tokens.Access
		} else if token, err = s.keys.Token(name); err != nil {
			return err
		}
		l.callers = append(l.callers, client.NewCaller(t.endpoint, era, name, token))
	}
	for range workers {
		conn := client.NewConn(t.endpoint, nil)
		if t.tenant != nil {
			conn = client.NewConn(t.endpoint, t.tenant.roots)
		}
		l.conns = append(l.conns, conn)
	}
	return nil
}

func (l *load) close() {
	for _, c := range l.conns {
		c.Close()
	}
}

// open opens everybody's session.
func (l *load) open() error {
	_, err := measure.Drive(measure.Plan{Workers: len(l.conns), Calls: len(l.callers)}, func(worker, i int) error {
		return l.callers[i].Open(l.conns[worker])
	})
	return err
}

// cost is what a load took and what it cost the server.
type cost struct {
	*measure.Timing
	perCall float64 // CPU of the server, µs a call
	others  float64 // part of the server's CPU that others used meanwhile
}

// run lets everybody call in turn. The provider must have been asked exactly
// once for each call, or the work was not equal.
func (s *Suite) run(ctx context.Context, l *load, plan measure.Plan) (*cost, error) {
	before, err := s.answered(ctx)
	if err != nil {
		return nil, err
	}
	var rest func() error
	if l.target.rest != nil {
		if rest, err = l.target.rest(ctx, plan.Calls); err != nil {
			return nil, err
		}
	}
	c, err := s.measureWhole(l.target.pid(), plan, func(worker, i int) error {
		return l.callers[i%len(l.callers)].Call(l.conns[worker], i+1)
	}, rest)
	if err != nil {
		return nil, err
	}
	after, err := s.answered(ctx)
	if err != nil {
		return nil, err
	}
	if after-before != plan.Calls {
		return nil, fmt.Errorf("%d calls asked the provider %d times", plan.Calls, after-before)
	}
	return c, nil
}

// measureCost drives a load and reads what it cost a process.
func (s *Suite) measureCost(pid int, plan measure.Plan, op func(worker, i int) error) (*cost, error) {
	return s.measureWhole(pid, plan, op, nil)
}

// measureWhole is measureCost with what a process does after its last answer:
// rest, which may be nil, returns when that is done.
func (s *Suite) measureWhole(pid int, plan measure.Plan, op func(worker, i int) error, rest func() error) (*cost, error) {
	begin, err := s.usage(pid)
	if err != nil {
		return nil, err
	}
	started := time.Now()
	timing, err := measure.Drive(plan, op)
	if err != nil {
		return nil, err
	}
	if rest != nil {
		if err := rest(); err != nil {
			return nil, err
		}
	}
	took := time.Since(started)
	end, err := s.usage(pid)
	if err != nil {
		return nil, err
	}
	own := end.own - begin.own
	return &cost{
		Timing:  timing,
		perCall: float64(own) / float64(time.Microsecond) / float64(plan.Calls),
		others:  float64(end.busy-begin.busy-own) / float64(took),
	}, nil
}

type times struct{ own, busy time.Duration }

func (s *Suite) usage(pid int) (times, error) {
	own, err := measure.Of(pid)
	if err != nil {
		return times{}, err
	}
	busy, err := measure.Busy(s.opts.ServerCPU)
	return times{own.CPU, busy}, err
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func megabytes(bytes int64) float64 { return float64(bytes) / (1 << 20) }
