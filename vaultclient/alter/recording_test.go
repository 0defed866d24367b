package alter_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter/altertest"
)

// object is a JSON object.
type object = map[string]any

// recorded is what one client sent in a step, and what came of it.
type recorded struct {
	Outcome                     any
	Calls, Background, Provider []object
}

// lists are the parts of a recording that hold calls, by name.
func (r *recorded) lists() map[string]*[]object {
	return map[string]*[]object{"call": &r.Calls, "background": &r.Background, "provider": &r.Provider}
}

// TestRecordingOfPythonSDK drives the client through the steps that the vault's
// own SDK was driven through, and wants the same of it in all that is not listed
// in differences. What the SDK did is in altertest/testdata; e2e/altersdk wrote
// it, and checks that it is still so.
func TestRecordingOfPythonSDK(t *testing.T) {
	python, steps := readRecording(t), allSteps()
	applyDifferences(t, python)
	for name := range steps {
		if python.steps[name] == nil {
			t.Errorf("the SDK was not recorded in the step %q", name)
		}
	}
	for _, name := range python.names {
		t.Run(name, func(t *testing.T) {
			step, known := steps[name]
			if !known {
				t.Fatal("the SDK was recorded in this step, and this client is not driven through it")
			}
			if diff := cmp.Diff(python.steps[name], drive(t, name, step)); diff != "" {
				t.Errorf("sent or returned otherwise than by the SDK (-SDK +this):\n%s", diff)
			}
		})
	}
}

// allSteps are the steps of e2e/altersdk, done with this client.
func allSteps() map[string]step {
	all := map[string]step{}
	for _, some := range []map[string]step{
		callSteps(), proxySteps(), errorSteps(), signInSteps(), connectSteps(), grantSteps(),
	} {
		maps.Copy(all, some)
	}
	return all
}

type recording struct {
	names []string
	steps map[string]*recorded
}

// readRecording reads the lines that e2e/altersdk wrote.
func readRecording(t *testing.T) recording {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("altertest", "testdata", "python-sdk.txt"))
	if err != nil {
		t.Fatal(err)
	}
	all := recording{steps: map[string]*recorded{}}
	var step *recorded
	for line := range strings.Lines(string(text)) {
		part, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if part == "step" {
			var name string
			parse(t, []byte(value), &name)
			step = &recorded{}
			all.names, all.steps[name] = append(all.names, name), step
			continue
		}
		if part == "outcome" {
			parse(t, []byte(value), &step.Outcome)
			continue
		}
		list := step.lists()[part]
		if list == nil {
			t.Fatalf("the recording has the line %q", line)
		}
		var call object
		parse(t, []byte(value), &call)
		*list = append(*list, call)
	}
	return all
}

func parse(t *testing.T, text []byte, v any) {
	t.Helper()
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatalf("reading %.100s: %v", text, err)
	}
}

