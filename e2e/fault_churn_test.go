package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// How often TestReloadsUnderLoad reloads, and what may be more afterwards than
// after the warm-up: a leak at each reload would be a hundred of anything.
const (
	warmUp         = 20
	churn          = 100
	moreGoroutines = 20
	moreFiles      = 10
	moreHeap       = 6 << 20 // bytes; one configuration is a tenth of that
	quietWithin    = 20 * time.Second
)

// load are clients that work all the time.
type load struct {
	t      *testing.T
	s      *harness.Server
	people [2]*member

	calls, refreshes, logins atomic.Int64
	mu                       sync.Mutex
	registered               []*mcpclient.Client
}

// run works until done: two people call, one refreshes, a client registers, and
// another logs in again and again.
func (l *load) run(done <-chan struct{}) (wait func()) {
	var working sync.WaitGroup
	for what, once := range map[string]func() error{
		"call":         l.call,
		"refresh":      l.refresh,
		"registration": l.register,
		"login":        l.logIn,
	} {
		working.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := once(); err != nil {
					l.t.Errorf("%s during reloads: %v", what, err)
					return
				}
			}
		})
	}
	return working.Wait
}

func (l *load) call() error {
	c := copyOf(l.people[0].Client)
	return patiently(func() error {
		result, err := ask(l.t, c, "ok")
		if err == nil && result.IsError {
			err = fmt.Errorf("tool error: %s", result.Text())
		}
		if err == nil {
			l.calls.Add(1)
		}
		return err
	})
}

func (l *load) refresh() error {
	l.refreshes.Add(1)
	return patiently(func() error { return l.people[1].Refresh(l.t.Context()) })
}

func (l *load) register() error {
	c := copyOf(l.people[0].Client)
	err := patiently(func() error { return c.Register(l.t.Context(), "churn", "http://127.0.0.1:49152/callback") })
	if err == nil {
		l.mu.Lock()
		l.registered = append(l.registered, c)
		l.mu.Unlock()
	}
	return err
}

// logIn gets a code and redeems it; the code of an answer that was lost is left
// alone.
func (l *load) logIn() error {
	c := copyOf(l.people[0].Client)
	var stop *browser.Stop
	err := patiently(func() (err error) {
		stop, err = l.people[0].Open(l.t.Context(), c.AuthorizeURL(), browser.Visit{Hold: true})
		return err
	})
	if err != nil || !stop.Client {
		return fmt.Errorf("way %q: %w", stop.Way, err)
	}
	l.logins.Add(1)
	return patiently(func() error { return c.Redeem(l.t.Context(), stop.URL) })
}

// size is what a process holds.
type size struct{ goroutines, files, heap int }

func (a size) above(b size) bool {
	return a.goroutines > b.goroutines+moreGoroutines || a.files > b.files+moreFiles || a.heap > b.heap+moreHeap
}

var (
	goroutines = regexp.MustCompile(`goroutine profile: total (\d+)`)
	heapInUse  = regexp.MustCompile(`# HeapAlloc = (\d+)`)
)

// sizeOf measures the server after a garbage collection.
func sizeOf(t *testing.T, s *harness.Server) size {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.PID()))
	if err != nil {
		t.Fatal(err)
	}
	return size{
		heap:       number(t, heapInUse, profile(t, s, "heap?gc=1&debug=1")),
		goroutines: number(t, goroutines, profile(t, s, "goroutine?debug=1")), files: len(files),
	}
}

func profile(t *testing.T, s *harness.Server, name string) string {
	t.Helper()
	client := &http.Client{Timeout: attackTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + s.Admin + "/debug/pprof/" + name)
	if err != nil {
		t.Fatalf("measuring: %v", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("measuring: %v", err)
	}
	return string(text)
}

func number(t *testing.T, in *regexp.Regexp, text string) int {
	t.Helper()
	match := in.FindStringSubmatch(text)
	if match == nil {
		t.Fatalf("no %s in %.200q", in, text)
	}
	n, err := strconv.Atoi(match[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// reloadTimes loads the configuration that often under load.
func (l *load) reloadTimes(config string, from, count int) {
	l.t.Helper()
	done := make(chan struct{})
	wait := l.run(done)
	for n := range count {
		l.s.Load(l.s.Admin, strings.Replace(config, "RELOAD", fmt.Sprint(from+n), 1))
	}
	close(done)
	wait()
}

// TestReloadsUnderLoad reloads a hundred times while clients call, refresh,
// register and log in: nothing is lost, and nothing is left over.
//
// Security OPS-07.
func TestReloadsUnderLoad(t *testing.T) {
	s, _ := newFaultServer(t, longLife)
	l := &load{t: t, s: s, people: [2]*member{newMember(t, s, alice), newMember(t, s, bob)}}
	config := s.Adapt(withSettings("instructions RELOAD"))
	if !strings.Contains(config, "RELOAD") {
		t.Fatal("the configuration has no place to change")
	}
	l.reloadTimes(config, 0, warmUp)
	before := sizeOf(t, s)
	l.reloadTimes(config, warmUp, churn)

	after, tick := sizeOf(t, s), time.NewTicker(200*time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(quietWithin); after.above(before); after = sizeOf(t, s) {
		select {
		case <-tick.C:
			continue
		case <-deadline:
		}
		t.Errorf("after %d reloads the server holds %+v, and before %+v\n%s", churn, after, before, profile(t, s, "goroutine?debug=1"))
		break
	}
	t.Logf("before %+v, after %+v; %d calls, %d refreshes, %d logins, %d registrations",
		before, after, l.calls.Load(), l.refreshes.Load(), l.logins.Load(), len(l.registered))
	for what, n := range map[string]int64{
		"calls": l.calls.Load(), "refreshes": l.refreshes.Load(), "logins": l.logins.Load(), "registrations": int64(len(l.registered)),
	} {
		if n < churn {
			t.Errorf("%d %s during %d reloads, too few to show anything", n, what, warmUp+churn)
		}
	}
	every := max(1, len(l.registered)/100)
	for i := 0; i < len(l.registered); i += every {
		checkClient(t, l.registered[i])
	}
	for _, m := range l.people {
		checkAsk(t, m.Client, "ok")
		if err := m.Refresh(t.Context()); err != nil {
			t.Errorf("refresh after the reloads: %v", err)
		}
	}
}
