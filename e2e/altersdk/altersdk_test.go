// Package altersdk drives the real Python SDK of the Alter Vault through the
// fake vault of vaultclient/alter/altertest. What it sends, and what comes of
// it, is written down in the fake's testdata: the measure for our own client,
// whose tests compare, and the proof that the fake understands the real one.
package altersdk

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
)

var update = flag.Bool("update", false, "write vaultclient/alter/altertest/testdata/python-sdk.txt anew")

const (
	driveTimeout = 4 * time.Minute
	maxAnswer    = 32 << 20 // of the fake's controls, in bytes
)

// recordedStep is a step as the recording has it.
type recordedStep struct {
	Step       string            `json:"step"`
	Outcome    json.RawMessage   `json:"outcome"`
	Calls      []json.RawMessage `json:"calls"`
	Background []json.RawMessage `json:"background,omitempty"`
	Provider   []json.RawMessage `json:"provider,omitempty"`
}

func TestPythonSDK(t *testing.T) {
	line, base := startVault(t)
	outcomes := drive(t, line)

	var violations []struct{ Step, Method, Path, Code, Reason string }
	get(t, base+"/_fake/violations", &violations)
	for _, x := range violations {
		t.Errorf("step %q: the fake takes %s %s for a violation: %s: %s", x.Step, x.Method, x.Path, x.Code, x.Reason)
	}

	var steps []recordedStep
	get(t, base+"/_fake/recording", &steps)
	var b bytes.Buffer
	for i := range steps {
		steps[i].Outcome = outcomes[steps[i].Step]
		writeStep(t, &b, steps[i])
	}
	if len(steps) != len(outcomes) {
		t.Errorf("%d steps recorded, %d reported", len(steps), len(outcomes))
	}
	root, err := harness.Repository()
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join(root, "vaultclient", "alter", "altertest", "testdata", "python-sdk.txt")
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(b.String(), "\n")); diff != "" {
		t.Errorf("the SDK was recorded otherwise (-want +got):\n%s", diff)
	}
}

// writeStep writes a step with a line for each call, so that a difference is
// easy to see.
func writeStep(t *testing.T, b *bytes.Buffer, s recordedStep) {
	t.Helper()
	name, err := json.Marshal(s.Step)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(b, "step %s\n  outcome %s\n", name, s.Outcome)
	for _, part := range []struct {
		name  string
		calls []json.RawMessage
	}{{"call", s.Calls}, {"background", s.Background}, {"provider", s.Provider}} {
		for _, c := range part.calls {
			fmt.Fprintf(b, "  %s %s\n", part.name, c)
		}
	}
}

// startVault runs the fake in a process of its own, and returns the line that
// it prints and its base URL.
func startVault(t *testing.T) (line, base string) {
	t.Helper()
	root, err := harness.Repository()
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "altervault")
	if err := harness.GoBuild(root, binary, "./vaultclient/alter/altertest/altervault"); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), binary)
	cmd.Env = harness.Environment(t.TempDir())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting the fake vault: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the fake vault ended with %v", err)
		}
	})
	scanner := bufio.NewScanner(out)
	if !scanner.Scan() {
		t.Fatalf("the fake vault said nothing: %v", scanner.Err())
	}
	var where struct {
		BaseURL string `json:"base_url"`
	}
	if err := json.Unmarshal(scanner.Bytes(), &where); err != nil || where.BaseURL == "" {
		t.Fatalf("the fake vault says %q (%v)", scanner.Text(), err)
	}
	return scanner.Text(), where.BaseURL
}

// drive runs the script and returns the outcome of each step.
func drive(t *testing.T, line string) map[string]json.RawMessage {
	t.Helper()
	script, err := filepath.Abs("drive.py")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), driveTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, harness.Installed(t, "altersdk", "bin", "python"), script)
	cmd.Env = harness.Environment(t.TempDir(), "ALTERVAULT="+line)
	cmd.Dir = t.TempDir()
	var errors bytes.Buffer
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the script ended with %v:\n%s", err, errors.String())
	}
	outcomes := map[string]json.RawMessage{}
	for said := range strings.Lines(string(out)) {
		var s struct {
			Step    string
			Outcome json.RawMessage
			Failed  string
		}
		if err := json.Unmarshal([]byte(said), &s); err != nil {
			t.Fatalf("the script says %s: %v", said, err)
		}
		if s.Failed != "" {
			t.Errorf("step %q: %s", s.Step, s.Failed)
		}
		if outcomes[s.Step] != nil {
			t.Errorf("two steps are called %q", s.Step)
		}
		outcomes[s.Step] = s.Outcome
	}
	return outcomes
}

func get(t *testing.T, address string, v any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, v); err != nil {
		t.Fatalf("%s answers %d %.200s: %v", address, resp.StatusCode, body, err)
	}
}
