package suite

import (
	"fmt"
	"os"
	"strings"
)

// The places in a Markdown file between which a table stands.
const (
	beginMark = "<!-- bench: written by bench/run -readme -->"
	endMark   = "<!-- bench: end -->"
)

// Insert replaces what stands between the two marks of a file by text.
func Insert(file, text string) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, rest, found := strings.Cut(string(old), beginMark)
	_, tail, ended := strings.Cut(rest, endMark)
	if !found || !ended {
		return fmt.Errorf("%s has no place for a table: want the lines %q and %q", file, beginMark, endMark)
	}
	fresh := head + beginMark + "\n\n" + strings.TrimSpace(text) + "\n\n" + endMark + tail
	return os.WriteFile(file, []byte(fresh), 0o644) //nolint:gosec // a page of the documentation, not a secret
}
