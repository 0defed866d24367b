package harness

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	readyWithin = 60 * time.Second
	stopWithin  = 15 * time.Second
	daemonLife  = 10 * time.Minute // no helper outlives this
	pollEvery   = 20 * time.Millisecond
)

// Daemon is a Caddy that runs until the test ends or it is killed.
type Daemon struct {
	t      testing.TB
	config string
	dir    string // working folder
	env    []string
	ready  string // answers 200 when the daemon is ready
	// transport makes the way to ready; nil: plain http.
	transport func() *http.Transport
	log       string

	cmd    *exec.Cmd
	cancel context.CancelFunc
	exited chan struct{} // closed when the process is gone
	err    error         // of its end

	expected []string // parts of complaints that the test provokes
}

// startDaemon starts Caddy with a configuration, which stays as it is when the
// daemon is started again.
func startDaemon(t testing.TB, dir string, env []string, config, ready string) *Daemon {
	t.Helper()
	return (&Daemon{t: t, config: config, dir: dir, env: env, ready: ready}).begin()
}

func (d *Daemon) begin() *Daemon {
	d.t.Helper()
	d.prepare()
	d.Restart()
	return d
}

// prepare does what comes before the first start.
func (d *Daemon) prepare() {
	d.t.Helper()
	d.log = filepath.Join(d.t.TempDir(), "caddy.log")
	if err := os.WriteFile(d.log, nil, 0o600); err != nil {
		d.t.Fatalf("making the log: %v", err)
	}
	showOnFailure(d.t, d.log)
	d.t.Cleanup(d.end)
}

// Kill ends the daemon at once, as a loss of power would.
func (d *Daemon) Kill() {
	d.cancel()
	<-d.exited
}

// Restart starts the daemon again after [Daemon.Kill], with what it had stored,
// and returns when it is ready.
func (d *Daemon) Restart() {
	d.t.Helper()
	d.launch()
	if !d.becomesReady() {
		d.t.Fatalf("server ended while starting: %v", d.err)
	}
}

// launch starts the process.
func (d *Daemon) launch() {
	d.t.Helper()
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		d.t.Fatalf("opening the log: %v", err)
	}
	defer log.Close() // the process has its own
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.t.Context()), daemonLife)
	cmd := command(ctx, d.dir, d.env, Caddy(d.t), "run", "--config", d.config, "--adapter", "caddyfile")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		cancel()
		d.t.Fatalf("starting %s: %v", cmd.Path, err)
	}
	exited := make(chan struct{})
	d.cmd, d.cancel, d.exited = cmd, cancel, exited
	go func() {
		d.err = cmd.Wait()
		close(exited)
	}()
}

// becomesReady waits until the daemon answers; it returns false when that ended
// instead.
func (d *Daemon) becomesReady() bool {
	d.t.Helper()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	deadline := time.After(readyWithin)
	for {
		err := ask(d.client(), d.ready)
		if err == nil {
			return true
		}
		select {
		case <-tick.C:
		case <-d.exited:
			return false
		case <-deadline:
			d.t.Fatalf("server is not ready after %v: %v", readyWithin, err)
		}
	}
}

// client is made anew for each try: the certificate authority that it trusts may
// have come since.
func (d *Daemon) client() *http.Client {
	transport := &http.Transport{DisableKeepAlives: true}
	if d.transport != nil {
		transport = d.transport()
	}
	return &http.Client{Timeout: time.Second, Transport: transport}
}

func ask(client *http.Client, address string) error {
	resp, err := client.Get(address)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", address, resp.Status)
	}
	return nil
}

// Reload loads a changed configuration into the running daemon, as an operator
// does.
func (d *Daemon) Reload(admin string, settings ...string) {
	d.t.Helper()
	program := Program{Dir: d.dir, Env: append(d.env[:len(d.env):len(d.env)], settings...), Timeout: readyWithin}
	program.Run(d.t, Caddy(d.t), "reload", "--config", d.config, "--adapter", "caddyfile", "--address", admin)
}

// Log returns what the daemon has logged so far.
func (d *Daemon) Log() string {
	text, err := os.ReadFile(d.log)
	if err != nil {
		d.t.Errorf("reading the server's log: %v", err)
	}
	return string(text)
}

// ExpectErrors says that logged errors which hold the text are what the test is
// about.
func (d *Daemon) ExpectErrors(text string) { d.expected = append(d.expected, text) }

func (d *Daemon) isExpected(line string) bool {
	return slices.ContainsFunc(d.expected, func(text string) bool { return strings.Contains(line, text) })
}

// end stops the daemon as an operator would and looks whether it had reason to
// complain.
func (d *Daemon) end() {
	if d.exited == nil {
		return
	}
	if err := d.terminate(); err != nil {
		d.t.Error(err)
	}
	for line := range strings.Lines(d.Log()) {
		if strings.Contains(line, `"level":"error"`) && !d.isExpected(line) || strings.HasPrefix(line, "panic") || strings.Contains(line, "DATA RACE") {
			d.t.Errorf("server complains: %s", line)
		}
	}
}

func (d *Daemon) terminate() error {
	defer d.cancel()
	select {
	case <-d.exited:
		return nil // it was killed
	default:
	}
	if err := syscall.Kill(d.cmd.Process.Pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("stopping the server: %w", err)
	}
	select {
	case <-d.exited:
		if d.err != nil {
			return fmt.Errorf("server ended with %w after SIGTERM", d.err)
		}
		return nil
	case <-time.After(stopWithin):
		d.Kill()
		return errors.New("server had to be killed: it still ran " + stopWithin.String() + " after SIGTERM")
	}
}
