package nodes

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// workers is how many clients write at each node at the same time.
const workers = 4

// load registers clients at nodes until it is stopped, and keeps those that were
// acknowledged.
type load struct {
	t        *testing.T
	template *mcpclient.Client
	ended    chan struct{}
	working  sync.WaitGroup

	mu    sync.Mutex
	known []*mcpclient.Client
	more  chan struct{} // gets a value for each, if there is room
}

func startLoad(t *testing.T, s *cluster) *load {
	t.Helper()
	l := &load{t: t, template: register(t, s.nodes[0], mcpclient.Modern), ended: make(chan struct{}), more: make(chan struct{}, 1)}
	for _, n := range s.nodes {
		for range workers {
			l.working.Go(func() { l.work(n) })
		}
	}
	return l
}

func (l *load) work(n *harness.Server) {
	for {
		select {
		case <-l.ended:
			return
		default:
		}
		c := at(l.template, n)
		err := c.Register(l.t.Context(), "load", redirect)
		switch {
		case err == nil:
			l.mu.Lock()
			l.known = append(l.known, c)
			l.mu.Unlock()
			select {
			case l.more <- struct{}{}:
			default:
			}
		case status(err) == http.StatusServiceUnavailable:
			<-time.After(step) // as Retry-After asks, but sooner
		case isLost(err): // a node that is gone
			return
		default:
			l.t.Errorf("registering under load: %v, want an answer, a 503 or a lost connection", err)
			return
		}
	}
}

// await waits for n more acknowledged registrations.
func (l *load) await(n int) {
	l.t.Helper()
	deadline := time.After(healed)
	for range n {
		select {
		case <-l.more:
		case <-deadline:
			l.t.Fatalf("no %d registrations within %v", n, healed)
		}
	}
}

// stop ends the load and returns what was acknowledged.
func (l *load) stop() []*mcpclient.Client {
	close(l.ended)
	l.working.Wait()
	return l.known
}

// check looks for all acknowledged clients in the database.
func (s *cluster) check(t *testing.T, known []*mcpclient.Client) {
	t.Helper()
	rows, err := database.SQL(s.database, "SELECT id FROM clients")
	must(t, err)
	stored := make(map[string]bool)
	for row := range strings.Lines(rows) {
		stored[strings.TrimSpace(row)] = true
	}
	lost := 0
	for _, c := range known {
		if !stored[c.ClientID] {
			lost++
		}
	}
	t.Logf("%d clients were acknowledged, %d are stored", len(known), len(stored))
	if lost > 0 || len(known) == 0 {
		t.Errorf("of %d acknowledged clients %d are lost", len(known), lost)
	}
	counted, err := database.SQL(s.database, "SELECT clients FROM client_counts")
	if err != nil || counted != fmt.Sprint(len(stored)) {
		t.Errorf("the count of clients is %s, %v; want %d", counted, err, len(stored))
	}
}

// isLost reports whether a connection ended without an answer.
func isLost(err error) bool {
	var lost *url.Error
	return errors.As(err, &lost) && !lost.Timeout() || errors.Is(err, io.ErrUnexpectedEOF)
}

// TestKilledNode: what a killed node acknowledged is at the others, which notice
// nothing, and the node comes back.
//
// Security CRASH-01.
func TestKilledNode(t *testing.T) {
	s := start(t, 2, longLife)
	c, _ := logIn(t, s.nodes[0], mcpclient.Modern)
	l := startLoad(t, s)
	for range 5 {
		l.await(10)
		s.nodes[0].Kill()
		must(t, whoami(t, at(c, s.nodes[1])))
		must(t, at(c, s.nodes[1]).Refresh(t.Context()))
		l.await(10)
		s.nodes[0].Restart()
		must(t, whoami(t, at(c, s.nodes[0])))
		for range workers {
			l.working.Go(func() { l.work(s.nodes[0]) })
		}
	}
	s.check(t, l.stop())
}

