package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestQuick runs the whole benchmark, but for FastMCP, with a few calls and
// people: every answer is checked, and so is that each call asked the provider
// once.
func TestQuick(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	work := t.TempDir()
	cmd := exec.CommandContext(ctx, filepath.Join("..", "..", "run"), "-skip", "FastMCP", "-quick")
	cmd.Env = append(os.Environ(), "BENCH_WORK="+work)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	var out, progress strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &progress
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &progress)
	}
	table := out.String()
	for _, row := range []string{
		"`bench/run -skip FastMCP -quick`", "the figures are worth nothing",
		"| alter_mcp, stateless revision |", "| alter_mcp, handshake revision with session |", "| alter_mcp, stateless revision, TLS |",
		"| hand-written handler in Caddy, verified token kept, stateless revision |", "| net/http handler, no authentication, handshake revision |",
		"| Caddy reverse_proxy, no authentication, stateless revision |", "| hand-written net/http handler, ES256 at each call, handshake revision |",
		"| official Go SDK, stateless revision |", "| official Go SDK, handshake revision |",
		"| registration |", "| login by OpenID Connect", "| login with a password", "| refresh |", "| metadata |",
		"| 200 people have called |", "| the first after a start |",
		"| alter_mcp, the defaults: token kept, audit meta |", "1 × `/sdk/oauth/audit/api-call` |",
		"| alter_mcp, audit none |", "| none |", "1 × `/sdk/oauth/audit/api-call`, 1 × `/sdk/token` |",
		"Alter SDK on FastMCP, with sessions, as its guide has it | ≤ 1/40 = 0.0250 | - | not judged |",
		"FastMCP, handshake revision | ≤ 1/32 = 0.0313 | - | not judged |",
	} {
		if !strings.Contains(table, row) {
			t.Errorf("the tables do not hold %q", row)
		}
	}
	if t.Failed() {
		t.Log(table)
	}
}
