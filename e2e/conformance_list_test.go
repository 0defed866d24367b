package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/e2e/harness"
)

// sums writes counts as the sections of the list do.
func sums(scenarios int, counts map[string]int) string {
	rest := maps.Clone(counts)
	text := fmt.Sprintf("%d scenarios", scenarios)
	for _, status := range []string{"SUCCESS", "FAILURE", "WARNING", "SKIPPED", "INFO"} {
		text += fmt.Sprintf(", %d %s", counts[status], status)
		delete(rest, status)
	}
	for status, count := range rest {
		text += fmt.Sprintf(", %d %s", count, status)
	}
	return text
}

// listedChecks reads a section of docs/conformance.md: a line with the sums, and
// a table whose rows are scenario, status, checks and reason.
func listedChecks(t *testing.T, title string) outcome {
	t.Helper()
	root, err := harness.Repository()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "conformance.md"))
	if err != nil {
		t.Fatalf("reading the list: %v", err)
	}
	_, section, ok := strings.Cut(string(text), "\n### "+title+"\n")
	if !ok {
		t.Fatalf("docs/conformance.md has no section %q", title)
	}
	section, _, _ = strings.Cut(section, "\n#")
	var o outcome
	for line := range strings.Lines(section) {
		line = strings.TrimSpace(line)
		cells := strings.Split(strings.Trim(line, "|"), "|")
		switch {
		case strings.Contains(line, " scenarios, "):
			o.sums = strings.TrimSuffix(line, ".")
		case len(cells) != 4 || !strings.HasPrefix(line, "| `"):
		case strings.TrimSpace(cells[3]) == "":
			t.Errorf("no reason is given in %s", line)
		default:
			scenario, status := strings.Trim(cells[0], " `"), strings.TrimSpace(cells[1])
			for id := range strings.FieldsSeq(cells[2]) {
				o.open = append(o.open, fmt.Sprintf("%s %s %s", scenario, status, strings.Trim(id, "`")))
			}
		}
	}
	slices.Sort(o.open)
	return o
}
