package altermcp

import (
	"slices"
	"strings"
)

// maxSimilar is how many names are proposed at most.
const maxSimilar = 3

// similar proposes names for one that there is none of: "; did you mean a, b?", or
// "" if none is like it.
func similar(name string, names []string) string {
	type candidate struct {
		name string
		far  int
	}
	var near []candidate
	for _, other := range names {
		far := distance(strings.ToLower(name), strings.ToLower(other))
		if name != "" && strings.Contains(strings.ToLower(other), strings.ToLower(name)) {
			far = 1
		}
		if far <= 1+len(name)/4 {
			near = append(near, candidate{withoutControls(other), far})
		}
	}
	if len(near) == 0 {
		return ""
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return a.far - b.far })
	var out []string
	for _, c := range near[:min(len(near), maxSimilar)] {
		out = append(out, c.name)
	}
	return "; did you mean " + strings.Join(out, ", ") + "?"
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