// TestDatabaseRestarts: a database that is stopped, or crashes, under load loses
// nothing that was acknowledged, and the nodes go on by themselves.
func TestDatabaseRestarts(t *testing.T) {
	for name, end := range map[string]func() error{"stopped": database.Stop, "crashed": database.Crash} {
		t.Run(name, func(t *testing.T) {
			s := start(t, 2, longLife)
			s.expectOutage()
			l := startLoad(t, s)
			for range 3 {
				l.await(20)
				must(t, end())
				must(t, database.Start())
				begun := time.Now()
				l.await(2) // one may be from before
				t.Logf("writes again %v after it was back", time.Since(begun))
			}
			known := l.stop()
			for i, n := range s.nodes {
				within(t, healed, fmt.Sprintf("node %d serves", i), func() error {
					return at(l.template, n).Register(t.Context(), "after", redirect)
				})
			}
			s.check(t, known)
		})
	}
}

// expectOutage lets the nodes complain that their database is away.
func (s *cluster) expectOutage() {
	for _, n := range s.nodes {
		n.ExpectErrors("the database does not answer")
	}
}

// TestDatabaseAway: while the database is away a verified token goes on, and what
// needs it is answered 503 with Retry-After, at once; then all is as before.
//
// Security CRASH-07.
func TestDatabaseAway(t *testing.T) {
	s := start(t, 2, longLife)
	s.expectOutage()
	c, _ := logIn(t, s.nodes[0], mcpclient.Modern)
	for _, n := range s.nodes {
		must(t, whoami(t, at(c, n)))
	}
	must(t, database.Stop())
	for i, n := range s.nodes {
		if err := whoami(t, at(c, n)); err != nil {
			t.Errorf("node %d with a token that it has verified: %v", i, err)
		}
	}
	for range 20 {
		must(t, wantStatus(503, at(c, s.nodes[0]).Refresh(t.Context())))
	}
	checkRetryAfter(t, s.nodes[0])
	must(t, database.Start())
	for _, n := range s.nodes {
		took := within(t, healed, "refreshing again", func() error { return at(c, n).Refresh(t.Context()) })
		t.Logf("healed after %v", took)
	}
}

// checkRetryAfter asks for what needs the database and is not there.
func checkRetryAfter(t *testing.T, n *harness.Server) {
	t.Helper()
	client := &http.Client{Transport: n.Transport(), Timeout: 10 * time.Second}
	resp, err := client.Post(n.Endpoint+"/register", "application/json", strings.NewReader(`{"redirect_uris":["`+redirect+`"]}`))
	must(t, err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("without the database registering gives %s with Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
	}
}

// TestDatabaseHangs: a database that swallows what is sent holds nobody up for long.
//
// Security CRASH-07.
func TestDatabaseHangs(t *testing.T) {
	s := start(t, 1, longLife)
	s.expectOutage()
	c, _ := logIn(t, s.nodes[0], mcpclient.Modern)
	must(t, whoami(t, c))
	backends, err := database.SQL(s.database, "SELECT pid FROM pg_stat_activity WHERE application_name = 'alter_mcp'")
	must(t, err)
	thaw, err := database.Freeze(strings.Fields(backends)...)
	must(t, err)
	defer func() { must(t, thaw()) }()
	<-time.After(time.Second) // so that the state of the authorization is asked for anew
	begun := time.Now()
	if err := whoami(t, c); err != nil {
		t.Errorf("with a token that was verified: %v", err)
	}
	if took := time.Since(begun); took > 8*time.Second {
		t.Errorf("the first call waited %v, want 5 s at most", took)
	}
	begun = time.Now()
	for range 10 {
		must(t, whoami(t, c))
	}
	if took := time.Since(begun); took > 12*time.Second {
		t.Errorf("ten further calls waited %v: each waited", took)
	}
}

// TestDatabaseAwayAtStart: a start does not fail for it, and needs no second one.
func TestDatabaseAwayAtStart(t *testing.T) {
	s := prepare(t, 2, longLife)
	s.expectOutage()
	must(t, database.Stop())
	for _, n := range s.nodes {
		if !n.TryStart() {
			t.Errorf("a node ended without its database:\n%s", n.Log())
		}
	}
	if !t.Failed() {
		checkRetryAfter(t, s.nodes[0])
	}
	must(t, database.Start())
	for i, n := range s.nodes {
		within(t, healed, fmt.Sprintf("node %d serves", i), func() error {
			c := mcpclient.New(n.Endpoint, mcpclient.Modern)
			c.Use(n.Transport())
			return errors.Join(c.Discover(t.Context()), c.Register(t.Context(), "nodes", redirect))
		})
	}
	c, _ := logIn(t, s.nodes[0], mcpclient.Modern)
	must(t, whoami(t, at(c, s.nodes[1])))
}
