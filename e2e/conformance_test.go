package e2e

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/browser"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// TestConformanceAuthorization runs the authorization part of the official
// suite, which gets a client that was registered before.
func TestConformanceAuthorization(t *testing.T) {
	s := newServer(t)
	c := mcpclient.New(s.Endpoint, mcpclient.Modern)
	if err := c.Discover(t.Context()); err != nil {
		t.Fatalf("discovery: %v", err)
	}
	port := strconv.Itoa(harness.FreePorts(t, 1)[0])
	if err := c.Register(t.Context(), "conformance", "http://127.0.0.1:"+port+"/callback"); err != nil {
		t.Fatalf("registration: %v", err)
	}
	suite := harness.Installed(t, "ts", "node_modules", "@modelcontextprotocol", "conformance", "dist", "index.js")
	out := t.TempDir()
	run := harness.StartScript(t, scriptTimeout, harness.Environment(t.TempDir()), harness.Installed(t, "bin", "node"),
		suite, "authorization", "--url", c.Server.Issuer, "--client-id", c.ClientID, "--port", port, "-o", out)
	address := run.Find(authorizeAddress(c.Server.AuthorizationEndpoint))
	run.Find(func(line string) (string, bool) { return line, strings.Contains(line, "Callback server started") })
	if stop := open(t, newBrowser(t, s, alice), address, browser.Visit{}); !stop.Client {
		t.Fatalf("login ended on the page %q: %s", stop.Page.Title, stop.Page.Text)
	}
	run.End()
	checkConformance(t, out, map[string]int{"SUCCESS": 3})
}

// authorizeAddress finds an address of the authorization endpoint in a line.
func authorizeAddress(endpoint string) func(string) (string, bool) {
	return func(line string) (string, bool) {
		for word := range strings.FieldsSeq(line) {
			if u, err := url.Parse(word); err == nil && strings.HasPrefix(word, endpoint+"?") && u.Query().Has("client_id") {
				return word, true
			}
		}
		return "", false
	}
}

// checkConformance counts the checks of a run of the official suite by status.
func checkConformance(t *testing.T, out string, want map[string]int) {
	t.Helper()
	got := make(map[string]int)
	files, err := filepath.Glob(filepath.Join(out, "*", "checks.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		for _, check := range readChecks(t, file) {
			got[check.Status]++
			if check.Status != "SUCCESS" {
				t.Errorf("%s: %s %s: %s", filepath.Base(filepath.Dir(file)), check.ID, check.Status, check.ErrorMessage)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("checks in %d files by status (-want +got):\n%s", len(files), diff)
	}
}

// check is one check of the official suite.
type check struct {
	ID           string `json:"id"`
	Status       string `json:"status"`
	ErrorMessage string `json:"errorMessage"`
}

func readChecks(t *testing.T, file string) []check {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var checks []check
	if err := json.Unmarshal(text, &checks); err != nil {
		t.Fatalf("reading %s: %v", file, err)
	}
	return checks
}
