package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	startWithin = 60 * time.Second
	stopWithin  = 10 * time.Second
)

// process is a server that this program started.
type process struct {
	cmd   *exec.Cmd
	log   *os.File
	ended chan struct{}
}

// start runs a command on one CPU. Its output goes to a file.
func start(ctx context.Context, cpu, logFile string, env []string, command ...string) (*process, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	// taskset becomes the command, so that its process is the server's own.
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", cpu}, command...)...) //nolint:gosec // starts what it measures
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopWithin
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	p := &process{cmd: cmd, log: log, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended is seen in its log
		close(p.ended)
	}()
	return p, nil
}

// ready waits until the server answers a request to an origin, whatever it
// answers, and returns how long that took. Of https only the port is waited for.
func (p *process) ready(ctx context.Context, origin string) (time.Duration, error) {
	u, err := url.Parse(origin)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for !answers(ctx, u) {
		select {
		case <-p.ended:
			return 0, fmt.Errorf("%s has ended, see %s", p.cmd.Args[3], p.log.Name())
		case <-ctx.Done():
			return 0, fmt.Errorf("%s does not answer at %s, see %s", p.cmd.Args[3], origin, p.log.Name())
		case <-time.After(2 * time.Millisecond):
		}
	}
	return time.Since(begin), nil
}

func answers(ctx context.Context, at *url.URL) bool {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", at.Host)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	if at.Scheme == "https" {
		return true
	}
	if err := conn.SetDeadline(time.Now().Add(startWithin)); err != nil {
		return false
	}
	if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", at.Host); err != nil {
		return false
	}
	_, err = io.ReadFull(conn, make([]byte, len("HTTP/1.1 200")))
	return err == nil
}

// stop ends the process and waits for it.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-p.ended:
	case <-time.After(stopWithin):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	return p.log.Close()
}

// freePort returns a port that nobody listens at. It is below those that the
// system gives to whoever connects: the load of a server before takes many.
func freePort() (string, error) {
	var busy error
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 11000+rand.IntN(20000)))
		if err != nil {
			busy = err
			continue
		}
		_, port, err := net.SplitHostPort(l.Addr().String())
		return port, errors.Join(err, l.Close())
	}
	return "", busy
}

// read gets a small document of one of our own servers.
func read(ctx context.Context, address string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", resp.StatusCode)
	}
	return strings.TrimSpace(string(body)), err
}
