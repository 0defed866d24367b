package harness

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/flaky"
)

// NewFaultServer starts a server whose tools call the flaky provider, with an
// empty storage, from the Caddyfile config. Its data lie in the folder data,
// which may be a file system that the test breaks; "" is one of its own. More
// are environment variables. It ends with the test.
func NewFaultServer(t testing.TB, config, data string, p *flaky.Provider, more ...string) *Server {
	t.Helper()
	config, err := filepath.Abs(config)
	if err != nil {
		t.Fatalf("finding the configuration: %v", err)
	}
	if data == "" {
		data = t.TempDir()
	}
	ports := FreePorts(t, 2)
	more = append(more, fmt.Sprintf("E2E_PORT=%d", ports[0]), fmt.Sprintf("E2E_ADMIN_PORT=%d", ports[1]),
		"E2E_API="+p.URL, "E2E_API_HOST="+strings.TrimPrefix(p.URL, "http://"), "XDG_DATA_HOME="+data)
	own, home := fmt.Sprintf("http://localhost:%d", ports[0]), t.TempDir()
	return &Server{
		Endpoint: own + "/mcp", Admin: fmt.Sprintf("localhost:%d", ports[1]), Sites: []string{own, p.URL},
		Daemon: startDaemon(t, home, Environment(home, more...), config, own+"/mcp"+metadata),
	}
}

// PID is the process of the daemon.
func (d *Daemon) PID() int { return d.cmd.Process.Pid }

// Exited is closed when the process is gone.
func (d *Daemon) Exited() <-chan struct{} { return d.exited }

// Terminate asks the process to end, as an operator does, and does not wait.
func (d *Daemon) Terminate() {
	d.t.Helper()
	if err := syscall.Kill(d.PID(), syscall.SIGTERM); err != nil {
		d.t.Fatalf("stopping the server: %v", err)
	}
}

// AwaitExit waits for the end of the process, which must be a success.
func (d *Daemon) AwaitExit(within time.Duration) {
	d.t.Helper()
	select {
	case <-d.exited:
		if d.err != nil {
			d.t.Errorf("server ended with %v after SIGTERM", d.err)
		}
	case <-time.After(within):
		d.t.Errorf("server still runs %v after it should have ended", within)
	}
}

// TryReload is like [Daemon.Reload] where that may be refused: it returns what
// the operator sees.
func (d *Daemon) TryReload(admin string, settings ...string) (string, error) {
	d.t.Helper()
	return d.program(settings).Try(d.t, Caddy(d.t), "reload", "--config", d.config, "--adapter", "caddyfile", "--address", admin)
}

// Adapt returns the configuration in JSON, for [Daemon.Load].
func (d *Daemon) Adapt(settings ...string) string {
	d.t.Helper()
	return d.program(settings).Run(d.t, Caddy(d.t), "adapt", "--config", d.config, "--adapter", "caddyfile")
}

func (d *Daemon) program(settings []string) Program {
	return Program{Dir: d.dir, Env: append(d.env[:len(d.env):len(d.env)], settings...), Timeout: readyWithin}
}

// TryStart starts the daemon again after [Daemon.Kill] where that may fail: it
// returns false when the process ended by itself.
func (d *Daemon) TryStart() bool {
	d.t.Helper()
	d.launch()
	return d.becomesReady()
}

// Load gives the daemon a configuration in JSON, as `caddy reload` does.
func (d *Daemon) Load(admin, config string) {
	d.t.Helper()
	client := &http.Client{Timeout: readyWithin, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post("http://"+admin+"/load", "application/json", strings.NewReader(config))
	if err != nil {
		d.t.Fatalf("loading a configuration: %v", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body) // the status is failure enough
		d.t.Fatalf("loading a configuration: %s %s", resp.Status, text)
	}
}
