package altermcp

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
	"github.com/alter-mcp/caddy-alter-mcp/mcphandler"
)

// namedTool is a tool that is nothing but its name.
type namedTool string

func (n namedTool) Describe() mcphandler.Description {
	return mcphandler.Description{Name: string(n), InputSchema: []byte(`{"type":"object"}`)}
}

func (n namedTool) Call(context.Context, *mcphandler.Call) (*mcphandler.Result, error) {
	return mcphandler.TextResult(string(n)), nil
}

// The list and the look-up decide by the same rules.
func TestPolicySource(t *testing.T) {
	static, err := mcphandler.NewStaticSource([]mcphandler.Tool{namedTool("open"), namedTool("ops"), namedTool("both")})
	if err != nil {
		t.Fatal(err)
	}
	ops, notBob := &Rules{Allow: []Rule{{Group: []string{"ops"}}}}, &Rules{Deny: []Rule{{Subject: []string{"bob"}}}}
	source := newPolicySource(static, map[string][]*Rules{"ops": {ops}, "both": {ops, notBob}})
	for name, tc := range map[string]struct {
		caller mcphandler.Caller
		want   []string
	}{
		"nobody in particular": {mcphandler.Caller{Subject: "alice"}, []string{"open"}},
		"of the group":         {mcphandler.Caller{Subject: "alice", Groups: []string{"ops"}}, []string{"both", "open", "ops"}},
		"of the group, denied": {mcphandler.Caller{Subject: "bob", Groups: []string{"ops"}}, []string{"open", "ops"}},
	} {
		t.Run(name, func(t *testing.T) {
			listed, err := source.List(context.Background(), &tc.caller)
			if err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			for _, tool := range listed {
				seen[tool.Describe().Name] = true
			}
			var found []string
			for _, name := range []string{"both", "open", "ops", "none"} {
				tool, err := source.Lookup(context.Background(), &tc.caller, name)
				if err != nil {
					t.Fatal(err)
				}
				if (tool != nil) != seen[name] {
					t.Errorf("%s is listed: %v, found: %v", name, seen[name], tool != nil)
				}
				if tool != nil {
					found = append(found, name)
				}
			}
			if diff := cmp.Diff(tc.want, found); diff != "" {
				t.Errorf("tools (-want +got):\n%s", diff)
			}
		})
	}
	if newPolicySource(static, nil) != mcphandler.Source(static) {
		t.Error("without rules the source is wrapped all the same")
	}
}

// Where accounts are the one way in, a rule that matches none of them is a slip of
// the pen: a deny would let in whom it means.
func TestWarnIdle(t *testing.T) {
	person := func(subject string, p authserver.Profile) *localAccount {
		return &localAccount{person: authserver.Person{Issuer: localIssuer, Subject: subject, Profile: p}}
	}
	local := &LocalIdentity{byName: map[string]*localAccount{
		"alice": person("alice", authserver.Profile{Email: "alice@acme.com", EmailVerified: true, Groups: []string{"ops"}}),
		"bob":   person("bob", authserver.Profile{}),
	}}
	for name, tc := range map[string]struct {
		identity identityModule
		rules    Rules
		want     int
	}{
		"no rules":           {local, Rules{}, 0},
		"all match somebody": {local, Rules{Allow: []Rule{{Group: []string{"ops"}}, {Any: true}}, Deny: []Rule{{Subject: []string{"Bob", "eve"}}}}, 0},
		"nobody":             {local, Rules{Allow: []Rule{{Domain: []string{"acme.example"}}}, Deny: []Rule{{Subject: []string{"bobb"}}}}, 2},
		"people unknown yet": {&OIDCIdentity{}, Rules{Deny: []Rule{{Subject: []string{"bobb"}}}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			core, log := observer.New(zapcore.WarnLevel)
			h := &Handler{logger: zap.New(core)}
			h.guests.identity = tc.identity
			h.warnIdle(&tc.rules, zap.String("tool", "t"))
			if log.Len() != tc.want {
				t.Errorf("%d lines, want %d: %v", log.Len(), tc.want, log.All())
			}
		})
	}
}
