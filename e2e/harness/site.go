package harness

import (
	"path/filepath"
	"testing"
)

// NewSite starts a server that needs no provider, with an empty storage, from a
// Caddyfile that the environment variables complete. Endpoint is its MCP URL as
// clients see it. It ends with the test.
func NewSite(t testing.TB, config, endpoint string, env ...string) *Server {
	t.Helper()
	config, err := filepath.Abs(config)
	if err != nil {
		t.Fatalf("finding the configuration: %v", err)
	}
	home := t.TempDir()
	return &Server{
		Endpoint: endpoint,
		Daemon:   startDaemon(t, home, Environment(home, env...), config, endpoint+metadata),
	}
}
