package suite

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/client"
	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/measure"
)

// Full returns all that was measured, as Markdown. It says by which command.
func (s *Suite) Full(command string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: `%s` on %s.\n", time.Now().UTC().Format("2 January 2006"), command, machine())
	if s.opts.Quick {
		b.WriteString("\nA quick run: the figures are worth nothing.\n")
	}
	s.writeCalls(&b)
	s.writeAuth(&b)
	s.writeMemory(&b)
	s.writeAlter(&b)
	b.WriteString("\n| what | must | measured | verdict |\n|---|---|---|---|\n")
	for _, m := range s.bounds() {
		verdict := m.verdict()
		if s.opts.Quick {
			verdict = "not judged"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", m.what, m.limit, m.measured, verdict)
	}
	return b.String()
}

func (s *Suite) writeCalls(b *strings.Builder) {
	if len(s.rows) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%d rounds of %d calls by %d people, %d at a time; the Go SDK gets a quarter of the calls, FastMCP a twentieth. Median (least..most). "+
		"Ratios are taken within each round.\n\n", s.opts.Rounds, s.opts.Calls, s.opts.People, workers)
	b.WriteString("| system | CPU µs a call | ours / it | calls/s | p50 ms | p99 ms | p99 ms at 50/s | MB idle | ms to first answer |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range s.byCPU() {
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", r.name, r.cpu,
			s.ratio(oursIn(r.era), r.name, func(r *row) measure.Spread { return r.cpu }),
			r.perSecond, r.p50, r.p99, r.open99, r.idle, r.started)
	}
	writeOthers(b, s.rows)
}

// writeOthers says how far the machine was the benchmark's own.
func writeOthers(b *strings.Builder, rows []*row) {
	most := 0.0
	for _, r := range rows {
		most = max(most, slices.Max(r.others))
	}
	fmt.Fprintf(b, "\nOther programs used at most %.0f %% of the server's CPU during a measurement.\n", 100*most)
}

// byCPU returns the systems, the cheapest first.
func (s *Suite) byCPU() []*row {
	return slices.SortedStableFunc(slices.Values(s.rows), func(a, b *row) int {
		return cmp.Compare(a.cpu.Median(), b.cpu.Median())
	})
}

// oursIn returns what a system is compared with: ours in the same revision of the
// protocol.
func oursIn(era string) string {
	if era == client.Legacy {
		return oursLegacy
	}
	return oursModern
}

// ratios compares two systems round by round, so that a change of the machine's
// speed between rounds does not count.
func ratios(a, b measure.Spread) measure.Spread {
	var list measure.Spread
	for i := range min(len(a), len(b)) {
		list = append(list, a[i]/b[i])
	}
	return list
}

func (s *Suite) row(name string) *row {
	for _, r := range s.rows {
		if r.name == name {
			return r
		}
	}
	for _, r := range s.alter {
		if r.name == name {
			return &r.row
		}
	}
	return nil
}

func (s *Suite) writeAuth(b *strings.Builder) {
	if len(s.auth) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%d rounds of %d each on a new installation, %d at a time; what is acknowledged is on disk.\n\n", s.opts.Rounds, s.opts.Flows, authWorkers)
	b.WriteString("| authorization server | CPU µs | per second | p50 ms |\n|---|---|---|---|\n")
	for _, r := range s.auth {
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", r.name, r.cpu, r.perSecond, r.p50)
	}
	check := checkOfBounds / s.auth[0].speed.Median()
	fmt.Fprintf(b, "\nThe password check is bcrypt at cost %d, %.0f µs of the login; at the default cost of 10 it is 64 times that. "+
		"The identity provider's signing, on the other CPU, bounds how many people log in per second. "+
		"The bounds in µs and per second below were set on a machine where that check takes %d µs: what is judged is each round's figure "+
		"by how long the check took in that round.\n", bcryptCost, check, checkOfBounds)
}

func (s *Suite) writeMemory(b *strings.Builder) {
	m := s.memory
	if m == nil {
		return
	}
	fmt.Fprintf(b, "\nEach of a process of its own, once; %d people are in the store.\n\n| memory | MB |\n|---|---|\n", m.crowd)
	fmt.Fprintf(b, "| nobody has called | %.1f |\n| %d people have called | %.1f |\n| %d people have called | %.1f |\n",
		m.idle, m.few, m.afterFew, m.crowd, m.afterCrowd)
	fmt.Fprintf(b, "| %d people, each with an idle connection | %.1f |\n| %d people, each with an idle connection | %.1f |\n",
		m.few, m.connectedFew, m.crowd, m.connected)
	fmt.Fprintf(b, "\n| %d people, one call each in turn | CPU µs a call | calls/s |\n|---|---|---|\n| the first after a start | %.0f | %.0f |\n| the next | %.0f | %.0f |\n",
		m.crowd, m.firstCall, m.firstPer, m.laterCall, m.laterPerSecond)
}

// machine says what this is measured on.
func machine() string {
	model, count := "unknown CPU", 0
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				count++
			}
		}
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		kernel = []byte("unknown")
	}
	return fmt.Sprintf("%d × %s, Linux %s, %s", count, model, strings.TrimSpace(string(kernel)), runtime.Version())
}
