package mcphandler

import (
	"net/http"
	"sync"
)

// inFlight counts the requests of each person that are being served, so that one
// person's flood takes nothing from the others: each request may hold memory and
// a connection to a provider for as long as that takes.
type inFlight struct {
	most int

	mu    sync.Mutex
	count map[string]int // by user; who has none is not in it
}

func newInFlight(most int) *inFlight {
	return &inFlight{most: most, count: make(map[string]int)}
}

// enter reports whether another request of a person may begin. If so, leave must
// follow.
func (f *inFlight) enter(userID string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count[userID] >= f.most {
		return false
	}
	f.count[userID]++
	return true
}

func (f *inFlight) leave(userID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.count[userID]--; f.count[userID] == 0 {
		delete(f.count, userID)
	}
}

func tooManyRequests() *failure {
	return &failure{
		status: http.StatusTooManyRequests, code: codeInternal,
		message: "too many requests at once, wait for the answers to some of them",
	}
}
