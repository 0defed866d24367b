package clientmatrix

import (
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
)

// seat is where a person sits: a home of their own, a desktop and a browser.
type seat struct {
	person   browser.Person
	endpoint string // MCP URL
	home     string
	desk     *browser.Desk
	browser  *browser.Browser
}

func newSeat(t *testing.T, s *harness.Server, person browser.Person) *seat {
	t.Helper()
	b, err := browser.New(person, s.Sites...)
	if err != nil {
		t.Fatalf("opening a browser: %v", err)
	}
	desk, err := browser.NewDesk(b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(desk.Close)
	return &seat{person: person, endpoint: s.Endpoint, home: newHome(t), desk: desk, browser: b}
}

// newHome makes a home that goes when the test ends. A client whose terminal was
// taken away may still be writing there for a moment, which t.TempDir would take
// for a failure.
func newHome(t *testing.T) string {
	t.Helper()
	home, err := os.MkdirTemp("", "seat")
	if err != nil {
		t.Fatalf("making a home: %v", err)
	}
	t.Cleanup(func() {
		deadline := time.Now().Add(homeGone)
		for err = os.RemoveAll(home); err != nil && time.Now().Before(deadline); err = os.RemoveAll(home) {
			runtime.Gosched()
		}
		if err != nil {
			t.Errorf("leaving a home: %v", err)
		}
	})
	return home
}

// environment is that of a program that the person starts.
func (s *seat) environment(t *testing.T, more ...string) []string {
	t.Helper()
	return harness.Environment(s.home, append(harness.Desktop(t, s.home, browser.Variable, s.desk.URL), more...)...)
}

// program is how the person starts programs that end by themselves.
func (s *seat) program(t *testing.T, more ...string) harness.Program {
	t.Helper()
	return harness.Program{Dir: s.home, Env: s.environment(t, more...), Timeout: stepTimeout}
}

// loggedIn waits until the browser that the client opened has led back to it.
func (s *seat) loggedIn(t *testing.T) {
	t.Helper()
	opened := s.opened(t)
	if opened.Err != nil || !opened.Stop.Client || opened.Stop.Page.Status != 200 {
		t.Fatalf("login of %s by %s ended at %+v: %v", s.person.Name, opened.Address, opened.Stop, opened.Err)
	}
}

func (s *seat) opened(t *testing.T) browser.Opened {
	t.Helper()
	select {
	case opened := <-s.desk.Stops:
		return opened
	case <-time.After(stepTimeout):
		t.Fatal("the client opened no browser")
		return browser.Opened{}
	}
}

// connect opens a connect link and sees to it that the mailbox is connected.
func (s *seat) connect(t *testing.T, link string) {
	t.Helper()
	stop, err := s.browser.Open(t.Context(), link, browser.Visit{})
	if err != nil {
		t.Fatalf("connecting: %v\nway: %q", err, stop.Way)
	}
	if stop.Page.Status != 200 || stop.Client || !stop.Visited("/connect/callback") {
		t.Fatalf("connecting ended with %d on the page %q: %s\nway: %q", stop.Page.Status, stop.Page.Title, stop.Page.Text, stop.Way)
	}
}
