package e2e

import (
	"errors"
	"fmt"
	"net/url"
	"sync"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

const reloads = 5

// TestReload changes the configuration while people work: no call gets a wrong
// answer, and no login is lost.
func TestReload(t *testing.T) {
	s := newServer(t)
	b := newBrowser(t, s, alice)
	clients := []*mcpclient.Client{logIn(t, s, b, mcpclient.Modern), logIn(t, s, b, mcpclient.Legacy)}
	connect(t, b, call(t, clients[0], "list_messages").ConnectURL())

	done := make(chan struct{})
	var working sync.WaitGroup
	for _, c := range clients {
		working.Go(func() { work(t, c, done) })
	}
	for n := range reloads {
		s.Reload(s.Admin, withSettings(fmt.Sprintf("instructions %d", n)))
	}
	close(done)
	working.Wait()
	for _, c := range clients {
		if err := c.Refresh(t.Context()); err != nil {
			t.Errorf("refresh after the reloads: %v", err)
		}
		checkInbox(t, call(t, c, "list_messages").Text(), alice, bob)
	}
}

// work calls until done and fails the test on any answer but the inbox. A
// connection that ends without an answer is no answer: Caddy closes the old
// listener with what waits in its backlog, on Linux about one connection at each
// reload, whatever the handler.
func work(t *testing.T, c *mcpclient.Client, done <-chan struct{}) {
	answers := 0
	for {
		select {
		case <-done:
			if answers < reloads {
				t.Errorf("%s client got %d answers during %d reloads, want more", c.Revision, answers, reloads)
			}
			return
		default:
		}
		result, err := c.Call(t.Context(), "list_messages", nil, nil)
		var lost *url.Error
		if errors.As(err, &lost) && !lost.Timeout() {
			continue
		}
		if err != nil || result.IsError {
			t.Errorf("call %d of the %s client: %+v (%v)", answers, c.Revision, result, err)
			return
		}
		answers++
	}
}
