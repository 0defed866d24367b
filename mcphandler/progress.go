package mcphandler

import (
	"math"
	"strconv"
	"time"
)

// Progress is how far a call is (MCP, notifications/progress).
type Progress struct {
	// Done is how much of the call is done, in whatever unit. It must increase:
	// a report whose Done is not above that of the one before is left out. 0
	// counts the reports.
	Done float64
	// Total is what Done comes to in the end; 0 when that is not known.
	Total float64
	// Message says in words what goes on, for the person at the client.
	// Optional.
	Message string
}

// progressRest is the least time between two reports that a client gets of one
// call. Those that come faster are left out.
const progressRest = 100 * time.Millisecond

// next returns what is done by p, after done, and whether that is more.
func (p *Progress) next(done float64) (float64, bool) {
	switch {
	case math.IsNaN(p.Done) || math.IsInf(p.Done, 0):
		return done, false
	case p.Done == 0:
		return math.Floor(done) + 1, true
	}
	return p.Done, p.Done > done
}

// notification is the message of a report.
func (p *Progress) notification(token []byte, done float64) []byte {
	b := append([]byte(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":`), token...)
	b = strconv.AppendFloat(append(b, `,"progress":`...), done, 'f', -1, 64)
	if p.Total > 0 && !math.IsInf(p.Total, 0) {
		b = strconv.AppendFloat(append(b, `,"total":`...), p.Total, 'f', -1, 64)
	}
	if p.Message != "" {
		b = appendJSON(append(b, `,"message":`...), p.Message)
	}
	return append(b, "}}"...)
}
