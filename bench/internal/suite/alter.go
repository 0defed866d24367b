package suite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/client"
	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/measure"
	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/peer"
)

// Names of the systems that use the Alter Vault.
const (
	alterOurs   = "alter_mcp, the defaults: token kept, audit meta"
	alterQuiet  = "alter_mcp, audit none"
	alterFetch  = "alter_mcp, keep_tokens 0: a token of the vault at each call"
	alterSDK    = "Alter SDK on FastMCP, with sessions, as its guide has it"
	alterSDKOne = "Alter SDK on FastMCP, stateless, JSON answers"
)

// settleAudit is how long after the last record has come a server may still be
// busy with its queue: the deletes follow a fifth of a second later.
const settleAudit = 500 * time.Millisecond

// alterRow is one system that uses the Alter Vault.
type alterRow struct {
	row
	// people is how many have called in the measurement of memory.
	people int
	// launch starts it, with people who are logged in.
	launch func(ctx context.Context, people int) (*target, error)

	vault    map[string]float64 // calls of the vault by route, per tool call
	kilobyte measure.Spread     // for one more person; once
}

func (s *Suite) newAlterRows() []*alterRow {
	few := max(20, s.opts.Crowd/10)
	ours := func(name, setting string, reports bool) func(context.Context, int) (*target, error) {
		return func(ctx context.Context, people int) (*target, error) {
			return s.startAlter(ctx, name, setting, reports, people)
		}
	}
	sdk := func(stateless string) func(context.Context, int) (*target, error) {
		return func(ctx context.Context, people int) (*target, error) { return s.startAlterSDK(ctx, stateless, people) }
	}
	all := []*alterRow{
		{row: row{name: alterOurs, era: client.Legacy}, people: s.opts.Crowd, launch: ours("alter", "", true)},
		{row: row{name: alterQuiet, era: client.Legacy}, people: s.opts.Crowd, launch: ours("alter-quiet", "audit none", false)},
		{row: row{name: alterFetch, era: client.Legacy}, people: s.opts.Crowd, launch: ours("alter-fetch", "keep_tokens 0", true)},
		{row: row{name: alterSDK, era: client.Legacy, share: 100}, people: few, launch: sdk("0")},
		{row: row{name: alterSDKOne, era: client.Legacy, share: 100}, people: few, launch: sdk("1")},
	}
	return slices.DeleteFunc(all, func(r *alterRow) bool {
		return s.opts.Only != nil && !s.opts.Only.MatchString(r.name) || s.opts.Skip != nil && s.opts.Skip.MatchString(r.name)
	})
}

// Alter measures calls whose tokens come from the Alter Vault, beside the SDK
// that the vault's maker has for it.
func (s *Suite) Alter(ctx context.Context) error {
	var err error
	if s.vault, s.vaultHost, _, err = s.startPeer(ctx, "vault", "vault", s.opts.LoadCPU); err != nil {
		return err
	}
	s.alter = s.newAlterRows()
	var loads []*load
	err = s.startAlterRows(ctx, &loads)
	if err == nil {
		err = s.alterRounds(ctx, loads)
	}
	for _, l := range loads {
		l.close()
		err = errors.Join(err, l.target.stop())
	}
	if err != nil {
		return err
	}
	for _, r := range s.alter {
		if r.name == alterQuiet || r.name == alterFetch {
			continue // as the defaults
		}
		if err := s.alterMemory(ctx, r); err != nil {
			return fmt.Errorf("memory of %s: %w", r.name, err)
		}
		s.progress("%s: %s KB for one more person", r.name, r.kilobyte)
	}
	return nil
}

func (s *Suite) startAlterRows(ctx context.Context, loads *[]*load) error {
	for _, r := range s.alter {
		t, err := r.launch(ctx, s.opts.People)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		l := &load{target: t}
		*loads = append(*loads, l)
		if err := s.warmUp(ctx, &r.row, l); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		s.progress("%s: started", r.name)
	}
	return nil
}

// alterRounds measures each system once per round. What the vault was asked is
// the same in each: that of the last is told.
func (s *Suite) alterRounds(ctx context.Context, loads []*load) error {
	for round := range s.opts.Rounds {
		for i, r := range s.alter {
			before, err := s.vaultCounts(ctx)
			if err != nil {
				return err
			}
			if err := s.measureRow(ctx, &r.row, loads[i]); err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
			after, err := s.vaultCounts(ctx)
			if err != nil {
				return err
			}
			r.vault = make(map[string]float64)
			for route, n := range after {
				if n > before[route] {
					r.vault[route] = float64(n-before[route]) / float64(s.calls(&r.row))
				}
			}
			s.progress("round %d: %s: %.1f µs of CPU a call", round+1, r.name, r.cpu[len(r.cpu)-1])
		}
	}
	return nil
}

// vaultCounts returns how many good calls the vault has had, by route.
func (s *Suite) vaultCounts(ctx context.Context) (map[string]int, error) {
	text, err := read(ctx, "http://"+s.vaultHost+"/counts")
	if err != nil {
		return nil, fmt.Errorf("asking the vault: %w", err)
	}
	var counts map[string]int
	return counts, json.Unmarshal([]byte(text), &counts)
}

