package suite

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/client"
	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/measure"
)

const (
	authWorkers = 16
	// localPeople have an account in the Caddyfile of the local logins.
	localPeople = 64
	// bcryptCost is the least there is: the default, 10, takes 64 times as long
	// and would be all that is seen.
	bcryptCost = bcrypt.MinCost
	password   = "bench-password"
)

// authRow is one kind of work for the authorization server.
type authRow struct {
	name           string
	cpu, perSecond measure.Spread
	p50            measure.Spread
	speed          measure.Spread // of the machine, in each round
}

func (r *authRow) add(c *cost, speed float64) {
	r.speed = append(r.speed, speed)
	r.cpu = append(r.cpu, c.perCall)
	r.perSecond = append(r.perSecond, c.PerSecond())
	r.p50 = append(r.p50, milliseconds(c.Quantile(.5)))
}

// Names of what is measured.
const (
	registerName   = "registration"
	oidcLoginName  = "login by OpenID Connect: authorize, consent, login, ID token, code, tokens"
	localLoginName = "login with a password: authorize, consent, login, code, tokens"
	refreshName    = "refresh"
	metadataName   = "metadata"
)

// Auth measures the authorization server of the server under test.
func (s *Suite) Auth(ctx context.Context) error {
	for _, name := range []string{registerName, oidcLoginName, refreshName, metadataName, localLoginName} {
		s.auth = append(s.auth, &authRow{name: name})
	}
	for round := range s.opts.Rounds {
		if err := s.authRound(ctx, "oidc.identity", s.auth[:4]); err != nil {
			return err
		}
		identity, err := s.localIdentity()
		if err != nil {
			return err
		}
		if err := s.authRound(ctx, identity, s.auth[4:]); err != nil {
			return err
		}
		s.progress("round %d: authorization server", round+1)
	}
	return nil
}

// localIdentity writes an identity with accounts and returns its file.
func (s *Suite) localIdentity() (string, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcryptCost)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("identity local {\n")
	for i := range localPeople {
		fmt.Fprintf(&b, "\tuser %s %s\n", personName(i), hash)
	}
	b.WriteString("}\n")
	file, err := filepath.Abs(s.file("local.identity"))
	if err != nil {
		return "", err
	}
	return file, os.WriteFile(file, []byte(b.String()), 0o600)
}

// authRound measures some kinds of work on a new installation.
func (s *Suite) authRound(ctx context.Context, identity string, rows []*authRow) error {
	t, err := s.newTenant("auth", "http", identity)
	if err != nil {
		return err
	}
	p, _, err := s.startTenant(ctx, t)
	if err != nil {
		return err
	}
	time.Sleep(s.settle())
	speed, err := machineSpeed()
	if err != nil {
		return errors.Join(err, p.stop())
	}
	work, err := newAuthWork(t, s.opts.Flows)
	if err == nil {
		defer work.close()
		for _, r := range rows {
			var c *cost
			profiled := s.profile(ctx, r.name, t.admin)
			c, err = s.measureCost(p.pid(), measure.Plan{Workers: authWorkers, Calls: s.opts.Flows}, work.op(r.name))
			if err = errors.Join(err, <-profiled); err != nil {
				err = fmt.Errorf("%s: %w", r.name, err)
				break
			}
			r.add(c, speed)
		}
	}
	return errors.Join(err, p.stop())
}

// authWork is what the workers share.
type authWork struct {
	browsers []*client.Browser
	conns    []*client.Conn
	server   *client.Server
	client   string
	metadata *url.URL
	tokens   []*client.Tokens
}

func newAuthWork(t *tenant, flows int) (*authWork, error) {
	w := &authWork{tokens: make([]*client.Tokens, flows)}
	for range authWorkers {
		w.browsers = append(w.browsers, client.NewBrowser(t.roots))
	}
	var err error
	if w.server, err = w.browsers[0].Discover(t.endpoint); err != nil {
		return nil, err
	}
	if w.client, err = w.browsers[0].Register(w.server, "bench"); err != nil {
		return nil, err
	}
	address, err := client.MetadataURL(t.endpoint)
	if err != nil {
		return nil, err
	}
	if w.metadata, err = url.Parse(address); err != nil {
		return nil, err
	}
	for range authWorkers {
		w.conns = append(w.conns, client.NewConn(w.metadata, t.roots))
	}
	// The first login reads the identity provider's configuration, and makes the
	// signing key.
	w.browsers[0].Sit(client.Person{Name: personName(0), Password: password})
	_, err = w.browsers[0].Login(w.server, w.client)
	return w, err
}

func (w *authWork) close() {
	for i := range w.browsers {
		w.browsers[i].Close()
		w.conns[i].Close()
	}
}

// op returns one piece of the work that a row is about.
func (w *authWork) op(name string) func(worker, i int) error {
	switch name {
	case registerName:
		return func(worker, i int) error {
			_, err := w.browsers[worker].Register(w.server, fmt.Sprintf("bench client %d", i))
			return err
		}
	case refreshName:
		return func(worker, i int) error {
			tokens, err := w.browsers[worker].Refresh(w.server, w.client, w.tokens[i])
			w.tokens[i] = tokens
			return err
		}
	case metadataName:
		return func(worker, _ int) error {
			reply, err := w.conns[worker].Do("GET", w.metadata.RequestURI(), nil, nil)
			if err == nil && (reply.Status != 200 || !strings.Contains(string(reply.Body), w.server.Issuer)) {
				err = fmt.Errorf("status %d", reply.Status)
			}
			return err
		}
	}
	return func(worker, i int) error {
		w.browsers[worker].Sit(client.Person{Name: personName(i % localPeople), Password: password})
		tokens, err := w.browsers[worker].Login(w.server, w.client)
		w.tokens[i] = tokens
		return err
	}
}
