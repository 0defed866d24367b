package leak

import (
	"maps"
	"slices"
	"strings"
	"sync"
)

// Secrets are what must not be written anywhere, by value with what each is. It
// is safe for concurrent use.
type Secrets struct {
	mu    sync.Mutex
	kinds map[string]string
}

// Add adds a secret of a kind, such as "code". What was seen first as another
// kind stays that; what is too short to be told from chance is left out.
func (s *Secrets) Add(kind, secret string) {
	if len(secret) < minSecret {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kinds == nil {
		s.kinds = make(map[string]string)
	}
	if s.kinds[secret] == "" {
		s.kinds[secret] = kind
	}
}

// Kinds counts the secrets by kind.
func (s *Secrets) Kinds() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	count := make(map[string]int)
	for _, kind := range s.kinds {
		count[kind]++
	}
	return count
}

// Found is a secret that stands in a text.
type Found struct {
	Kind, Secret string
	// Line is the line with the secret, shortened.
	Line string
}

// Search looks for the secrets in a text, in all forms, and returns each that it
// finds once, in the order of their kinds.
func (s *Secrets) Search(text string) []Found {
	s.mu.Lock()
	kinds := maps.Clone(s.kinds)
	s.mu.Unlock()
	var found []Found
	for secret, kind := range kinds {
		for _, form := range forms(secret) {
			if at := strings.Index(text, form); at >= 0 {
				found = append(found, Found{kind, secret, lineAround(text, at)})
				break
			}
		}
	}
	slices.SortFunc(found, func(a, b Found) int { return strings.Compare(a.Kind+a.Secret, b.Kind+b.Secret) })
	return found
}

// KindsOf are the kinds of what was found, each once.
func KindsOf(found []Found) []string {
	var kinds []string
	for _, f := range found {
		kinds = append(kinds, f.Kind)
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// lineAround returns the line of text around a place, no more than 300 bytes to
// each side.
func lineAround(text string, at int) string {
	const most = 300
	begin, end := max(strings.LastIndexByte(text[:at], '\n')+1, at-most), min(len(text), at+most)
	if n := strings.IndexByte(text[at:end], '\n'); n >= 0 {
		end = at + n
	}
	return text[begin:end]
}
