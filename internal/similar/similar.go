// Package similar finds what somebody may have meant by a name that there is none
// of. It knows nothing of what the names are for.
package similar

import (
	"slices"
	"strings"
)

// Max is how many names are found at most.
const Max = 3

// Names returns those that are like name, the nearest first: at most [Max].
// Letter case does not matter.
func Names(name string, names []string) []string {
	type candidate struct {
		name string
		far  int
	}
	lower := strings.ToLower(name)
	var near []candidate
	for _, other := range names {
		far := distance(lower, strings.ToLower(other))
		if name != "" && strings.Contains(strings.ToLower(other), lower) {
			far = min(far, 1)
		}
		if far <= 1+len(name)/4 {
			near = append(near, candidate{other, far})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return a.far - b.far })
	var out []string
	for _, c := range near[:min(len(near), Max)] {
		out = append(out, c.name)
	}
	return out
}

// distance is how many bytes have to be changed, added or removed (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0] // of the row above, one to the left
		row[0] = i + 1
		for j := range len(b) {
			change := before
			if a[i] != b[j] {
				change++
			}
			before = row[j+1]
			row[j+1] = min(change, before+1, row[j]+1)
		}
	}
	return row[len(b)]
}
