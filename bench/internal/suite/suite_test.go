package suite

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/client"
	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/measure"
)

func TestVerdict(t *testing.T) {
	for name, c := range map[string]struct {
		bound bound
		want  string
	}{
		"nothing was measured":        {bound{atMost: 1}, "not measured"},
		"below the most":              {bound{atMost: 1.35, measured: measure.Spread{1.1, 1.3, 2}}, "held"},
		"the median above the most":   {bound{atMost: 1.35, measured: measure.Spread{1, 1.36, 2}}, "**missed**"},
		"above the least":             {bound{atLeast: 5000, measured: measure.Spread{5000}}, "held"},
		"the median below the least":  {bound{atLeast: 5000, measured: measure.Spread{4999}}, "**missed**"},
		"less than nothing, at most":  {bound{atMost: 130, measured: measure.Spread{-3}}, "held"},
		"less than nothing, at least": {bound{atLeast: 130, measured: measure.Spread{-3}}, "**missed**"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.bound.verdict(); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// measured is a run in which ours costs factor times as much as everything else.
func measured(factor float64) *Suite {
	s := &Suite{opts: Options{Rounds: 2, Crowd: 10_000}}
	s.rows = s.newRows()
	for _, r := range s.rows {
		r.cpu, r.others = measure.Spread{100, 200}, measure.Spread{0, .1}
		if strings.HasPrefix(r.name, "alter_mcp") {
			r.cpu = measure.Spread{100 * factor, 200 * factor}
		}
		r.started = measure.Spread{50}
	}
	s.alter = s.newAlterRows()
	for _, r := range s.alter {
		r.cpu, r.others = measure.Spread{100, 200}, measure.Spread{0, .1}
		if strings.HasPrefix(r.name, "alter_mcp") {
			r.cpu = measure.Spread{100 * factor, 200 * factor}
		}
		r.vault, r.kilobyte = map[string]float64{"POST /tokens": 1}, measure.Spread{3}
	}
	s.auth = []*authRow{{name: registerName, cpu: measure.Spread{100}, perSecond: measure.Spread{4000}, speed: measure.Spread{.5}}}
	s.memory = &memory{few: 1000, crowd: 10_000, afterFew: 60, afterCrowd: 78, connectedFew: 80, connected: 440}
	return s
}

func TestBoundsAreJudgedByRatiosWithinARound(t *testing.T) {
	verdicts := make(map[string]string)
	for _, b := range measured(1.2).bounds() {
		verdicts[b.what] = b.measured.String() + " " + b.verdict()
	}
	for what, want := range map[string]string{
		"CPU of " + oursModern + " / " + in(client.Modern, floor): "1.20 (1.20..1.20) held",
		"CPU of " + oursLegacy + " / " + in(client.Legacy, proxy): "1.20 (1.20..1.20) **missed**",
		"CPU of " + oursTLS + " / " + oursModern:                  "1.00 (1.00..1.00) held",
		"CPU of " + oursLegacy + " / " + fastMCP:                  "1.20 (1.20..1.20) **missed**",
		registerName + ": CPU µs" + atBoundsSpeed:                 "50.0 held",
		registerName + ": per second" + atBoundsSpeed:             "8000 held",
		refreshName + ": per second" + atBoundsSpeed:              "- not measured",
		"KB for one more person who has called":                   "2.05 held",
		"MB at rest after calls of 10000 people":                  "78.0 held",
		"ms from the start to the first answer":                   "50.0 held",
		"KB for one more person with an idle connection":          "41.0 **missed**",
	} {
		if got, ok := verdicts[what]; !ok || got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
}

// Nothing that looks bad may be left out.
func TestTablesHoldEverySystem(t *testing.T) {
	s := measured(3)
	full := s.Full("bench/run")
	short, err := s.Short("bench/run")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range s.rows {
		if !strings.Contains(full, "| "+r.name+" | ") {
			t.Errorf("%s is not in the full tables", r.name)
		}
		if !strings.Contains(short, "| "+r.name+" | ") {
			t.Errorf("%s is not in the short table", r.name)
		}
	}
	for _, r := range s.alter {
		if !strings.Contains(full, "| "+r.name+" | ") {
			t.Errorf("%s is not in the full tables", r.name)
		}
		if !strings.Contains(short, "| "+r.name+" | ") {
			t.Errorf("%s is not in the short table", r.name)
		}
	}
	held := 0
	for _, b := range s.bounds() {
		if !strings.Contains(full, "| "+b.what+" | "+b.limit+" | ") {
			t.Errorf("bound %q is not in the full tables", b.what)
		}
		if b.verdict() == verdictHeld {
			held++
		}
	}
	if want := fmt.Sprintf("itself %d bounds, most of them ratios of these figures; %d held", len(s.bounds()), held); !strings.Contains(short, want) {
		t.Errorf("the short table does not say %q:\n%s", want, short)
	}
	s.opts.Quick = true
	if _, err := s.Short("bench/run -quick"); err == nil {
		t.Error("a quick run has a short table")
	}
}

// A system that gets shorter requests than ours would look cheaper than it is.
func TestOursIsComparedWithinARevision(t *testing.T) {
	s := new(Suite)
	s.rows = s.newRows()
	for _, b := range s.bounds() {
		ours, peer, ratio := strings.Cut(strings.TrimPrefix(b.what, "CPU of "), " / ")
		x, y := s.row(ours), s.row(peer)
		if ratio && x != nil && y != nil && x.era != y.era {
			t.Errorf("%s: %s gets requests of %s, %s of %s", b.what, ours, x.era, peer, y.era)
		}
	}
	for _, r := range s.rows {
		if got := s.row(oursIn(r.era)); got == nil || got.era != r.era {
			t.Errorf("%s is compared with %v", r.name, got)
		}
	}
}

func TestInsert(t *testing.T) {
	for name, c := range map[string]struct{ old, want string }{
		"an empty place":   {"a\n" + beginMark + "\n" + endMark + "\nb\n", "a\n" + beginMark + "\n\nnew\n\n" + endMark + "\nb\n"},
		"an old table":     {beginMark + "\n\nold\n\n" + endMark, beginMark + "\n\nnew\n\n" + endMark},
		"no place":         {"a\n", ""},
		"no end":           {beginMark + "\n", ""},
		"the end is first": {endMark + beginMark, ""},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "README.md")
			if err := os.WriteFile(file, []byte(c.old), 0o600); err != nil {
				t.Fatal(err)
			}
			err := Insert(file, "\nnew\n")
			if (err != nil) != (c.want == "") {
				t.Fatalf("error %v", err)
			}
			got, readErr := os.ReadFile(file)
			if readErr != nil {
				t.Fatal(readErr)
			}
			if want := c.want; err == nil && string(got) != want || err != nil && string(got) != c.old {
				t.Errorf("the file is now %q", got)
			}
		})
	}
}

// The pages have their places.
func TestPagesHavePlaces(t *testing.T) {
	for _, file := range []string{"../../README.md", "../../../README.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(text), beginMark) != 1 || strings.Count(string(text), endMark) != 1 {
			t.Errorf("%s has no place for a table, or more than one", file)
		}
	}
}
