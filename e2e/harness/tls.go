package harness

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// rootOf is where Caddy keeps the certificate of its own authority, below its
// storage.
const rootOf = "pki/authorities/local/root.crt"

// TLSOptions say how a server gets its certificate.
type TLSOptions struct {
	// Host is the server's name, which leads to loopback.
	Host string
	// Root is the file of the certificate that clients trust. Default: that of
	// the server's own authority.
	Root string
	// Env completes the configuration.
	Env []string
	// Ports are those of https and http. Default: free ones.
	Ports []int
}

// NewTLSServer starts a server with https and a provider with http, both with an
// empty storage, from the Caddyfiles server and provider of a folder. These find
// free ports in E2E_PORT (https), E2E_HTTP_PORT, E2E_PROVIDER_PORT and
// E2E_ADMIN_PORT, the host in E2E_HOST and a folder for Caddy's storage in
// E2E_STORAGE.
func NewTLSServer(t testing.TB, dir string, o TLSOptions) *Server {
	t.Helper()
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatalf("finding the configuration: %v", err)
	}
	if o.Ports == nil {
		o.Ports = FreePorts(t, 2)
	}
	ports, storage := FreePorts(t, 2), t.TempDir()
	if o.Root == "" {
		o.Root = filepath.Join(storage, rootOf)
	}
	env := append([]string{
		"E2E_HOST=" + o.Host, "E2E_STORAGE=" + storage,
		fmt.Sprintf("E2E_PORT=%d", o.Ports[0]), fmt.Sprintf("E2E_HTTP_PORT=%d", o.Ports[1]),
		fmt.Sprintf("E2E_PROVIDER_PORT=%d", ports[0]), fmt.Sprintf("E2E_ADMIN_PORT=%d", ports[1]),
	}, o.Env...)
	own, provider := fmt.Sprintf("https://%s:%d", o.Host, o.Ports[0]), fmt.Sprintf("http://localhost:%d", ports[0])
	transport := func() *http.Transport { return trusting(o.Root, o.Host) }
	home := t.TempDir()
	s := &Server{
		Endpoint: own + "/mcp", Admin: fmt.Sprintf("localhost:%d", ports[1]), Sites: []string{own, provider}, Transport: transport, HTTPPort: o.Ports[1],
		Provider: startDaemon(t, home, Environment(home, env...), filepath.Join(dir, "provider.Caddyfile"), provider+"/style.css"),
	}
	home = t.TempDir()
	s.Daemon = (&Daemon{
		t: t, config: filepath.Join(dir, "server.Caddyfile"), dir: home, env: Environment(home, env...),
		ready: own + "/mcp" + metadata, transport: transport,
	}).begin()
	return s
}

// NewAuthority starts a Caddy that gives certificates by ACME from the
// Caddyfile ca of a folder, which finds a free port in E2E_CA_PORT and another
// in E2E_CA_HTTP_PORT. It looks for the http-01 challenges of a host at the
// given port of loopback, through a proxy, as it would ask port 80 else. It
// returns the address of its directory and the file of its root.
func NewAuthority(t testing.TB, dir, host string, port int) (directory, root string) {
	t.Helper()
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatalf("finding the configuration: %v", err)
	}
	ports, storage, home := FreePorts(t, 2), t.TempDir(), t.TempDir()
	root = filepath.Join(storage, rootOf)
	origin := fmt.Sprintf("https://localhost:%d", ports[0])
	(&Daemon{
		t: t, config: filepath.Join(dir, "ca.Caddyfile"), dir: home, ready: origin + "/acme/local/directory",
		env: Environment(home, "E2E_STORAGE="+storage, fmt.Sprintf("E2E_CA_PORT=%d", ports[0]), fmt.Sprintf("E2E_CA_HTTP_PORT=%d", ports[1]),
			"HTTP_PROXY="+challengeProxy(t, host, port), "NO_PROXY=127.0.0.1"),
		transport: func() *http.Transport { return trusting(root, "") },
	}).begin()
	return origin + "/acme/local/directory", root
}

// trusting returns a transport that trusts one certificate alone and takes a
// host for this machine. Without the file it trusts nothing.
func trusting(root, host string) *http.Transport {
	pool := x509.NewCertPool()
	if text, err := os.ReadFile(root); err == nil {
		pool.AppendCertsFromPEM(text)
	}
	dialer := new(net.Dialer)
	return &http.Transport{
		DisableKeepAlives: true, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			name, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			if name == host {
				name = "127.0.0.1"
			}
			if name != "localhost" && !net.ParseIP(name).IsLoopback() {
				return nil, fmt.Errorf("%s is not on this machine", name)
			}
			return dialer.DialContext(ctx, network, net.JoinHostPort(name, port))
		},
	}
}
