package altervault_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/altervault"
)

const assertPath = "/sdk/identity/assert"

// statement is what an assertion of the fake says.
type statement struct {
	Aud, Sub string
	Act      struct{ Sub string }
	Alter    struct {
		Subject string `json:"external_subject_id"`
	}
}

// asserted returns what the vault says of a person.
func (e *env) asserted(a altervault.Assertion) (statement, error) {
	e.Helper()
	signed, err := e.vault.AssertIdentity(e.Context(), a)
	if err != nil {
		return statement{}, err
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(signed.Reveal(), ".")[1])
	if err != nil {
		e.Fatal(err)
	}
	var s statement
	if err := json.Unmarshal(payload, &s); err != nil {
		e.Fatal(err)
	}
	return s, nil
}

func ofPerson(name string) altervault.Assertion {
	return altervault.Assertion{UserID: name, Audience: "https://crm.example.com", Tool: "list_orders"}
}

// Each is of one person, for one reader, and of the agent that acts.
func TestAssertIdentity(t *testing.T) {
	e := newEnv(t)
	for range 2 {
		for _, person := range []string{"alice", "bob"} {
			s, err := e.asserted(ofPerson(person))
			if err != nil || s.Alter.Subject != person || s.Aud != "https://crm.example.com" || s.Act.Sub != "" {
				t.Errorf("of %s: %+v, %v", person, s, err)
			}
		}
	}
	if n := e.fake.Count(assertPath); n != 2 {
		t.Errorf("the vault was asked %d times, want once for each person", n)
	}
	byAgent := ofPerson("alice")
	byAgent.Agent = agentName
	s, err := e.asserted(byAgent)
	if err != nil || s.Act.Sub != "alter:agent:"+altertest.AgentID(agentName) || s.Alter.Subject != "alice" {
		t.Errorf("by an agent: %+v, %v", s, err)
	}
	bodies := e.calls(assertPath)
	if last := bodies[len(bodies)-1]; last["ttl_seconds"] != 300.0 || last["include_profile"] != true || last["user_token"] == "" {
		t.Errorf("the vault got %v", last)
	}
	if _, err := e.asserted(altervault.Assertion{Audience: "https://crm.example.com"}); !errors.Is(err, vaultclient.ErrNoPerson) {
		t.Errorf("of nobody: %v, want ErrNoPerson", err)
	}
}

func TestAssertIdentityRefused(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		code   string
		want   string // of the message to the model
		logged string
	}{
		"a policy":          {403, "ip_not_allowed", "(ip_not_allowed)", ""},
		"no delegation":     {404, "no_delegated_grant", "(no_delegated_grant)", ""},
		"too many":          {429, "quota_exceeded", "quota is used up", ""},
		"a scope is absent": {403, "insufficient_scope", "not set up as it should be", "https://crm.example.com"},
		"away":              {503, "maintenance", "cannot be confirmed at the moment", ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			body, err := json.Marshal(map[string]string{"error": test.code})
			if err != nil {
				t.Fatal(err)
			}
			e.fake.AddFault(altertest.Fault{Path: assertPath, Times: -1, Status: test.status, Body: body})
			var told *altervault.ModelError
			if _, err := e.asserted(ofPerson("alice")); !errors.As(err, &told) || !strings.Contains(told.Message, test.want) {
				t.Errorf("%v, want a message with %q", err, test.want)
			}
			if test.logged != "" && !e.logged(test.logged) {
				t.Errorf("the log has no line with %q", test.logged)
			}
		})
	}
}

// A token that the vault refuses is replaced once, or the person logs in again.
func TestAssertIdentityOfARefusedToken(t *testing.T) {
	e := newEnv(t)
	expired := e.fake.UserToken("alice", -time.Hour)
	e.tokens.set("alice", expired)
	e.tokens.renewed = e.fake.UserToken("alice", time.Hour)
	if s, err := e.asserted(ofPerson("alice")); err != nil || s.Alter.Subject != "alice" {
		t.Errorf("with a token that can be renewed: %+v, %v", s, err)
	}
	for name, renewed := range map[string]string{"none": "", "one that is refused, too": expired} {
		e.tokens.set("bob", e.fake.UserToken("bob", -time.Hour))
		e.tokens.renewed = renewed
		if _, err := e.asserted(ofPerson("bob")); !errors.Is(err, altervault.ErrLoginRequired) {
			t.Errorf("with %s after a refused token: %v, want ErrLoginRequired", name, err)
		}
	}
}
