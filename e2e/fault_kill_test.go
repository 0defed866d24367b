package e2e

import (
	"errors"
	"math/rand/v2"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// These tests kill the server at random moments of its writing, E2E_KILLS times
// each (default 15). What a client has read must be there afterwards.

// workers is how many clients write at the same time.
const workers = 4

// killDuring starts workers, kills the server a random moment after a random
// number of answers below most that acknowledged reported, waits for the workers
// and starts the server again.
func killDuring(s *harness.Server, most int, work func(worker int, acknowledged func())) {
	var count atomic.Int64
	reached, after := make(chan struct{}, 1), int64(rand.IntN(most))
	acknowledged := func() {
		if count.Add(1) == after {
			reached <- struct{}{}
		}
	}
	if after == 0 {
		reached <- struct{}{}
	}
	var working sync.WaitGroup
	for i := range workers {
		working.Go(func() { work(i, acknowledged) })
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		working.Wait()
	}()
	select {
	case <-reached:
		<-time.After(randomly(4 * time.Millisecond)) // within a request, as chance will have it
	case <-ended: // all was done, or failed, before
	}
	s.Kill()
	<-ended
	s.Restart()
}

// killed fails the test unless err is what clients of a killed server see, and
// reports whether there was an error.
func killed(t *testing.T, what string, err error) bool {
	t.Helper()
	if err != nil && !isLost(err) {
		t.Errorf("%s while the server is killed: %v, want an answer or a lost connection", what, err)
	}
	return err != nil
}

// TestKilledWhileRegistering: each client that read its 201 is known.
//
// Security CRASH-01.
func TestKilledWhileRegistering(t *testing.T) {
	s, _ := newFaultServer(t, longLife)
	template := startClient(t, s)
	all := 0
	for range rounds(t) {
		var mu sync.Mutex
		var known []*mcpclient.Client
		killDuring(s, 30, func(_ int, acknowledged func()) {
			for {
				c := copyOf(template)
				if killed(t, "registration", c.Register(t.Context(), "kill", "http://127.0.0.1:49152/callback")) {
					return
				}
				mu.Lock()
				known = append(known, c)
				mu.Unlock()
				acknowledged()
			}
		})
		for _, c := range known {
			checkClient(t, c)
		}
		all += len(known)
	}
	t.Logf("%d clients were registered", all)
	if all < rounds(t) {
		t.Errorf("%d clients were registered, too few to show anything", all)
	}
}

// copyOf is a client that can be used beside c.
func copyOf(c *mcpclient.Client) *mcpclient.Client {
	other := *c
	return &other
}

// TestKilledWhileRedeeming: a code that gave tokens never does so again, and one
// that gave none is unused or used as a whole.
//
// Security CRASH-02.
func TestKilledWhileRedeeming(t *testing.T) {
	s, _ := newFaultServer(t, longLife)
	b := newBrowser(t, s, alice)
	template := logIn(t, s, b, mcpclient.Modern)
	var redeemed, unused, used int
	for range rounds(t) {
		var clients [workers]*mcpclient.Client
		var codes [workers]*url.URL
		var got [workers]bool
		for i := range clients {
			clients[i] = copyOf(template)
			codes[i] = open(t, b, clients[i].AuthorizeURL(), browser.Visit{Hold: true}).URL
		}
		killDuring(s, workers, func(i int, acknowledged func()) {
			if got[i] = !killed(t, "redeeming", clients[i].Redeem(t.Context(), codes[i])); got[i] {
				acknowledged()
			}
		})
		for i, c := range clients {
			switch {
			case got[i]:
				redeemed++
				checkWhoami(t, c)
				if err := c.Refresh(t.Context()); err != nil {
					t.Errorf("refresh of acknowledged tokens: %v", err)
				}
				checkUsed(t, copyOf(c), codes[i])
			case redeemable(t, c, codes[i]):
				unused++
				checkWhoami(t, c)
				checkUsed(t, copyOf(c), codes[i])
			default:
				used++
			}
		}
	}
	t.Logf("codes: %d redeemed, %d unused, %d used whose answer was lost", redeemed, unused, used)
	if redeemed == 0 || unused+used == 0 {
		t.Error("no code was redeemed, or none was cut off: the moments show nothing")
	}
}

// redeemable redeems a code, which may have been used.
func redeemable(t *testing.T, c *mcpclient.Client, code *url.URL) bool {
	t.Helper()
	err := c.Redeem(t.Context(), code)
	var refused *mcpclient.OAuthError
	if err != nil && (!errors.As(err, &refused) || refused.Code != "invalid_grant") {
		t.Errorf("redeeming again = %v, want tokens or invalid_grant", err)
	}
	return err == nil
}

// checkUsed fails the test if a code works again.
func checkUsed(t *testing.T, c *mcpclient.Client, code *url.URL) {
	t.Helper()
	if redeemable(t, c, code) {
		t.Error("a code gave tokens twice")
	}
}

// TestKilledWhileRefreshing: whoever lost the answer tries again with the token
// that they have, and goes on.
//
// Security CRASH-03.
func TestKilledWhileRefreshing(t *testing.T) {
	s, _ := newFaultServer(t, longLife)
	b := newBrowser(t, s, alice)
	var clients [workers]*mcpclient.Client
	for i := range clients {
		clients[i] = logIn(t, s, b, mcpclient.Modern)
	}
	var refreshed atomic.Int64
	for range rounds(t) {
		killDuring(s, 20, func(i int, acknowledged func()) {
			for !killed(t, "refresh", clients[i].Refresh(t.Context())) {
				refreshed.Add(1)
				acknowledged()
			}
		})
		for _, c := range clients {
			checkWhoami(t, c)
			if err := c.Refresh(t.Context()); err != nil {
				t.Fatalf("lawful retry of a refresh: %v", err)
			}
			checkWhoami(t, c)
		}
	}
	t.Logf("%d refreshes were acknowledged", refreshed.Load())
	if refreshed.Load() < int64(rounds(t)) {
		t.Error("too few refreshes to show anything")
	}
}

// TestKilledWhileConnecting: an account that the page says is connected, is.
//
// Security CRASH-04.
func TestKilledWhileConnecting(t *testing.T) {
	s, p := newFaultServer(t, longLife)
	people := [2]*member{}
	for i, person := range []browser.Person{alice, bob} {
		b := newBrowser(t, s, person)
		people[i] = &member{b, logIn(t, s, b, mcpclient.Modern)}
	}
	connected, cut := 0, 0
	for range rounds(t) {
		p.EndGrants()
		var links [2]string
		for i, m := range people {
			if links[i] = m.link(t); links[i] == "" {
				t.Fatal("a call works without a grant")
			}
		}
		var done [2]bool
		killDuring(s, 2, func(i int, acknowledged func()) {
			if i >= len(people) {
				return
			}
			stop, err := people[i].Open(t.Context(), links[i], browser.Visit{})
			if done[i] = !killed(t, "connecting", err); done[i] {
				if stop.Page.Status != 200 || !stop.Visited("/connect/callback") {
					t.Errorf("connecting ends with %d %s", stop.Page.Status, stop.Page.Text)
				}
				acknowledged()
			}
		})
		for i, m := range people {
			if done[i] {
				connected++
				checkAsk(t, m.Client, "ok")
			} else {
				cut++
				m.reconnect(t) // connected as a whole, or not at all
			}
		}
	}
	t.Logf("%d connections were acknowledged, %d cut off", connected, cut)
	if connected+cut == 0 || cut == 0 {
		t.Error("no connection was cut off: the moments show nothing")
	}
}

// TestKilledWhileRenewing: a provider's refresh token that was rotated is stored
// before its access token is used. What is inherent: when the kill comes between
// the provider's answer and our commit, the successor is lost with the process,
// no order of writing helps, and a provider that forgives no repetition makes
// the person connect again. The test counts these.
//
// Security CRASH-04.
func TestKilledWhileRenewing(t *testing.T) {
	s, p := newFaultServer(t, longLife)
	people := [2]*member{newMember(t, s, alice), newMember(t, s, bob)}
	inherent := 0
	for range rounds(t) {
		before := p.Counts()
		killDuring(s, 12, func(i int, acknowledged func()) {
			if i >= len(people) {
				return
			}
			for {
				result, err := ask(t, people[i].Client, "spend") // so that the next call renews
				if killed(t, "call", err) {
					return
				}
				if result.IsError {
					t.Errorf("call before the kill gives %q", result.Text())
					return
				}
				acknowledged()
			}
		})
		again := 0
		for _, m := range people {
			if m.reconnect(t) {
				again++
			}
		}
		after := p.Counts()
		if got := after.Reused - before.Reused; got != again {
			t.Errorf("%d people had to connect again, and %d refresh tokens came twice: a grant was lost otherwise", again, got)
		}
		if after.Forgotten != 0 {
			t.Fatalf("provider counts %+v: an access token was used before its refresh token was stored", after)
		}
		inherent += again
	}
	t.Logf("provider counts %+v, of which %d lost between its answer and our commit", p.Counts(), inherent)
	if p.Counts().Renewals < rounds(t) {
		t.Error("too few renewals to show anything")
	}
}
