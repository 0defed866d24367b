package suite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/client"
	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/measure"
)

// memoryWait is how long a server is left alone before its memory is read.
const memoryWait = 3 * time.Second

// memory is what people cost, in MB of resident memory. Each figure is of a
// process of its own.
type memory struct {
	few, crowd     int
	afterFew       float64 // few people have called once
	afterCrowd     float64 // crowd have
	idleConns      float64 // crowd have, and each keeps a connection
	connectionsFew float64
}

// perThousand returns MB for 1,000 more people.
func (m *memory) perThousand(few, crowd float64) float64 {
	return (crowd - few) / float64(m.crowd-m.few) * 1000
}

// Memory measures what people who have called cost the server under test.
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
		{&m.connectionsFew, m.few, true},
		{&m.idleConns, m.crowd, true},
	} {
		if *step.into, err = s.memoryOf(ctx, t, step.people, step.own); err != nil {
			return fmt.Errorf("memory of %d people: %w", step.people, err)
		}
	}
	s.memory = m
	return nil
}

// memoryOf returns the memory of a server whom that many people have called,
// with a connection each or over a few shared ones.
func (s *Suite) memoryOf(ctx context.Context, t *tenant, people int, own bool) (float64, error) {
	p, took, err := s.startTenant(ctx, t)
	if err != nil {
		return 0, err
	}
	rss, err := s.memoryAfter(p, t, took, people, own)
	return rss, errors.Join(err, p.stop())
}

func (s *Suite) memoryAfter(p *process, t *tenant, took time.Duration, people int, own bool) (float64, error) {
	target, err := newTarget(p, t.endpoint, t, took)
	if err != nil {
		return 0, err
	}
	conns := authWorkers
	if own {
		conns = people
	}
	l, err := s.newLoad(target, client.Modern, people, conns)
	if err != nil {
		return 0, err
	}
	defer l.close()
	_, err = measure.Drive(measure.Plan{Workers: authWorkers, Calls: people}, func(worker, i int) error {
		if own {
			worker = i
		}
		return l.callers[i].Call(l.conns[worker], i+1)
	})
	if err != nil {
		return 0, err
	}
	time.Sleep(memoryWait)
	usage, err := measure.Of(p.pid())
	return megabytes(usage.RSS), err
}
