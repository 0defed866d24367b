package altermcp

import (
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const featureTables = "docs/coming-from-the-python-sdk.md"

// TestFeatureTables keeps the tables of docs/coming-from-the-python-sdk.md true:
// no row is missing, each says whether it is so here, and what is so has tests,
// which are in the files that the row links to.
func TestFeatureTables(t *testing.T) {
	text, err := os.ReadFile(featureTables)
	if err != nil {
		t.Fatal(err)
	}
	there := make(map[string]bool)
	for _, f := range testFunctions(t) {
		there[f.file+" "+f.name] = true
	}
	for heading, rows := range map[string]int{"## Features": 40, "## Done otherwise": 31} {
		_, section, found := strings.Cut(string(text), "\n"+heading+"\n")
		if !found {
			t.Errorf("%s: is missing", heading)
			continue
		}
		section, _, _ = strings.Cut(section, "\n## ")
		if n := checkFeatures(t, heading, section, there); n != rows {
			t.Errorf("%s: has %d rows, want %d", heading, n, rows)
		}
	}
}

var (
	featureRow  = regexp.MustCompile(`(?m)^\| (\d+) \| ([^|]+) \| ([^|]+) \| ([^|]*)\|$`)
	featureWord = regexp.MustCompile(`^(yes|in part|no|does not arise)\b`)
	featureTest = regexp.MustCompile(`^\[(\w+)\]\(([^)]+)\)$`)
)

// checkFeatures checks the rows of a table and returns how many there are.
func checkFeatures(t *testing.T, heading, section string, there map[string]bool) int {
	t.Helper()
	rows := featureRow.FindAllStringSubmatch(section, -1)
	for i, row := range rows {
		if row[1] != strconv.Itoa(i+1) {
			t.Errorf("%s: row %s is in the place of %d", heading, row[1], i+1)
		}
		word := featureWord.FindString(row[3])
		tests := strings.TrimSpace(row[4])
		switch {
		case word == "":
			t.Errorf("%s: row %s does not say whether it is so: %q", heading, row[1], row[3])
		case tests == "" && (word == "yes" || word == "in part"):
			t.Errorf("%s: row %s says %s and has no test", heading, row[1], word)
		}
		if tests == "" {
			continue
		}
		for test := range strings.SplitSeq(tests, ", ") {
			link := featureTest.FindStringSubmatch(test)
			if link == nil {
				t.Errorf("%s: row %s names no test: %q", heading, row[1], test)
				continue
			}
			if file := path.Join(path.Dir(featureTables), link[2]); !there[file+" "+link[1]] {
				t.Errorf("%s: row %s: %s has no %s", heading, row[1], file, link[1])
			}
		}
	}
	return len(rows)
}
