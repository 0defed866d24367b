package harness

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/flaky"
)

// NewNode prepares one of several servers that stand behind one public origin, as
// behind a load balancer, from a Caddyfile as for [NewFaultServer]. Its Transport
// leads to this node whatever the origin is. It is begun by [Daemon.Restart] or
// [Daemon.TryStart] and ends with the test.
func NewNode(t testing.TB, config, public string, p *flaky.Provider, more ...string) *Server {
	t.Helper()
	config, err := filepath.Abs(config)
	if err != nil {
		t.Fatalf("finding the configuration: %v", err)
	}
	ports := FreePorts(t, 2)
	address := fmt.Sprintf("127.0.0.1:%d", ports[0])
	more = append(more, fmt.Sprintf("E2E_PORT=%d", ports[0]), fmt.Sprintf("E2E_ADMIN_PORT=%d", ports[1]),
		"E2E_API="+p.URL, "E2E_API_HOST="+strings.TrimPrefix(p.URL, "http://"))
	transport := func() *http.Transport {
		return &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
			if to == strings.TrimPrefix(public, "http://") {
				to = address
			}
			return new(net.Dialer).DialContext(ctx, network, to)
		}}
	}
	home := t.TempDir()
	d := &Daemon{
		t: t, config: config, dir: home, env: Environment(home, more...),
		ready: public + "/mcp" + metadata, transport: transport,
	}
	d.prepare()
	return &Server{
		Endpoint: public + "/mcp", Admin: fmt.Sprintf("localhost:%d", ports[1]), Sites: []string{public, p.URL},
		Transport: transport, Daemon: d,
	}
}

// Pause stops the process in its tracks until the returned function is called.
func (d *Daemon) Pause() (resume func()) {
	d.t.Helper()
	signal := func(s syscall.Signal) {
		if err := syscall.Kill(d.PID(), s); err != nil {
			d.t.Errorf("pausing the server: %v", err)
		}
	}
	signal(syscall.SIGSTOP)
	return func() { signal(syscall.SIGCONT) }
}

// Validate runs `caddy validate` on the configuration.
func (d *Daemon) Validate() (string, error) {
	d.t.Helper()
	return d.program(nil).Try(d.t, Caddy(d.t), "validate", "--config", d.config, "--adapter", "caddyfile")
}
