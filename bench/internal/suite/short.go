package suite

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/measure"
)

// Short returns the rows that people who choose a server care for, as Markdown.
// It needs a run of everything.
func (s *Suite) Short(command string) (string, error) {
	if s.opts.Quick || s.opts.Only != nil || s.opts.Skip != nil || len(s.rows) == 0 || len(s.auth) == 0 || s.memory == nil || len(s.alter) == 0 {
		return "", errors.New("only a whole run has the short table")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: `%s`, server on one core of %s. Median of %d rounds.\n\n",
		time.Now().UTC().Format("2 January 2006"), command, machine(), s.opts.Rounds)
	b.WriteString("| `tools/call` with the person's own token | CPU µs a call | calls/s | p50 ms | p99 ms | MB idle |\n|---|---|---|---|---|---|\n")
	for _, r := range s.byCPU() {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", r.name, median(r.cpu), median(r.perSecond), median(r.p50), median(r.p99), median(r.idle))
	}
	writeOthers(&b, s.rows)
	b.WriteString("\n| authorization server, on disk when acknowledged | CPU µs | per second |\n|---|---|---|\n")
	for _, r := range s.auth {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", r.name, median(r.cpu), median(r.perSecond))
	}
	m := s.memory
	fmt.Fprintf(&b, "\n%d people who have called: %.0f MB, %.1f KB a person; with an idle connection each %.0f MB. The first answer comes %s ms after the start.\n",
		m.crowd, m.afterCrowd, m.perPerson(m.afterFew, m.afterCrowd), m.connected, median(s.row(oursModern).started))
	b.WriteString("\n| `tools/call` with the Alter Vault | CPU µs a call | calls/s | p50 ms | p99 ms | KB a person |\n|---|---|---|---|---|---|\n")
	for _, r := range s.alter {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", r.name, median(r.cpu), median(r.perSecond), median(r.p50), median(r.p99), r.kilobytes())
	}
	s.writeHeld(&b)
	return b.String(), nil
}

// writeHeld says how many of the project's own bounds hold.
func (s *Suite) writeHeld(b *strings.Builder) {
	list := s.bounds()
	held := 0
	for _, one := range list {
		if one.verdict() == verdictHeld {
			held++
		}
	}
	fmt.Fprintf(b, "\nThe project has set itself %d bounds, most of them ratios of these figures; %d held in this run. [bench/README.md](bench/README.md) has them all.\n", len(list), held)
}

// median shows the median alone.
func median(s measure.Spread) string { return measure.Spread{s.Median()}.String() }
