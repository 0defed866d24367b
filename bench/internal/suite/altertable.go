package suite

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/measure"
)

func (s *Suite) writeAlter(b *strings.Builder) {
	if len(s.alter) == 0 {
		return
	}
	fmt.Fprintf(b, "\nWith the Alter Vault: %d rounds of %d calls by %d people, %d at a time; the Alter SDK gets a hundredth of the calls. "+
		"CPU is read when the vault has the last record.\n\n", s.opts.Rounds, s.opts.Calls, s.opts.People, workers)
	b.WriteString("| system | CPU µs a call | the defaults / it | calls/s | p50 ms | p99 ms | MB idle | KB a person | calls of the vault per tool call |\n|---|---|---|---|---|---|---|---|---|\n")
	var rows []*row
	for _, r := range s.alter {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", r.name, r.cpu,
			s.ratio(alterOurs, r.name, func(r *row) measure.Spread { return r.cpu }),
			r.perSecond, r.p50, r.p99, r.idle, r.kilobytes(), r.routes())
		rows = append(rows, &r.row)
	}
	for _, r := range s.alter {
		if len(r.kilobyte) > 0 {
			fmt.Fprintf(b, "\nKB a person, %s: between %d and %d people who have called.\n", r.name, r.people/10, r.people)
		}
	}
	writeOthers(b, rows)
}

// kilobytes is what one more person takes, where that was measured.
func (r *alterRow) kilobytes() string { return r.kilobyte.String() }

// routes lists what the vault is asked per tool call.
func (r *alterRow) routes() string {
	var list []string
	for _, route := range slices.Sorted(maps.Keys(r.vault)) {
		list = append(list, fmt.Sprintf("%.3g × `%s`", r.vault[route], route))
	}
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}
