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
	t          *testing.T
	s          *harness.Server
	people     [2]*member
	registered []*mcpclient.Client
	// progress gets a value when something was done, unless it holds one.
	progress []chan struct{}
	done     [4]int // how often, of each kind
}

// run works until done: one person calls and logs new clients in, the other
// refreshes, and clients register.
func (l *load) run(done <-chan struct{}) (wait func()) {
	var working sync.WaitGroup
	l.progress = nil
	for i, once := range []func() error{l.call, l.refresh, l.register, l.logIn} {
		progress := make(chan struct{}, 1)
		l.progress = append(l.progress, progress)
		working.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := once(); err != nil {
					l.t.Errorf("kind %d (of call, refresh, registration, login) during reloads: %v", i, err)
					close(progress) // nobody is to wait for it
					return
				}
				l.done[i]++
				select {
				case progress <- struct{}{}:
				default:
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
		return err
	})
}

func (l *load) refresh() error {
	return patiently(func() error { return l.people[1].Refresh(l.t.Context()) })
}

func (l *load) register() error {
	c := copyOf(l.people[0].Client)
	err := patiently(func() error { return c.Register(l.t.Context(), "churn", "http://127.0.0.1:49152/callback") })
	if err == nil {
		l.registered = append(l.registered, c)
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

// reloadTimes loads the configuration that often under load, each time after
// something of each kind was done.
func (l *load) reloadTimes(config string, from, count int) {
	l.t.Helper()
	done := make(chan struct{})
	wait := l.run(done)
	for n := range count {
		for _, progress := range l.progress {
			<-progress
		}
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
	t.Logf("before %+v, after %+v; %v calls, refreshes, registrations and logins", before, after, l.done)
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
