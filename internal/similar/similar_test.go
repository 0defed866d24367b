package similar

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNames(t *testing.T) {
	names := []string{"github", "gitlab", "google", "slack", "GitHub Enterprise", "x"}
	for name, want := range map[string][]string{
		"githb":  {"github", "gitlab"},
		"GitHub": {"github", "GitHub Enterprise", "gitlab"},
		"gogle":  {"google"},
		"notion": nil,
		"":       {"x"},
		"git":    {"github", "gitlab", "GitHub Enterprise"},
	} {
		if diff := cmp.Diff(want, Names(name, names)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", name, diff)
		}
	}
}

func TestDistance(t *testing.T) {
	for pair, want := range map[[2]string]int{
		{"", ""}: 0, {"a", ""}: 1, {"", "ab"}: 2, {"kitten", "sitting"}: 3, {"ab", "ba"}: 2, {"flaw", "lawn"}: 2,
	} {
		if got := distance(pair[0], pair[1]); got != want {
			t.Errorf("distance of %q is %d, want %d", pair, got, want)
		}
	}
}
