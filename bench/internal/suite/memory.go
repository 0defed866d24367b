package suite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/client"
	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/measure"
)

// memory is what people cost, in MB of resident memory. Each figure is of a
// process of its own, and of one measurement.
type memory struct {
	few, crowd int
	idle       float64 // nobody has called
	// few people have called once, or the crowd has; with a connection of their
	// own that they keep, or without.
	afterFew, afterCrowd     float64
	connectedFew, connected  float64
	firstCall, laterCall     float64 // µs of CPU, each by another one of the crowd
	firstPer, laterPerSecond float64
	speed                    float64 // of the machine
}

// perPerson returns the KB that one more person takes.
func (m *memory) perPerson(few, crowd float64) float64 {
	return (crowd - few) / float64(m.crowd-m.few) * 1024
}

// Memory measures what people who have called cost the server under test, and
// what calls cost when so many people call in turn that nothing is at hand.
func (s *Suite) Memory(ctx context.Context) error {
	m := &memory{few: s.opts.Crowd / 10, crowd: s.opts.Crowd}
	t, err := s.newTenant("crowd", "http", "oidc.identity")
	if err != nil {
		return err
	}
	if err := s.fill(ctx, t, m.crowd); err != nil {
		return err
	}
	s.progress("%d people logged in and connected at %s", m.crowd, t.endpoint)
	for _, step := range []struct {
		into   *float64
		people int
		own    bool
	}{
		{&m.afterFew, m.few, false},
		{&m.afterCrowd, m.crowd, false},
		{&m.connectedFew, m.few, true},
		{&m.connected, m.crowd, true},
	} {
		if *step.into, err = s.memoryOf(ctx, t, m, step.people, step.own); err != nil {
			return fmt.Errorf("memory of %d people: %w", step.people, err)
		}
		s.progress("memory of %d people: %.1f MB", step.people, *step.into)
	}
	s.memory = m
	return nil
}

// memoryOf returns the memory of a server whom that many people have called,
// with a connection each or over a few shared ones.
func (s *Suite) memoryOf(ctx context.Context, t *tenant, m *memory, people int, own bool) (float64, error) {
	p, took, err := s.startTenant(ctx, t)
	if err != nil {
		return 0, err
	}
	rss, err := s.memoryAfter(ctx, p, t, m, took, people, own)
	return rss, errors.Join(err, p.stop())
}

func (s *Suite) memoryAfter(ctx context.Context, p *process, t *tenant, m *memory, took time.Duration, people int, own bool) (float64, error) {
	target, err := newTarget(p, t.endpoint, t, took)
	if err != nil {
		return 0, err
	}
	conns := authWorkers
	if own {
		conns = people
	}
	l := &load{target: target}
	if err := s.fillLoad(l, client.Modern, people, conns); err != nil {
		return 0, err
	}
	defer l.close()
	time.Sleep(s.settle())
	before, err := measure.Of(p.pid())
	if err != nil {
		return 0, err
	}
	once := measure.Plan{Workers: authWorkers, Calls: people}
	profiled := s.profile(ctx, "first call", target.admin)
	first, err := s.measureCost(p.pid(), once, func(worker, i int) error {
		if own {
			worker = i
		}
		return l.callers[i].Call(l.conns[worker], i+1)
	})
	if err = errors.Join(err, <-profiled); err != nil {
		return 0, err
	}
	time.Sleep(5 * s.settle())
	after, err := measure.Of(p.pid())
	if err != nil || own || people != m.crowd {
		return megabytes(after.RSS), err
	}
	profiled = s.profile(ctx, "later call", target.admin)
	later, err := s.run(ctx, l, once)
	if err = errors.Join(err, <-profiled); err != nil {
		return 0, err
	}
	if m.speed, err = machineSpeed(); err != nil {
		return 0, err
	}
	m.idle = megabytes(before.RSS)
	m.firstCall, m.firstPer = first.perCall, first.PerSecond()
	m.laterCall, m.laterPerSecond = later.perCall, later.PerSecond()
	return megabytes(after.RSS), nil
}
