package suite

import (
	"context"
	"errors"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/client"
)

// Names of the systems.
const (
	oursModern = "alter_mcp, stateless revision"
	oursLegacy = "alter_mcp, handshake revision with session"
	oursTLS    = "alter_mcp, stateless revision, TLS"
	floor      = "hand-written handler in Caddy, verified token kept"
	bare       = "net/http handler, no authentication"
	proxy      = "Caddy reverse_proxy, no authentication"
	hand       = "hand-written net/http handler, ES256 at each call"
	sdk        = "official Go SDK"
	fastMCP    = "FastMCP, handshake revision"
)

// in names a peer as it is with requests of a revision of the protocol. Those of
// the stateless one are longer, which costs whoever reads them.
func in(era, peer string) string {
	if era == client.Modern {
		return peer + ", stateless revision"
	}
	return peer + ", handshake revision"
}

// newRows returns the systems. What is compared with ours gets the same requests.
func (s *Suite) newRows() []*row {
	all := []*row{
		{name: oursModern, era: client.Modern, open: true, start: s.startOurs("modern", "http")},
		{name: oursLegacy, era: client.Legacy, start: s.startOurs("legacy", "http")},
		{name: oursTLS, era: client.Modern, start: s.startOurs("tls", "https")},
	}
	for _, era := range []string{client.Modern, client.Legacy} {
		all = append(all,
			&row{name: in(era, floor), era: era, start: s.startCaddy("floor", era)},
			&row{name: in(era, bare), era: era, start: s.startPeerTarget("bare", era)},
			&row{name: in(era, proxy), era: era, open: era == client.Modern, start: s.startCaddy("proxy", era)},
			&row{name: in(era, hand), era: era, start: s.startPeerTarget("hand", era)},
			&row{name: in(era, sdk), era: era, share: 4, start: s.startPeerTarget("sdk", era)},
		)
	}
	all = append(all, &row{name: fastMCP, era: client.Legacy, share: 20, start: s.startFastMCP})
	return slices.DeleteFunc(all, func(r *row) bool {
		return s.opts.Only != nil && !s.opts.Only.MatchString(r.name) || s.opts.Skip != nil && s.opts.Skip.MatchString(r.name)
	})
}

// target is a system that is running.
type target struct {
	*process
	endpoint *url.URL
	tenant   *tenant       // nil for a peer
	admin    string        // address of Caddy's admin endpoint, while profiles are taken
	took     time.Duration // to answer

	// rest returns what waits until the work of the calls that now begin is
	// done; nil where nothing is left after the last answer.
	rest func(ctx context.Context, calls int) (func() error, error)
}

// startOurs starts the server under test on a new installation, after all have
// logged in and connected there.
func (s *Suite) startOurs(name, scheme string) func(context.Context) (*target, error) {
	return func(ctx context.Context) (*target, error) {
		t, err := s.newTenant(name, scheme, "oidc.identity")
		if err != nil {
			return nil, err
		}
		if err := s.fill(ctx, t, s.opts.People); err != nil {
			return nil, err
		}
		p, took, err := s.startTenant(ctx, t)
		if err != nil {
			return nil, err
		}
		return newTarget(p, t.endpoint, t, took)
	}
}

func newTarget(p *process, endpoint string, t *tenant, took time.Duration) (*target, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, errors.Join(err, p.stop())
	}
	made := &target{process: p, endpoint: u, tenant: t, took: took}
	if t != nil {
		made.admin = t.admin
	}
	return made, nil
}

func (s *Suite) startPeerTarget(name, era string) func(context.Context) (*target, error) {
	return func(ctx context.Context) (*target, error) {
		p, host, took, err := s.startPeer(ctx, name, name+"-"+era, s.opts.ServerCPU)
		if err != nil {
			return nil, err
		}
		return newTarget(p, "http://"+host+"/mcp", nil, took)
	}
}

// startCaddy starts a Caddy with another configuration than ours.
func (s *Suite) startCaddy(name, era string) func(context.Context) (*target, error) {
	binary := map[string]string{"floor": "floor", "proxy": "caddy"}[name]
	return func(ctx context.Context) (*target, error) {
		env := []string{"KEY=" + s.file("key.pem"), "PROVIDER=http://" + s.providerHost, "PROVIDER_HOST=" + s.providerHost}
		admin, err := s.adminAddress()
		if err != nil {
			return nil, err
		}
		if admin != "" {
			env = append(env, "ADMIN=admin "+admin)
		}
		t, err := s.startOther(ctx, name+"-"+era, env, func(string) []string {
			return []string{s.file(binary), "run", "--adapter", "caddyfile", "--config", filepath.Join(s.opts.Config, name+".Caddyfile")}
		})
		if err == nil {
			t.admin = admin
		}
		return t, err
	}
}

func (s *Suite) startFastMCP(ctx context.Context) (*target, error) {
	env := []string{
		"KEY=" + s.file("key.pem"), "PROVIDER=http://" + s.providerHost,
		"FASTMCP_LOG_LEVEL=WARNING", "FASTMCP_ENABLE_RICH_LOGGING=false",
	}
	return s.startOther(ctx, "fastmcp", env, func(port string) []string {
		return []string{
			s.file("fastmcp/bin/uvicorn"), "--app-dir", filepath.Join(s.opts.Config, "..", "fastmcp"), "--factory", "app:app",
			"--host", "127.0.0.1", "--port", port, "--log-level", "warning", "--no-access-log",
		}
	})
}

// startOther starts a command at a free port, with a data folder of its own.
func (s *Suite) startOther(ctx context.Context, name string, env []string, command func(port string) []string) (*target, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	host, data := "127.0.0.1:"+port, s.file("data-"+name)
	env = append(env, "SITE=http://"+host, "DATA="+data, "HOME="+data)
	p, err := start(ctx, s.opts.ServerCPU, s.file(name+".log"), env, command(port)...)
	if err != nil {
		return nil, err
	}
	took, err := p.ready(ctx, "http://"+host)
	if err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return newTarget(p, "http://"+host+"/mcp", nil, took)
}
