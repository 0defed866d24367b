package altermcp

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the expected half of testdata/adapt")

const adaptSeparator = "\n----------\n"

// TestAdapt reads files of a Caddyfile, a line of ten dashes, and either the
// JSON that it adapts to or the error, in full, that it is rejected with.
func TestAdapt(t *testing.T) {
	files, err := filepath.Glob("testdata/adapt/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files (%v)", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, ok := strings.Cut(string(data), adaptSeparator)
			if !ok {
				t.Fatal("no separator line")
			}
			got := adaptText(t, input)
			if *update {
				if err := os.WriteFile(file, []byte(input+adaptSeparator+got+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(strings.TrimSpace(want), got); diff != "" {
				t.Errorf("adapting %s (-want +got):\n%s", file, diff)
			}
		})
	}
}

// adaptText returns the handler's JSON that a Caddyfile adapts to, or the error.
func adaptText(t *testing.T, input string) string {
	t.Helper()
	out, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(input+"\n"), nil)
	if err != nil {
		return err.Error()
	}
	for _, w := range warnings { // an unformatted input is one
		t.Errorf("line %d: %s", w.Line, w.Message)
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, out, "", "\t"); err != nil {
		t.Fatal(err)
	}
	return pretty.String()
}

// TestAdaptCoversSettings makes sure that each setting of the block has a golden
// that uses it and one for an error in it.
func TestAdaptCoversSettings(t *testing.T) {
	files, err := filepath.Glob("testdata/adapt/*.caddyfiletest")
	if err != nil {
		t.Fatal(err)
	}
	good, bad := map[string]bool{}, map[string]bool{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		input, want, _ := strings.Cut(string(data), adaptSeparator)
		seen := good
		if !strings.HasPrefix(strings.TrimSpace(want), "{") {
			seen = bad
		}
		for line := range strings.Lines(input) {
			if words := strings.Fields(line); len(words) > 0 {
				seen[words[0]] = true
			}
		}
	}
	for _, setting := range documentedSettings(t) {
		if !good[setting] {
			t.Errorf("no golden uses the setting %s", setting)
		}
		if !bad[setting] {
			t.Errorf("no golden shows an error in the setting %s", setting)
		}
	}
}

// documentedSettings are the words that begin a line in the syntax comments of
// the parse functions.
func documentedSettings(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	var settings []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			rest, ok := strings.CutPrefix(line, "//\t    ")
			if !ok {
				continue
			}
			for _, word := range strings.Split(strings.TrimSpace(rest), " | ") {
				word, _, _ = strings.Cut(word, " ")
				if word != "" && !strings.ContainsAny(word, "<>{}[]") && !seen[word] && word != "none" && word != "client_secret_basic" {
					seen[word] = true
					settings = append(settings, word)
				}
			}
		}
	}
	if len(settings) < 60 {
		t.Fatalf("found only %d settings in the syntax comments: %v", len(settings), settings)
	}
	return settings
}
