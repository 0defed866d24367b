package clientmatrix

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the table to docs/clients.md")

// passed is how a step went about which there is no more to say.
const passed = "yes"

// row is what was seen of a client, in the words of the table. All of it is the
// same on every run.
type row struct {
	client, version string
	revision        string // of the protocol
	registers       string
	login, call     string
	renews          string // when it renews its token
	restart, second string
	ends            string // who logs in when the login has ended
}

var header = []string{"client", "version", "protocol", "registers by", "login", "call", "refreshes", "restart", "second person", "login ends"}

func (r *row) cells() []string {
	return []string{r.client, r.version, r.revision, r.registers, r.login, r.call, r.renews, r.restart, r.second, r.ends}
}

func line(cells []string) string { return "| " + strings.Join(cells, " | ") + " |\n" }

// compareTable prints the table and compares it with that of the documentation.
// When only some clients ran, only their lines are compared.
func compareTable(t *testing.T, all []*kind, rows map[string]row) {
	t.Helper()
	var table strings.Builder
	rule := make([]string, len(header))
	for i := range rule {
		rule[i] = "---"
	}
	table.WriteString(line(header) + line(rule))
	for _, k := range all {
		if r, ok := rows[k.name]; ok {
			table.WriteString(line(r.cells()))
		}
	}
	t.Logf("what was seen:\n%s", table.String())
	file := filepath.Join("..", "..", "docs", "clients.md")
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("reading the documentation: %v", err)
	}
	before, old, after := cut(t, string(doc))
	if len(rows) < len(all) {
		for l := range strings.Lines(table.String()) {
			if !strings.Contains(old, l) {
				t.Errorf("%s does not say %s", file, l)
			}
		}
		return
	}
	if *update {
		if err := os.WriteFile(file, []byte(before+table.String()+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(old, table.String()); diff != "" {
		t.Errorf("%s (-there +seen):\n%s", file, diff)
	}
}

// cut finds the table in the documentation.
func cut(t *testing.T, doc string) (before, table, after string) {
	t.Helper()
	begin := strings.Index(doc, line(header))
	if begin < 0 {
		t.Fatalf("the documentation has no table that begins with %s", line(header))
	}
	end := strings.Index(doc[begin:], "|\n\n")
	if end < 0 {
		t.Fatal("the table in the documentation does not end")
	}
	end += begin + len("|\n")
	return doc[:begin], doc[begin:end], doc[end:]
}
