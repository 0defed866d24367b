package suite

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"

	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/client"
)

// setupWorkers is how many people log in at a time while a tenant is filled.
const setupWorkers = 16

func personName(i int) string { return fmt.Sprintf("user-%06d", i) }

// fill registers a client, and lets count people log in and connect an account,
// all by the real flow: consent, login, code, tools/call, link, connect, grant.
func (s *Suite) fill(ctx context.Context, t *tenant, count int) error {
	p, _, err := s.startTenant(ctx, t)
	if err != nil {
		return err
	}
	err = s.fillRunning(t, count)
	return errors.Join(err, p.stop())
}

func (s *Suite) fillRunning(t *tenant, count int) error {
	first := client.NewBrowser(t.roots)
	defer first.Close()
	server, err := first.Discover(t.endpoint)
	if err != nil {
		return err
	}
	if t.client, err = first.Register(server, "bench"); err != nil {
		return err
	}
	endpoint, err := url.Parse(t.endpoint)
	if err != nil {
		return err
	}
	t.people = make([]person, count)
	return inParallel(setupWorkers, count, func() (func(i int) error, func()) {
		browser, conn := client.NewBrowser(t.roots), client.NewConn(endpoint, t.roots)
		one := func(i int) error {
			who := client.Person{Name: personName(i)}
			browser.Sit(who)
			tokens, err := browser.Login(server, t.client)
			if err != nil {
				return err
			}
			t.people[i] = person{who, tokens}
			caller := client.NewCaller(endpoint, client.Modern, who.Name, tokens.Access)
			link, err := caller.ConnectLink(conn)
			if err != nil {
				return err
			}
			if err := browser.Connect(link); err != nil {
				return err
			}
			return caller.Call(conn, 2)
		}
		return one, func() { browser.Close(); conn.Close() }
	})
}

// inParallel runs a function for each number below count. Each worker has one
// of its own, and something to do at its end.
func inParallel(workers, count int, worker func() (one func(i int) error, end func())) error {
	var group sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		group.Go(func() {
			one, end := worker()
			defer end()
			for i := w; i < count && errs[w] == nil; i += workers {
				errs[w] = one(i)
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}
