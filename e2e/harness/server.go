package harness

import (
	"fmt"
	"net/http"
	"path/filepath"
	"testing"
)

const metadata = "/.well-known/oauth-protected-resource"

// Server is a running Caddy with one endpoint.
type Server struct {
	*Daemon

	// Endpoint is the MCP URL.
	Endpoint string
	// Admin is the address of Caddy's admin API.
	Admin string
	// Sites are the origins of its pages: its own and the provider's.
	Sites []string
	// Transport makes the way to a server by https; nil: plain http.
	Transport func() *http.Transport
	// HTTPPort is the port of plain http beside https.
	HTTPPort int
	// Provider is the service that the tools call; it outlives the server.
	Provider *Daemon
}

// NewServer starts a server and a provider, both with an empty storage, from the
// Caddyfiles server and provider of a folder. These find free ports in E2E_PORT,
// E2E_PROVIDER_PORT and E2E_ADMIN_PORT, and more environment variables. Both end
// with the test.
func NewServer(t testing.TB, dir string, more ...string) *Server {
	t.Helper()
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatalf("finding the configuration: %v", err)
	}
	ports := FreePorts(t, 3)
	address := func(i int) string { return fmt.Sprintf("localhost:%d", ports[i]) }
	more = append(more, fmt.Sprintf("E2E_PORT=%d", ports[0]), fmt.Sprintf("E2E_PROVIDER_PORT=%d", ports[1]), fmt.Sprintf("E2E_ADMIN_PORT=%d", ports[2]))
	begin := func(name, ready string) *Daemon {
		home := t.TempDir()
		return startDaemon(t, home, Environment(home, more...), filepath.Join(dir, name+".Caddyfile"), ready)
	}
	own, provider := "http://"+address(0), "http://"+address(1)
	return &Server{
		Endpoint: own + "/mcp", Admin: address(2), Sites: []string{own, provider},
		Provider: begin("provider", provider+"/style.css"),
		Daemon:   begin("server", own+"/mcp"+metadata),
	}
}

// RunServer starts a server as a person would who has a configuration with fixed
// addresses: in the folder dir, with a home of its own.
func RunServer(t testing.TB, dir, config, endpoint string, sites ...string) *Server {
	t.Helper()
	return &Server{
		Endpoint: endpoint, Sites: sites,
		Daemon: startDaemon(t, dir, Environment(t.TempDir()), config, endpoint+metadata),
	}
}