// reported returns what waits until the vault has one more record for each of
// the calls that now begin, and until the server is through with them.
func (s *Suite) reported(ctx context.Context, calls int) (func() error, error) {
	before, err := s.vaultCounts(ctx)
	if err != nil {
		return nil, err
	}
	want := before[peer.RouteAudit] + calls
	return func() error {
		ctx, cancel := context.WithTimeout(ctx, startWithin)
		defer cancel()
		for {
			now, err := s.vaultCounts(ctx)
			switch got := now[peer.RouteAudit]; {
			case err != nil:
				return fmt.Errorf("waiting for %d records: %w", want, err)
			case got > want:
				return fmt.Errorf("%d calls left %d records too many", calls, got-want)
			case got == want:
				time.Sleep(settleAudit)
				return nil
			}
			time.Sleep(20 * time.Millisecond)
		}
	}, nil
}

// startAlter starts the server under test with the Alter Vault, after people
// have logged in there by Alter.
func (s *Suite) startAlter(ctx context.Context, name, setting string, reports bool, people int) (*target, error) {
	t, err := s.newTenant(name, "http", "")
	if err != nil {
		return nil, err
	}
	t.config = "alter.Caddyfile"
	t.env = append(t.env, "VAULT=http://"+s.vaultHost, "API_KEY="+peer.APIKey, "SETTING="+setting)
	p, _, err := s.startTenant(ctx, t)
	if err != nil {
		return nil, err
	}
	err = s.logIn(t, people, (*client.Browser).Login)
	if err = errors.Join(err, p.stop()); err != nil {
		return nil, err
	}
	p, took, err := s.startTenant(ctx, t)
	if err != nil {
		return nil, err
	}
	made, err := newTarget(p, t.endpoint, t, took)
	if err == nil && reports {
		made.rest = s.reported
	}
	return made, err
}

// startAlterSDK starts the Alter SDK's server. It keeps people in memory: they
// log in after its start.
func (s *Suite) startAlterSDK(ctx context.Context, stateless string, people int) (*target, error) {
	env := []string{
		"PROVIDER=http://" + s.providerHost, "ALTER_BASE_URL=http://" + s.vaultHost, "ALTER_API_KEY=" + peer.APIKey,
		"STATELESS=" + stateless, "FASTMCP_LOG_LEVEL=WARNING", "FASTMCP_ENABLE_RICH_LOGGING=false",
	}
	made, err := s.startOther(ctx, "altersdk-"+stateless, env, func(port string) []string {
		return []string{
			s.file("altersdk/bin/uvicorn"), "--app-dir", filepath.Join(s.opts.Config, "..", "altersdk"), "--factory", "app:app",
			"--host", "127.0.0.1", "--port", port, "--log-level", "warning", "--no-access-log",
		}
	})
	if err != nil {
		return nil, err
	}
	t := &tenant{endpoint: made.endpoint.String()}
	if err := s.logIn(t, people, (*client.Browser).BridgeLogin); err != nil {
		return nil, errors.Join(err, made.stop())
	}
	made.tenant, made.rest = t, s.reported
	made.endpoint.Path += "/" // where FastMCP redirects to
	return made, nil
}

// logIn registers a client and lets people log in.
func (s *Suite) logIn(t *tenant, count int, login func(*client.Browser, *client.Server, string) (*client.Tokens, error)) error {
	first := client.NewBrowser(nil)
	defer first.Close()
	server, err := first.Discover(t.endpoint)
	if err != nil {
		return err
	}
	if t.client, err = first.Register(server, "bench"); err != nil {
		return err
	}
	t.people = make([]person, count)
	return inParallel(setupWorkers, count, func() (func(i int) error, func()) {
		browser := client.NewBrowser(nil)
		one := func(i int) error {
			who := client.Person{Name: personName(i)}
			browser.Sit(who)
			tokens, err := login(browser, server, t.client)
			t.people[i] = person{who, tokens}
			return err
		}
		return one, browser.Close
	})
}

// alterMemory measures what one more person takes who has called: a tenth of the
// people calls, and then the others.
func (s *Suite) alterMemory(ctx context.Context, r *alterRow) error {
	t, err := r.launch(ctx, r.people)
	if err != nil {
		return err
	}
	l := &load{target: t}
	slope, err := s.slope(ctx, r, l)
	if err == nil {
		r.kilobyte = measure.Spread{slope}
	}
	l.close()
	return errors.Join(err, t.stop())
}

func (s *Suite) slope(ctx context.Context, r *alterRow, l *load) (float64, error) {
	if err := s.fillLoad(l, r.era, r.people, authWorkers); err != nil {
		return 0, err
	}
	few := r.people / 10
	var at [2]float64
	for i, callers := range [][]*client.Caller{l.callers[:few], l.callers[few:]} {
		part := &load{target: l.target, callers: callers, conns: l.conns}
		if err := part.open(); err != nil {
			return 0, err
		}
		if _, err := s.run(ctx, part, measure.Plan{Workers: authWorkers, Calls: len(callers)}); err != nil {
			return 0, err
		}
		time.Sleep(5 * s.settle())
		usage, err := measure.Of(l.target.pid())
		if err != nil {
			return 0, err
		}
		at[i] = megabytes(usage.RSS)
	}
	return (at[1] - at[0]) / float64(r.people-few) * 1024, nil
}
