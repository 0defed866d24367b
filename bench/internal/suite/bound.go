package suite

import (
	"fmt"

	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/client"
	"github.com/alter-mcp/caddy-alter-mcp/bench/internal/measure"
)

// bound is what the project has set itself: at most or at least a number, by
// the median of the rounds.
type bound struct {
	what     string
	limit    string // as people write it
	atMost   float64
	atLeast  float64 // where atMost is 0
	measured measure.Spread
}

const verdictHeld = "held"

// verdict says whether the bound holds, or that it was not measured.
func (b *bound) verdict() string {
	switch median := b.measured.Median(); {
	case len(b.measured) == 0:
		return "not measured"
	case b.atMost > 0 && median > b.atMost, b.atMost == 0 && median < b.atLeast:
		return "**missed**"
	}
	return verdictHeld
}

// bounds returns all there are, whether or not they were measured in this run.
func (s *Suite) bounds() []bound {
	var list []bound
	ratio := func(a, b string, limit string, atMost float64) {
		list = append(list, bound{
			what: "CPU of " + a + " / " + b, limit: "≤ " + limit, atMost: atMost,
			measured: s.ratio(a, b, func(r *row) measure.Spread { return r.cpu }),
		})
	}
	for _, era := range []string{client.Modern, client.Legacy} {
		ours := oursIn(era)
		ratio(ours, in(era, floor), "1.35", 1.35)
		ratio(ours, in(era, bare), "2.2", 2.2)
		ratio(ours, in(era, proxy), "1.15", 1.15)
		ratio(ours, in(era, hand), "0.9", 0.9)
		ratio(ours, in(era, sdk), "0.30", .3)
	}
	ratio(oursLegacy, fastMCP, "1/32 = 0.0313", 1./32)
	ratio(oursTLS, oursModern, "1.10", 1.1)
	list = append(list, bound{
		what: "p99 at 50 calls/s of " + oursModern + " / " + in(client.Modern, proxy), limit: "≤ 1.5", atMost: 1.5,
		measured: s.ratio(oursModern, in(client.Modern, proxy), func(r *row) measure.Spread { return r.open99 }),
	})
	ratio(alterFetch, alterSDK, "1/40 = 0.0250", 1./40)
	ratio(alterOurs, alterSDK, "1/40 = 0.0250", 1./40)
	ratio(alterOurs, alterSDK, "1/95 = 0.0105", 1./95)
	ratio(alterQuiet, alterSDK, "1/95 = 0.0105", 1./95)
	list = append(list, s.startBounds()...)
	list = append(list, s.authBounds()...)
	return append(list, s.memoryBounds()...)
}

// ratio compares a figure of two systems; there is none where one of them was
// not measured.
func (s *Suite) ratio(a, b string, of func(*row) measure.Spread) measure.Spread {
	x, y := s.row(a), s.row(b)
	if x == nil || y == nil {
		return nil
	}
	return ratios(of(x), of(y))
}

func (s *Suite) startBounds() []bound {
	idle := bound{what: "MB at rest after the start, 256 people in the store", limit: "≤ 65", atMost: 65}
	started := bound{what: "ms from the start to the first answer", limit: "≤ 250", atMost: 250}
	if r := s.row(oursModern); r != nil {
		idle.measured, started.measured = r.idle, r.started
	}
	return []bound{idle, started}
}

func (s *Suite) authBounds() []bound {
	const cpu, perSecond = ": CPU µs" + atBoundsSpeed, ": per second" + atBoundsSpeed
	list := []bound{
		{what: registerName + cpu, limit: "≤ 120", atMost: 120},
		{what: registerName + perSecond, limit: "≥ 5000", atLeast: 5000},
		{what: refreshName + cpu, limit: "≤ 180", atMost: 180},
		{what: refreshName + perSecond, limit: "≥ 4000", atLeast: 4000},
		{what: oidcLoginName + cpu, limit: "≤ 1100", atMost: 1100},
		{what: metadataName + cpu, limit: "≤ 60", atMost: 60},
	}
	for _, r := range s.auth {
		for i := range list {
			switch list[i].what {
			case r.name + cpu:
				list[i].measured = scaled(r.cpu, r.speed, func(cpu, speed float64) float64 { return cpu * speed })
			case r.name + perSecond:
				list[i].measured = scaled(r.perSecond, r.speed, func(n, speed float64) float64 { return n / speed })
			}
		}
	}
	return list
}

func scaled(figures, speeds measure.Spread, by func(figure, speed float64) float64) measure.Spread {
	var out measure.Spread
	for i, figure := range figures {
		out = append(out, by(figure, speeds[i]))
	}
	return out
}

func (s *Suite) memoryBounds() []bound {
	people := s.opts.Crowd
	first := bound{what: "first call with a token: CPU µs more than a later one" + atBoundsSpeed, limit: "≤ 130", atMost: 130}
	person := bound{what: "KB for one more person who has called", limit: "≤ 3", atMost: 3}
	connected := bound{what: "KB for one more person with an idle connection", limit: "≤ 40", atMost: 40}
	rest := bound{what: fmt.Sprintf("MB at rest after calls of %d people", people), limit: "≤ 90", atMost: 90}
	if m := s.memory; m != nil {
		first.measured = measure.Spread{(m.firstCall - m.laterCall) * m.speed}
		person.measured = measure.Spread{m.perPerson(m.afterFew, m.afterCrowd)}
		connected.measured = measure.Spread{m.perPerson(m.connectedFew, m.connected)}
		rest.measured = measure.Spread{m.afterCrowd}
	}
	return []bound{first, person, connected, rest}
}
