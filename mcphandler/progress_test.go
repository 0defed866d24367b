package mcphandler

import (
	"context"
	"math"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestProgressReports has what a client hears of a tool's reports: each is more
// than the one before, and not too many come in a second.
func TestProgressReports(t *testing.T) {
	const rest = progressRest
	type report struct {
		after time.Duration
		Progress
	}
	tests := map[string]struct {
		reports []report
		want    []string // what follows the token
	}{
		"words alone are counted": {
			[]report{{0, Progress{Message: "a"}}, {rest, Progress{Message: "b"}}},
			[]string{`"progress":1,"message":"a"`, `"progress":2,"message":"b"`},
		},
		"numbers as they are": {
			[]report{{0, Progress{Done: 0.5, Total: 100}}, {rest, Progress{Done: 50, Total: 100}}, {rest, Progress{Done: 1e6}}},
			[]string{`"progress":0.5,"total":100`, `"progress":50,"total":100`, `"progress":1000000`},
		},
		"no step back": {
			[]report{{0, Progress{Done: 2}}, {rest, Progress{Done: 2}}, {rest, Progress{Done: 1}}, {rest, Progress{Done: -1}}, {rest, Progress{Done: 3}}},
			[]string{`"progress":2`, `"progress":3`},
		},
		"words after numbers go on counting": {
			[]report{{0, Progress{Done: 2.5}}, {rest, Progress{Message: "a"}}},
			[]string{`"progress":2.5`, `"progress":3,"message":"a"`},
		},
		"not too fast": {
			[]report{{0, Progress{}}, {0, Progress{}}, {rest - 1, Progress{}}, {1, Progress{}}, {1, Progress{}}},
			[]string{`"progress":1`, `"progress":2`},
		},
		"what is no number": {
			[]report{{0, Progress{Done: math.NaN()}}, {rest, Progress{Done: math.Inf(1)}}, {rest, Progress{Done: 1, Total: math.Inf(1)}}},
			[]string{`"progress":1`},
		},
		"a message is one line": {
			[]report{{0, Progress{Message: "a\r\n\ndata: \"x\"\u2028"}}},
			[]string{`"progress":1,"message":"a\r\n\ndata: \"x\"\u2028"`},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newToolFixture(t, func(_ context.Context, c *Call) (*Result, error) {
					for _, r := range test.reports {
						time.Sleep(r.after)
						c.Progress(r.Progress)
					}
					return TextResult("done"), nil
				}, nil)
				w := f.serve("POST", legacyFields(), slowCall(`"progressToken":"t"`))
				got := events(t, w.Body.String())
				var want []string
				for _, rest := range test.want {
					want = append(want, `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t",`+rest+`}}`)
				}
				if diff := cmp.Diff(want, got[:len(got)-1]); diff != "" || w.Code != http.StatusOK {
					t.Errorf("status %d, reports (-want +got):\n%s", w.Code, diff)
				}
			})
		})
	}
}

// newToolFixture returns a handler, with the clock of time.Now, of one tool
// called slow. adjust may be nil.
func newToolFixture(t *testing.T, call func(context.Context, *Call) (*Result, error), adjust func(*Config)) *fixture {
	t.Helper()
	return newFixture(t, func(cfg *Config) {
		source, err := NewStaticSource([]Tool{&fakeTool{Description: (&slowTool{}).Describe(), call: call}})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Sources, cfg.Now = []Source{source}, time.Now
		if adjust != nil {
			adjust(cfg)
		}
	})
}

// legacyFields are the fields of a call of a revision with handshake.
func legacyFields() map[string]string {
	return map[string]string{"Authorization": "Bearer alice", "Mcp-Protocol-Version": "2025-06-18"}
}
