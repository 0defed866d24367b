package alter_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

const researchBot = "research-bot"

// step is one that the SDK was driven through, done with this client. do
// returns what the script of the SDK returns.
type step struct {
	caller  alter.Caller
	timeout time.Duration
	// waits between polls; else nothing is waited for, and nothing sent again.
	waits bool
	do    func(*world) (any, error)
}

// world is what a step works with.
type world struct {
	*alter.Client
	t     *testing.T
	vault *altertest.Vault
	ctx   context.Context //nolint:containedctx // of one step
}

// drive does a step against a fake of its own and returns the recording. It
// keeps no token and sends nothing again, as the SDK does.
func drive(t *testing.T, name string, s step) *recorded {
	t.Helper()
	bot := altertest.Agent{ID: altertest.AgentID(researchBot), Name: researchBot}
	v := altertest.Start(t, altertest.Config{Agents: []altertest.Agent{bot}})
	v.SetStep(name)
	queue, err := alter.NewAuditQueue(alter.AuditQueueConfig{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := alter.Config{
		APIKey: vaultclient.NewSecret(v.APIKey()), BaseURL: v.URL, Caller: s.caller, Timeout: s.timeout,
		Keep: -1, Audit: alter.AuditFull, Queue: queue,
	}
	if !s.waits {
		cfg.Sleep = func(context.Context, time.Duration) error { return errors.New("nothing is sent again") }
	}
	c, err := alter.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	outcome, err := s.do(&world{Client: c, t: t, vault: v, ctx: ctx})
	if err != nil {
		outcome = failure(t, err)
	}
	sendReports(t, queue, c)
	return recordingOf(t, v, outcome)
}

// sendReports returns when all that was reported beside the calls is sent.
func sendReports(t *testing.T, queue *alter.AuditQueue, c *alter.Client) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // without a spool, Run sends what waits before it ends
	if err := queue.Run(ctx, c); err != nil {
		t.Errorf("sending the records: %v", err)
	}
	c.Close()
}

func recordingOf(t *testing.T, v *altertest.Vault, outcome any) *recorded {
	t.Helper()
	steps := v.Recording()
	if len(steps) != 1 {
		t.Fatalf("%d steps recorded, want one", len(steps))
	}
	var r recorded
	parse(t, jsonOf(t, outcome), &r.Outcome)
	for part, calls := range map[string][]altertest.RecordedCall{
		"call": steps[0].Calls, "background": steps[0].Background, "provider": steps[0].Provider,
	} {
		if len(calls) > 0 {
			parse(t, jsonOf(t, calls), r.lists()[part])
		}
	}
	return &r
}

func (w *world) token(person string) vaultclient.Secret {
	return vaultclient.NewSecret(w.vault.UserToken(person, time.Hour))
}

// grant adds one of alice at google, unless g says otherwise.
func (w *world) grant(g altertest.Grant) altertest.Grant {
	if g.Person == "" {
		g.Person = "alice"
	}
	if g.Provider == "" {
		g.Provider = "google"
	}
	return w.vault.AddGrant(g)
}

// google is alice's grant there.
func (w *world) google() alter.Grant {
	return alter.Grant{Provider: "google", UserToken: w.token("alice")}
}

func (w *world) ok(path string) string { return w.vault.ProviderURL("ok") + path }

// answer is a provider's, as the scripts of the SDK tell it.
func answer(status int, body []byte) (any, error) {
	var value any
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&value); err != nil {
		return nil, fmt.Errorf("the provider's answer: %w", err)
	}
	return object{"status": status, "body": value}, nil
}

// until waits for a call to the vault.
func (w *world) until(is func(altertest.Call) bool) {
	w.t.Helper()
	for w.ctx.Err() == nil {
		for _, c := range w.vault.Calls() {
			if is(c) {
				return
			}
		}
		time.Sleep(time.Millisecond)
	}
	w.t.Error("the call did not come")
}
