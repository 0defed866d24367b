package nodes

import (
	"errors"
	"strings"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// TestOtherKey: a node with another key does not start, and harms nothing; one that
// has both does, and all is readable when every node has the new one alone.
//
// Security VAULT-05.
func TestOtherKey(t *testing.T) {
	s := start(t, 1, longLife)
	c, b := logIn(t, s.nodes[0], mcpclient.Modern)
	link, err := ask(t, c)
	must(t, err)
	connect(t, b, link)

	other := newKey()
	stranger := s.add(t, other)
	if stranger.TryStart() || !strings.Contains(stranger.Log(), "sealed with another encryption key") {
		t.Errorf("a node with another key starts, or does not say why not:\n%s", stranger.Log())
	}
	stranger.ExpectErrors("sealed with another encryption key")
	both := s.add(t, other, s.key)
	both.Restart()
	if link, err := ask(t, at(c, both)); err != nil || link != "" {
		t.Errorf("at a node with the new key and the old one ask gives the link %q, %v", link, err)
	}
	within(t, healed, "sealing all by the new key", func() error {
		if !strings.Contains(both.Log(), "all that is stored is sealed by the current encryption key") {
			return errors.New("the log does not say so")
		}
		return nil
	})
	s.nodes[0].Kill()
	alone := s.add(t, other)
	alone.Restart()
	if link, err := ask(t, at(c, alone)); err != nil || link != "" {
		t.Errorf("at a node with the new key alone ask gives the link %q, %v", link, err)
	}
}

// TestReloadKeepsConnections: a reload with the same database uses the connections
// that are there.
func TestReloadKeepsConnections(t *testing.T) {
	s := start(t, 1, longLife)
	c, _ := logIn(t, s.nodes[0], mcpclient.Modern)
	before := s.connections(t)
	for range 3 {
		s.nodes[0].Reload(s.nodes[0].Admin, "E2E_TIMEOUT=3s")
		must(t, whoami(t, c))
		s.nodes[0].Reload(s.nodes[0].Admin)
		must(t, whoami(t, c))
	}
	if after := s.connections(t); before == "" || after != before {
		t.Errorf("connections before %q, after %q, want the same", before, after)
	}
}

func (s *cluster) connections(t *testing.T) string {
	t.Helper()
	pids, err := database.SQL(s.database, "SELECT pid FROM pg_stat_activity WHERE application_name = 'alter_mcp' ORDER BY pid")
	must(t, err)
	return pids
}

// TestValidateTouchesNothing: `caddy validate` makes no table and no connection.
func TestValidateTouchesNothing(t *testing.T) {
	s := prepare(t, 1, longLife)
	if out, err := s.nodes[0].Validate(); err != nil {
		t.Errorf("caddy validate = %v\n%s", err, out)
	}
	tables, err := database.SQL(s.database, "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'")
	if err != nil || tables != "0" {
		t.Errorf("%s tables after caddy validate, %v", tables, err)
	}
	must(t, database.Stop()) // what would connect could not
	out, err := s.nodes[0].Validate()
	must(t, database.Start())
	if err != nil {
		t.Errorf("caddy validate without the database = %v\n%s", err, out)
	}
}
