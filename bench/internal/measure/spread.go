package measure

import (
	"fmt"
	"slices"
)

// Spread is a figure of several rounds.
type Spread []float64

// Median returns the middle one, or the mean of the two in the middle.
func (s Spread) Median() float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// String is the median with the least and the most: 61 (60..64).
func (s Spread) String() string {
	switch {
	case len(s) == 0:
		return "-"
	case len(s) == 1:
		return number(s[0])
	}
	return fmt.Sprintf("%s (%s..%s)", number(s.Median()), number(slices.Min(s)), number(slices.Max(s)))
}

// number shows three digits or so, and all those before the point.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v > 0 && v < .1:
		return fmt.Sprintf("%.4f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
