// Package suite starts the server under test and its peers in turn, gives them
// the same work, and makes a table of what it cost.
package suite

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/client"
	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/peer"
)

// Options of a run.
type Options struct {
	Work   string // folder of binaries, data and logs
	Config string // folder of the Caddyfiles

	// LoadCPU and ServerCPU are the numbers of the CPUs that everything else and
	// the server under test run on.
	LoadCPU, ServerCPU string

	Rounds int
	Calls  int // per system and round; fewer for slow ones
	People int // who call
	Crowd  int // people in the measurement of memory
	Flows  int // logins, registrations and refreshes per round
	// Only and Skip choose systems by their names; nil means all, and none.
	Only, Skip *regexp.Regexp
	// Quick waits for nothing to settle: the figures are worth nothing.
	Quick bool
	// Profile is the folder for CPU profiles of the server under test, or empty.
	Profile string
}

// Suite is a run under way.
type Suite struct {
	opts     Options
	progress func(string, ...any)

	provider, idp *process
	providerHost  string
	idpHost       string
	vault         *process // while the Alter Vault is measured
	vaultHost     string
	keys          *peer.Keys
	rows          []*row
	auth          []*authRow
	memory        *memory
	alter         []*alterRow
}

// tenant is an installation of the server under test with its people.
type tenant struct {
	data, site, endpoint string
	config               string // file of the Caddyfile
	admin                string // address of Caddy's admin endpoint, while profiles are taken
	env                  []string
	roots                *x509.CertPool
	client               string
	people               []person
}

// person is somebody who logged in, and connected an account where that is said.
type person struct {
	client.Person
	tokens *client.Tokens
}

// New starts the providers. Close ends them.
func New(ctx context.Context, o Options, progress func(string, ...any)) (*Suite, error) {
	s := &Suite{opts: o, progress: progress}
	var err error
	if err = os.MkdirAll(o.Work, 0o700); err != nil {
		return nil, err
	}
	if s.keys, err = peer.NewKeys(s.file("key.pem")); err != nil {
		return nil, err
	}
	if s.provider, s.providerHost, _, err = s.startPeer(ctx, "provider", "provider", s.opts.LoadCPU); err != nil {
		return nil, err
	}
	s.idp, s.idpHost, _, err = s.startPeer(ctx, "idp", "idp", s.opts.LoadCPU)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close ends the providers.
func (s *Suite) Close() error {
	var errs []error
	for _, p := range []*process{s.provider, s.idp, s.vault} {
		if p != nil {
			errs = append(errs, p.stop())
		}
	}
	return errors.Join(errs...)
}

func (s *Suite) file(name string) string { return filepath.Join(s.opts.Work, name) }

// startPeer starts one of the servers of cmd/peers, and returns where it listens
// and how long it took to answer. Its log is called after what it is for.
func (s *Suite) startPeer(ctx context.Context, name, use, cpu string) (*process, string, time.Duration, error) {
	port, err := freePort()
	if err != nil {
		return nil, "", 0, err
	}
	host := "127.0.0.1:" + port
	p, err := start(ctx, cpu, s.file(use+".log"), nil, s.file("peers"), "-addr", host,
		"-provider", "http://"+s.providerHost, "-key", s.file("key.pem"), name)
	if err != nil {
		return nil, "", 0, err
	}
	took, err := p.ready(ctx, "http://"+host)
	if err != nil {
		return nil, "", 0, errors.Join(err, p.stop())
	}
	return p, host, took, nil
}

// answered returns how many requests with a good token the provider has had.
func (s *Suite) answered(ctx context.Context) (int, error) {
	text, err := read(ctx, "http://"+s.providerHost+"/count")
	if err != nil {
		return 0, fmt.Errorf("asking the provider: %w", err)
	}
	return strconv.Atoi(text)
}

// settle returns how long a server that was just started is left alone.
func (s *Suite) settle() time.Duration {
	if s.opts.Quick {
		return 50 * time.Millisecond
	}
	return time.Second
}

// openSeconds returns how long the open loop lasts.
func (s *Suite) openSeconds() int {
	if s.opts.Quick {
		return 1
	}
	return openSeconds
}

// newTenant prepares an installation of the server under test: a site on a port
// of its own and an empty data folder.
func (s *Suite) newTenant(name, scheme, identity string) (*tenant, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	data := s.file("data-" + name)
	if err := os.RemoveAll(data); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	t := &tenant{data: data, config: "ours.Caddyfile", site: scheme + "://localhost:" + port}
	t.endpoint = t.site + "/mcp"
	t.env = []string{
		"SITE=" + t.site, "DATA=" + data, "IDENTITY=" + identity, "IDP=http://" + s.idpHost,
		"PROVIDER=http://" + s.providerHost, "PROVIDER_HOST=" + s.providerHost, "HOME=" + data,
	}
	if t.admin, err = s.adminAddress(); err != nil {
		return nil, err
	}
	if t.admin != "" {
		t.env = append(t.env, "ADMIN=admin "+t.admin)
	}
	if scheme == "https" {
		t.env = append(t.env, "TLS=tls internal")
	}
	return t, nil
}

// startTenant starts the server under test.
func (s *Suite) startTenant(ctx context.Context, t *tenant) (*process, time.Duration, error) {
	u, err := url.Parse(t.site)
	if err != nil {
		return nil, 0, err
	}
	p, err := start(ctx, s.opts.ServerCPU, filepath.Join(t.data, "server.log"), t.env, s.file("caddy"), "run",
		"--adapter", "caddyfile", "--config", filepath.Join(s.opts.Config, t.config))
	if err != nil {
		return nil, 0, err
	}
	took, err := p.ready(ctx, t.site)
	if err == nil && u.Scheme == "https" {
		err = t.awaitCertificate(ctx, u.Host)
	}
	if err != nil {
		return nil, 0, errors.Join(err, p.stop())
	}
	return p, took, nil
}

// awaitCertificate waits until Caddy has issued the site's certificate, which is
// some time after it began to listen.
func (t *tenant) awaitCertificate(ctx context.Context, host string) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for {
		err := t.trust()
		if err == nil {
			dialer := tls.Dialer{Config: &tls.Config{RootCAs: t.roots, MinVersion: tls.VersionTLS13}}
			var conn net.Conn
			if conn, err = dialer.DialContext(ctx, "tcp", host); err == nil {
				return conn.Close()
			}
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// trust reads the certificate of Caddy's own authority.
func (t *tenant) trust() error {
	text, err := os.ReadFile(filepath.Join(t.data, "caddy", "pki", "authorities", "local", "root.crt"))
	if err != nil {
		return err
	}
	t.roots = x509.NewCertPool()
	if !t.roots.AppendCertsFromPEM(text) {
		return errors.New("the root certificate does not parse")
	}
	return nil
}
