package suite

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/measure"
)

// Write writes what was measured as Markdown.
func (s *Suite) Write(w io.Writer, command string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s. %s. `%s`\n", time.Now().UTC().Format("2 January 2006"), machine(), command)
	s.writeCalls(&b)
	s.writeMusts(&b)
	if err := s.writeAuth(&b); err != nil {
		return err
	}
	s.writeMemory(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (s *Suite) writeCalls(b *strings.Builder) {
	if len(s.rows) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%d rounds of %d calls by %d people, %d at a time. Median (least..most).\n\n", s.opts.Rounds, s.opts.Calls, s.opts.People, workers)
	b.WriteString("| system | CPU µs a call | ours / it | calls/s | p50 ms | p99 ms | p99 ms at 50/s | MB idle | listens after ms |\n|---|---|---|---|---|---|---|---|---|\n")
	ours := s.row(oursModern)
	rows := slices.Clone(s.rows)
	slices.SortStableFunc(rows, func(a, b *row) int { return cmp.Compare(a.cpu.Median(), b.cpu.Median()) })
	for _, r := range rows {
		ratio := "-"
		if ours != nil {
			ratio = ratios(ours.cpu, r.cpu).String()
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n",
			r.name, r.cpu, ratio, r.perSecond, r.p50, r.p99, r.open99, r.idle, r.started)
	}
	most := 0.0
	for _, r := range s.rows {
		most = max(most, slices.Max(r.others))
	}
	fmt.Fprintf(b, "\nOthers used at most %.0f %% of the server's CPU during a measurement.\n", 100*most)
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
	return nil
}

// musts are the bounds that the project has set itself, as a ratio of CPU.
func (s *Suite) writeMusts(b *strings.Builder) {
	musts := []struct {
		a, b  string
		bound float64
	}{
		{oursModern, floor, 1.35},
		{oursLegacy, floor, 1.35},
		{oursModern, bare, 2.2},
		{oursLegacy, bare, 2.2},
		{oursModern, proxy, 1.15},
		{oursLegacy, proxy, 1.15},
		{oursModern, hand, 0.9},
		{oursLegacy, hand, 0.9},
		{oursModern, sdkModern, 0.3},
		{oursLegacy, sdkLegacy, 0.3},
		{oursLegacy, fastMCP, 1.0 / 32},
		{oursTLS, oursModern, 1.1},
	}
	head := "\n| CPU a call | measured | must |\n|---|---|---|\n"
	for _, m := range musts {
		x, y := s.row(m.a), s.row(m.b)
		if x == nil || y == nil {
			continue
		}
		ratio := ratios(x.cpu, y.cpu)
		mark := ""
		if ratio.Median() > m.bound {
			mark = " **missed**"
		}
		fmt.Fprintf(b, "%s| %s / %s | %s | %.3g%s |\n", head, m.a, m.b, ratio, m.bound, mark)
		head = ""
	}
}

func (s *Suite) writeAuth(b *strings.Builder) error {
	if len(s.auth) == 0 {
		return nil
	}
	fmt.Fprintf(b, "\n%d rounds of %d each on a new installation, %d at a time; what is acknowledged is on disk.\n\n", s.opts.Rounds, s.opts.Flows, authWorkers)
	b.WriteString("| authorization server | CPU µs | per second | p50 ms |\n|---|---|---|---|\n")
	for _, r := range s.auth {
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", r.name, r.cpu, r.perSecond, r.p50)
	}
	check, err := bcryptMicroseconds()
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "\nThe password check is bcrypt at cost %d, %.0f µs of the login; at the default cost of 10 it is 64 times that.\n", bcryptCost, check)
	return nil
}

func (s *Suite) writeMemory(b *strings.Builder) {
	m := s.memory
	if m == nil {
		return
	}
	fmt.Fprintf(b, "\n| memory | MB |\n|---|---|\n")
	fmt.Fprintf(b, "| %d people have called | %.0f |\n| %d people have called | %.0f |\n| 1,000 people more | %.1f |\n",
		m.few, m.afterFew, m.crowd, m.afterCrowd, m.perThousand(m.afterFew, m.afterCrowd))
	fmt.Fprintf(b, "| %d people, each with an idle connection | %.0f |\n| 1,000 people more with connections | %.1f |\n",
		m.crowd, m.idleConns, m.perThousand(m.connectionsFew, m.idleConns))
}

// machine says what this is measured on.
func machine() string {
	model := "unknown CPU"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		kernel = []byte("unknown")
	}
	return fmt.Sprintf("%d × %s, Linux %s, %s", runtime.NumCPU(), model, strings.TrimSpace(string(kernel)), runtime.Version())
}
