package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/bearerproxy"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
	"github.com/alter-mcp/caddy-alter-mcp/e2e/mcpclient"
)

// suiteTimeout bounds one run of the official suite.
const suiteTimeout = 5 * time.Minute

// TestConformanceServer runs the server part of the official suite, in the
// released version and in the coming one with the sets of both eras, and holds
// every check that is not passed against the list in docs/conformance.md.
func TestConformanceServer(t *testing.T) {
	endpoint := newConformanceServer(t)
	runs := []struct {
		title  string // of the section in the list
		folder string // of the suite's package
		args   []string
	}{
		{"0.1.16, all", "conformance", []string{"--suite", "all"}},
		{"0.2.0-alpha.12, 2025-11-25", "ts", []string{"--requirements", "2025-11-25"}},
		{"0.2.0-alpha.12, 2026-07-28", "ts", []string{"--requirements", "2026-07-28"}},
	}
	for _, run := range runs {
		t.Run(run.title, func(t *testing.T) {
			suite := harness.Installed(t, run.folder, "node_modules", "@modelcontextprotocol", "conformance", "dist", "index.js")
			got := runSuite(t, suite, append(run.args, "--url", endpoint)...)
			want := listedChecks(t, run.title)
			if diff := cmp.Diff(want.open, got.open); diff != "" {
				t.Errorf("checks that are not passed (-listed +found):\n%s", diff)
			}
			t.Logf("sums: %s", got.sums)
			if want.sums != got.sums {
				t.Errorf("sums are %q, listed %q", got.sums, want.sums)
			}
		})
	}
}

// newConformanceServer starts a server with the suite's tools, logs in, and
// returns an endpoint that needs no token: the proxy in front adds it.
func newConformanceServer(t *testing.T) string {
	port := harness.FreePorts(t, 1)[0]
	proxy, err := bearerproxy.New(fmt.Sprintf("http://127.0.0.1:%d", port))
	if err != nil {
		t.Fatalf("starting the proxy: %v", err)
	}
	t.Cleanup(proxy.Close)
	files := httptest.NewServer(conformanceFiles(t))
	t.Cleanup(files.Close)
	folder, err := filepath.Abs(filepath.Join("testdata", "conformance"))
	if err != nil {
		t.Fatal(err)
	}
	s := harness.NewSite(t, filepath.Join(folder, "server.Caddyfile"), proxy.URL+"/mcp",
		fmt.Sprintf("E2E_PORT=%d", port), "E2E_PUBLIC_URL="+proxy.URL, "E2E_FILES="+files.URL, "E2E_SCHEMAS="+folder)
	s.Sites = []string{proxy.URL}
	c := logIn(t, s, newBrowser(t, s, alice), mcpclient.Modern)
	proxy.SetToken(c.Tokens.AccessToken)
	return s.Endpoint
}

// conformanceFiles is the service that the tools for an image, a sound and a
// failure call.
func conformanceFiles(t *testing.T) http.Handler {
	var dot bytes.Buffer
	if err := png.Encode(&dot, image.NewGray(image.Rect(0, 0, 1, 1))); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	serve := func(path, kind string, content []byte) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			_, _ = w.Write(content)
		})
	}
	serve("GET /image.png", "image/png", dot.Bytes())
	serve("GET /audio.wav", "audio/wav", silence())
	mux.HandleFunc("GET /failure", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "this service always fails", http.StatusInternalServerError)
	})
	return mux
}

// silence is a WAV file of eight samples.
func silence() []byte {
	const samples, rate = 8, 8000
	b := []byte("RIFF")
	b = binary.LittleEndian.AppendUint32(b, 36+samples)
	b = append(b, "WAVEfmt "...)
	b = binary.LittleEndian.AppendUint32(b, 16)   // bytes of the format
	b = binary.LittleEndian.AppendUint16(b, 1)    // PCM
	b = binary.LittleEndian.AppendUint16(b, 1)    // channel
	b = binary.LittleEndian.AppendUint32(b, rate) // samples a second
	b = binary.LittleEndian.AppendUint32(b, rate) // bytes a second
	b = binary.LittleEndian.AppendUint16(b, 1)    // byte a sample
	b = binary.LittleEndian.AppendUint16(b, 8)    // bits a sample
	b = append(b, "data"...)
	b = binary.LittleEndian.AppendUint32(b, samples)
	return append(b, bytes.Repeat([]byte{0x80}, samples)...)
}

// outcome is what a run of the suite gave, or what is listed of it.
type outcome struct {
	open []string // "scenario status check" of what is not passed, sorted
	sums string   // of all checks by status
}

// runSuite runs the suite's server part. That it ends with an error is in order
// while there are checks that fail.
func runSuite(t *testing.T, suite string, args ...string) outcome {
	t.Helper()
	out := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), suiteTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, harness.Installed(t, "bin", "node"), slices.Concat([]string{suite, "server", "-o", out}, args)...)
	cmd.Env = harness.Environment(t.TempDir())
	text, err := cmd.CombinedOutput()
	if ended := new(exec.ExitError); err != nil && (!errors.As(err, &ended) || ended.ExitCode() != 1) {
		t.Fatalf("running the suite: %v\n%s", err, text)
	}
	files, err := filepath.Glob(filepath.Join(out, "*", "checks.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("suite left no results (%v):\n%s", err, text)
	}
	var o outcome
	counts := make(map[string]int)
	for _, file := range files {
		scenario := scenarioOf(t, file)
		for _, check := range readChecks(t, file) {
			counts[check.Status]++
			if check.Status != "SUCCESS" {
				o.open = append(o.open, fmt.Sprintf("%s %s %s", scenario, check.Status, check.ID))
			}
		}
	}
	slices.Sort(o.open)
	o.sums = sums(len(files), counts)
	return o
}

// scenarioOf reads the scenario's name from the folder of its results, such as
// server-ping-2026-11-23T03-18-58-386Z.
func scenarioOf(t *testing.T, file string) string {
	t.Helper()
	name := filepath.Base(filepath.Dir(file))
	match := regexp.MustCompile(`^server-(.+)-\d{4}-\d\d-\d\dT[-\d]+Z$`).FindStringSubmatch(name)
	if match == nil {
		t.Fatalf("results are in %s, want server-<scenario>-<time>", name)
	}
	return match[1]
}
