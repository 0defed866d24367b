package nodes

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// TestEachStepAtAnotherNode: no node keeps what another one needs.
//
// Security CLUS-04.
func TestEachStepAtAnotherNode(t *testing.T) {
	s := start(t, 2, longLife)
	one, two := s.nodes[0], s.nodes[1]
	atOne := register(t, one, mcpclient.Modern)
	b := newBrowser(t, two)
	atTwo := at(atOne, two)
	code := authorize(t, b, atTwo)
	b.Use(one.Transport()) // one page of two, and the session of the browser
	atTwo.Use(one.Transport())
	must(t, atTwo.Redeem(t.Context(), code))
	atOne, atTwo = at(atTwo, one), at(atTwo, two)
	must(t, whoami(t, atTwo))
	must(t, whoami(t, atOne))
	must(t, atTwo.Refresh(t.Context()))
	must(t, whoami(t, at(atTwo, one)))

	link, err := ask(t, atTwo)
	if err != nil || link == "" {
		t.Fatalf("ask gives the link %q, %v; want one", link, err)
	}
	connect(t, b, link)
	if link, err := ask(t, atTwo); err != nil || link != "" {
		t.Errorf("after connecting at the other node ask gives the link %q, %v", link, err)
	}

	must(t, atOne.Revoke(t.Context(), atTwo.Tokens.RefreshToken))
	took := within(t, seen, "revoked at one node, refused at the other", func() error { return wantStatus(401, whoami(t, atTwo)) })
	t.Logf("seen after %v", took)
}

// TestCodeAtTwoNodes: one of two exchanges at the same instant succeeds.
//
// Security CLUS-01.
func TestCodeAtTwoNodes(t *testing.T) {
	s := start(t, 2, longLife)
	template, b := logIn(t, s.nodes[0], mcpclient.Modern)
	for i := range 10 {
		c := at(template, s.nodes[0])
		code := authorize(t, b, c)
		var won atomic.Int64
		var refused [2]error
		var try []func()
		for n, node := range s.nodes {
			own := *c
			own.Use(node.Transport())
			try = append(try, func() {
				if refused[n] = own.Redeem(t.Context(), code); refused[n] == nil {
					won.Add(1)
				}
			})
		}
		atOnce(try...)
		if won.Load() != 1 {
			t.Errorf("round %d: the code was redeemed %d times, want once: %v", i, won.Load(), refused)
		}
		for _, err := range refused {
			if err != nil {
				must(t, wantStatus(400, err))
			}
		}
	}
}

// TestRefreshAtTwoNodes: a client that races with itself across nodes gets one
// successor, and goes on with it.
//
// Security CLUS-02.
func TestRefreshAtTwoNodes(t *testing.T) {
	s := start(t, 2, longLife)
	c, _ := logIn(t, s.nodes[0], mcpclient.Modern)
	for i := range 10 {
		one, two := at(c, s.nodes[0]), at(c, s.nodes[1])
		var errs [2]error
		atOnce(func() { errs[0] = one.Refresh(t.Context()) }, func() { errs[1] = two.Refresh(t.Context()) })
		if errs[0] != nil || errs[1] != nil || one.Tokens.RefreshToken != two.Tokens.RefreshToken {
			t.Fatalf("round %d: %v, one lineage %t; want two answers with one successor", i, errs, one.Tokens.RefreshToken == two.Tokens.RefreshToken)
		}
		must(t, whoami(t, one))
		must(t, whoami(t, two))
		c = one
	}
}

// TestPausedNode: a refresh that a node was stopped with does not fork the lineage
// when the node goes on.
//
// Security CLUS-03.
func TestPausedNode(t *testing.T) {
	s := start(t, 2, longLife)
	c, _ := logIn(t, s.nodes[0], mcpclient.Modern)
	one, two := at(c, s.nodes[0]), at(c, s.nodes[1])
	resume := s.nodes[0].Pause()
	late := make(chan error, 1)
	go func() { late <- one.Refresh(t.Context()) }()
	must(t, two.Refresh(t.Context()))
	resume()
	if err := <-late; err != nil || one.Tokens.RefreshToken != two.Tokens.RefreshToken {
		t.Errorf("the paused node gives %v, the same successor: %t", err, one.Tokens.RefreshToken == two.Tokens.RefreshToken)
	}
}

// TestLegacySession: a session is begun at one node, used at another and ended at
// the first.
func TestLegacySession(t *testing.T) {
	s := start(t, 2, longLife)
	one, _ := logIn(t, s.nodes[0], mcpclient.Legacy)
	two := at(one, s.nodes[1])
	must(t, whoami(t, two))
	must(t, one.EndSession(t.Context()))
	took := within(t, seen, "ended at one node, refused at the other", func() error { return wantStatus(404, whoami(t, two)) })
	t.Logf("seen after %v", took)
}

// TestProviderRenewal: of calls at all nodes one asks the provider, which takes a
// refresh token that comes twice for stolen.
//
// Security PROV-05.
func TestProviderRenewal(t *testing.T) {
	s := start(t, 3, shortLife)
	c, b := logIn(t, s.nodes[0], mcpclient.Modern)
	link, err := ask(t, c)
	must(t, err)
	connect(t, b, link)
	const rounds, callers = 4, 4 // of each node
	for range rounds {
		<-time.After(shortLife * time.Second) // the end of the token
		var calls []func()
		for _, node := range s.nodes {
			for range callers {
				own := at(c, node)
				calls = append(calls, func() {
					if link, err := ask(t, own); err != nil || link != "" {
						t.Errorf("ask gives the link %q, %v", link, err)
					}
				})
			}
		}
		atOnce(calls...)
	}
	counts := s.provider.Counts()
	t.Logf("%d renewals for %d calls", counts.Renewals, rounds*callers*len(s.nodes))
	if counts.Reused != 0 || counts.Renewals < rounds {
		t.Errorf("the provider saw %+v, want %d renewals or more, and no refresh token twice", counts, rounds)
	}
}

// TestStartTogether: nodes that begin at the same time on an empty database agree
// on its tables and on the key that signs.
func TestStartTogether(t *testing.T) {
	s := prepare(t, 4, longLife)
	var begin []func()
	for i, n := range s.nodes {
		begin = append(begin, func() {
			if !n.TryStart() {
				t.Errorf("node %d ended:\n%s", i, n.Log())
			}
		})
	}
	atOnce(begin...)
	if t.Failed() {
		return
	}
	c, _ := logIn(t, s.nodes[3], mcpclient.Modern)
	for i, n := range s.nodes {
		if err := whoami(t, at(c, n)); err != nil {
			t.Errorf("node %d: %v", i, err)
		}
	}
	if keys, err := database.SQL(s.database, "SELECT count(*) FROM signing_keys"); err != nil || keys != "1" {
		t.Errorf("%s signing keys, %v; want 1", keys, err)
	}
}
