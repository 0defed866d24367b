package altermcp

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	securityTable = "docs/security.md"
	notYet        = "Not yet" // begins the note of a row that lacks its test
)

var (
	// securityNumber is a number, or a range of them such as "RS-02 to RS-08".
	securityNumber = regexp.MustCompile(`\b([A-Z]+)-(\d\d)\b(?: to ([A-Z]+)-(\d\d)\b)?`)
	securityRow    = regexp.MustCompile(`^\| ([A-Z]+-\d\d) \| ([^|]+) \| ([^|]*) \| ([^|]*) \|$`)
	securityTotal  = regexp.MustCompile(`\b(\d+) requirements\b`)
)

// requirement is a row of docs/security.md.
type requirement struct {
	number, words string
	tests         []string // such as "authserver: TestRegister"
	note          string   // why there is no test, or what the tests leave out
}

func (r requirement) String() string {
	return fmt.Sprintf("| %s | %s | %s | %s |", r.number, r.words, strings.Join(r.tests, "; "), r.note)
}

// TestSecurityTable keeps docs/security.md true: all numbers are there, each with
// the very tests whose comments name it, or with the reason why there is none.
// With -update it fills the tests in.
func TestSecurityTable(t *testing.T) {
	text, err := os.ReadFile(securityTable)
	if err != nil {
		t.Fatal(err)
	}
	rows := readRequirements(t, string(text))
	named := testsByNumber(t, rows)
	if *update {
		for i, row := range rows {
			rows[i].tests = named[row.number]
			if len(rows[i].tests) > 0 && strings.HasPrefix(row.note, notYet) {
				rows[i].note = ""
			}
			text = []byte(strings.Replace(string(text), row.String(), rows[i].String(), 1))
		}
		if err := os.WriteFile(securityTable, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range readRequirements(t, string(text)) {
		if want := named[row.number]; !slices.Equal(row.tests, want) {
			t.Errorf("%s: tests in the table are %q, those that name it are %q; -update fills them in", row.number, row.tests, want)
		}
		if len(row.tests) == 0 && row.note == "" {
			t.Errorf("%s: has neither a test nor a reason for none", row.number)
		}
		if len(row.tests) > 0 && (strings.HasPrefix(row.note, notYet) || strings.HasPrefix(row.note, "Does not apply")) {
			t.Errorf("%s: has tests, and a note that there can be none", row.number)
		}
	}
	checkComplete(t, string(text), rows)
}

func readRequirements(t *testing.T, text string) []requirement {
	t.Helper()
	var rows []requirement
	for line := range strings.Lines(text) {
		cells := securityRow.FindStringSubmatch(strings.TrimSpace(line))
		if cells == nil {
			if securityNumber.MatchString(line) && strings.HasPrefix(line, "|") {
				t.Errorf("row is of another form: %s", line)
			}
			continue
		}
		row := requirement{number: cells[1], words: cells[2], note: cells[4]}
		if cells[3] != "" {
			row.tests = strings.Split(cells[3], "; ")
		}
		rows = append(rows, row)
	}
	return rows
}

// checkComplete makes sure that no number is missing: within a prefix they count
// from 01 on, and their sum is what the text says.
func checkComplete(t *testing.T, text string, rows []requirement) {
	t.Helper()
	numbers := make(map[string][]int)
	for _, row := range rows {
		prefix, digits, _ := strings.Cut(row.number, "-")
		n, err := strconv.Atoi(digits)
		if err != nil {
			t.Fatal(err)
		}
		numbers[prefix] = append(numbers[prefix], n)
	}
	for prefix, list := range numbers {
		slices.Sort(list)
		for i, n := range list {
			if n != i+1 {
				t.Errorf("%s-%02d: is missing, or the one before it is there twice", prefix, i+1)
				break
			}
		}
	}
	said := securityTotal.FindStringSubmatch(text)
	if said == nil || said[1] != strconv.Itoa(len(rows)) {
		t.Errorf("the text says %q, the table has %d", said, len(rows))
	}
}

// testsByNumber reads the comments of all test functions, sorted by their names.
// A number that the table does not have is an error.
func testsByNumber(t *testing.T, rows []requirement) map[string][]string {
	t.Helper()
	known, prefixes := make(map[string]bool), make(map[string]bool)
	for _, row := range rows {
		prefix, _, _ := strings.Cut(row.number, "-")
		known[row.number], prefixes[prefix] = true, true
	}
	named := make(map[string][]string)
	for _, f := range testFunctions(t) {
		name := f.String()
		for _, number := range numbersIn(t, name, f.doc, prefixes) {
			if !known[number] {
				t.Errorf("%s: names %s, which the table does not have", name, number)
			}
			if !slices.Contains(named[number], name) {
				named[number] = append(named[number], name)
			}
		}
	}
	for list := range maps.Values(named) {
		slices.Sort(list)
	}
	return named
}

// numbersIn returns the numbers that a comment names. Other words of that form,
// such as UTF-16, are let pass, but not where numbers belong.
func numbersIn(t *testing.T, name, doc string, prefixes map[string]bool) []string {
	t.Helper()
	var numbers []string
	for _, at := range securityNumber.FindAllStringSubmatchIndex(doc, -1) {
		m := securityNumber.FindStringSubmatch(doc[at[0]:at[1]])
		if !prefixes[m[1]] {
			if strings.HasSuffix(doc[:at[0]], "Security ") {
				t.Errorf("%s: names %s, which the table does not have", name, m[0])
			}
			continue
		}
		first, last := m[2], m[2]
		if m[3] != "" {
			last = m[4]
		}
		if m[3] != "" && m[3] != m[1] || last < first {
			t.Errorf("%s: %q is no range", name, m[0])
			continue
		}
		for n := first; n <= last; n = next(n) {
			numbers = append(numbers, m[1]+"-"+n)
		}
	}
	return numbers
}

// next counts two digits up, which the pattern made sure are digits.
func next(digits string) string {
	n, _ := strconv.Atoi(digits)
	return fmt.Sprintf("%02d", n+1)
}