func jsonOf(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

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

// classes are the SDK's names of the kinds; first the special ones.
var classes = []struct {
	kind alter.Kind
	name string
}{
	{alter.ErrAgentInactive, "AgentInactiveError"},
	{alter.ErrAgentNotFound, "AgentNotFoundError"},
	{alter.ErrAgentRevoked, "AgentRevokedError"},
	{alter.ErrAmbiguousGrant, "AmbiguousGrantError"},
	{alter.ErrApprovalDenied, "ApprovalDeniedError"},
	{alter.ErrApprovalExpired, "ApprovalExpiredError"},
	{alter.ErrApprovalFailed, "ApprovalExecutionFailedError"},
	{alter.ErrApprovalTimedOut, "ApprovalTimeoutError"},
	{alter.ErrBlockedDestination, "BlockedDestinationError"},
	{alter.ErrCallerAgentMismatch, "CallerAgentMismatchError"},
	{alter.ErrCallerAgentResolution, "CallerAgentResolutionError"},
	{alter.ErrConnectConfig, "ConnectConfigError"},
	{alter.ErrConnectDenied, "ConnectDeniedError"},
	{alter.ErrConnectTimeout, "ConnectFlowError"},
	{alter.ErrConnect, "ConnectFlowError"},
	{alter.ErrCredentialRevoked, "CredentialRevokedError"},
	{alter.ErrGrantDeleted, "GrantDeletedError"},
	{alter.ErrGrantExpired, "GrantExpiredError"},
	{alter.ErrGrantNotFound, "GrantNotFoundError"},
	{alter.ErrGrantRevoked, "GrantRevokedError"},
	{alter.ErrInsufficientScope, "InsufficientScopeError"},
	{alter.ErrInvalidKey, "InvalidKeyError"},
	{alter.ErrKeyAppNotFound, "KeyAppNotFoundError"},
	{alter.ErrKeyExpired, "KeyExpiredError"},
	{alter.ErrKeyInactive, "KeyInactiveError"},
	{alter.ErrKeyRevoked, "KeyRevokedError"},
	{alter.ErrKeyRotationExpired, "KeyRotationExpiredError"},
	{alter.ErrLabelConflict, "SiblingLabelConflictError"},
	{alter.ErrNoDelegatedGrant, "NoDelegatedGrantError"},
	{alter.ErrNotDelegable, "GrantNotDelegableError"},
	{alter.ErrProviderUnauthorized, "ProviderUnauthorizedError"},
	{alter.ErrQuotaExceeded, "QuotaExceededError"},
	{alter.ErrRateLimited, "RateLimitError"},
	{alter.ErrRedactFailed, "RedactDischargeFailedError"},
	{alter.ErrRefreshInProgress, "TokenRefreshInProgressError"},
	{alter.ErrRequiresProxy, "RestrictedGrantRequiresProxyError"},
	{alter.ErrScopesMissing, "ScopeReauthRequiredError"},
	{alter.ErrSignIn, "AlterSDKError"},
	{alter.ErrStepUpRequired, "StepUpRequiredError"},
	{alter.ErrUserTokenRejected, "ReAuthRequiredError"},
	{alter.ErrPolicy, "PolicyViolationError"},
	{alter.ErrProviderUnreached, "NetworkError"},
	{alter.ErrMalformed, "BackendError"},
	{alter.ErrApproval, "BackendError"},
	{alter.ErrOperator, "BackendError"},
	{alter.ErrRefused, "BackendError"},
	{alter.ErrUnavailable, "BackendError"},
}

// failure tells an error in the SDK's words.
func failure(t *testing.T, err error) object {
	t.Helper()
	var e *alter.Error
	if !errors.As(err, &e) {
		t.Fatalf("an error that the SDK has no class for: %v", err)
	}
	told := object{"error": className(t, e)}
	for name, value := range map[string]int{
		"status_code": e.Status, "retry_after": int(e.RetryAfter.Seconds()),
		"max_session_age_seconds": int(e.MaxSessionAge.Seconds()),
	} {
		if value != 0 {
			told[name] = value
		}
	}
	if e.Code != "" {
		told["code"] = e.Code
	}
	if len(e.Missing) > 0 {
		told["missing_scopes"] = e.Missing
	}
	var accounts []string
	for _, candidate := range e.Candidates {
		accounts = append(accounts, candidate.Account)
	}
	if accounts != nil {
		told["account_identifiers"] = accounts
	}
	return told
}

func className(t *testing.T, e *alter.Error) string {
	t.Helper()
	if e.Status == 0 && errors.Is(e, context.DeadlineExceeded) && e.Kind != alter.ErrApprovalTimedOut {
		return "TimeoutError"
	}
	if e.Kind == alter.ErrUnavailable && e.Err != nil {
		return "NetworkError"
	}
	for _, class := range classes {
		if errors.Is(e, class.kind) {
			return class.name
		}
	}
	t.Fatalf("the kind %q has no class of the SDK", e.Kind)
	return ""
}

// outcomeOf is a part of a step's outcome that may be an error.
func outcomeOf[T any](w *world, value T, err error) any {
	w.t.Helper()
	if err != nil {
		return failure(w.t, err)
	}
	return value
}

// Of the world.

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
