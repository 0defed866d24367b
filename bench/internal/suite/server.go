package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	serverCPU = "1" // of the server under test
	loadCPU   = "0" // of everything else

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
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", cpu}, command...)...)
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

// ready waits until the server answers anything over TCP, and returns how long
// that took.
func (p *process) ready(ctx context.Context, host string) (time.Duration, error) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	dialer := net.Dialer{Timeout: time.Second}
	for {
		conn, err := dialer.DialContext(ctx, "tcp", host)
		if err == nil {
			return time.Since(begin), conn.Close()
		}
		select {
		case <-p.ended:
			return 0, fmt.Errorf("%s has ended, see %s", p.cmd.Args[3], p.log.Name())
		case <-ctx.Done():
			return 0, fmt.Errorf("%s does not listen at %s, see %s", p.cmd.Args[3], host, p.log.Name())
		case <-time.After(2 * time.Millisecond):
		}
	}
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

// freePort returns a port that nobody listens at.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, errors.Join(err, l.Close())
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
