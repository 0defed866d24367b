package e2e

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
)

// TestIdentityTokens lets the authorization server keep and renew the tokens of an
// identity provider that others wrote. No setting of the Caddyfile asks for that
// by itself, so this is a test of the package and not of the whole server.
func TestIdentityTokens(t *testing.T) {
	idp := harness.StartIDP(t, "")
	root, err := harness.Repository()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // it may have to compile
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout=2m", "-v", "-tags=e2e", "-run=^TestRealProvider", "./authserver")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "E2E_ISSUER="+idp.Issuer, "E2E_CONTROL="+idp.Control)
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "\n--- PASS: TestRealProvider") != 2 {
		t.Fatalf("go test: %v\n%s", err, out)
	}
	renewals := 0
	for _, secrets := range idp.Seen().Secrets {
		if secrets["refresh_token"] != "" && secrets["code"] == "" {
			renewals++
		}
	}
	if renewals != 2 {
		t.Errorf("provider has renewed %d times, want 2", renewals)
	}
}
