// Package flaky is a service behind tools that misbehaves on request. It gives
// grants by OAuth, rotates its refresh tokens and counts those that come twice.
package flaky

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
)

// Provider is the service. It runs in the test's own process, so that it
// outlives the server that is killed.
type Provider struct {
	// URL is its origin.
	URL string
	// Entered gets a value whenever a call of /api/gate has begun; the call then
	// waits for a value from Release.
	Entered, Release chan struct{}

	done chan struct{} // closed when the test ends

	mu       sync.Mutex
	lifetime int // of access tokens, seconds
	away     bool
	codes    map[string]bool
	access   map[string]*use // by token
	refresh  map[string]*use
	counts   Counts
	calls    map[string]int // of the API, by name
}

// grant is what one person's agreement became.
type grant struct {
	newest, used int // rotations: given, and seen with a call
	dead         bool
}

// use is a token of a grant and how many rotations came before it.
type use struct {
	of    *grant
	n     int
	spent bool // an access token that is not good any more
}

// Counts is what the provider saw of refresh tokens.
type Counts struct {
	Grants, Renewals int
	// Reused counts refresh tokens that came again after they were rotated: the
	// answer with their successor was lost. The grant is dead then.
	Reused int
	// Forgotten counts those of them whose successor had been seen in use: the
	// other side used what it had not stored.
	Forgotten int
}

// Start starts a provider whose access tokens live that many seconds. It ends
// with the test.
func Start(t testing.TB, lifetime int) *Provider {
	t.Helper()
	p := &Provider{
		lifetime: lifetime, codes: make(map[string]bool), access: make(map[string]*use), refresh: make(map[string]*use),
		calls: make(map[string]int), Entered: make(chan struct{}, 64), Release: make(chan struct{}), done: make(chan struct{}),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /api/{how}", p.api)
	s := httptest.NewServer(mux)
	p.URL = s.URL
	t.Cleanup(func() {
		close(p.done)
		s.CloseClientConnections()
		s.Close()
	})
	return p
}

// Counts returns what was counted so far.
func (p *Provider) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts
}

// Calls returns how often the API was called in that way with a good token.
func (p *Provider) Calls(how string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[how]
}

// authorize agrees at once.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	back, err := url.Parse(r.URL.Query().Get("redirect_uri"))
	if err != nil || !back.IsAbs() {
		http.Error(w, "no redirect_uri", http.StatusBadRequest)
		return
	}
	code := rand.Text()
	p.mu.Lock()
	p.codes[code] = true
	p.mu.Unlock()
	q := back.Query()
	q.Set("code", code)
	q.Set("state", r.URL.Query().Get("state"))
	back.RawQuery = q.Encode()
	http.Redirect(w, r, back.String(), http.StatusSeeOther)
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.away {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var g *grant
	switch r.FormValue("grant_type") {
	case "authorization_code":
		if p.codes[r.FormValue("code")] {
			g = new(grant)
			p.counts.Grants++
		}
		delete(p.codes, r.FormValue("code"))
	case "refresh_token":
		g = p.rotate(p.refresh[r.FormValue("refresh_token")])
	}
	w.Header().Set("Content-Type", "application/json")
	if g == nil {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"invalid_grant"}`)
		return
	}
	g.newest++
	u := &use{of: g, n: g.newest}
	access, refresh := rand.Text(), rand.Text()
	p.access[access], p.refresh[refresh] = u, &use{of: g, n: g.newest}
	// An error here is a server that was killed while it waited.
	_ = json.NewEncoder(w).Encode(map[string]any{
		"access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": p.lifetime, "scope": "read",
	})
}

// rotate returns the grant that a refresh token renews, or nil.
func (p *Provider) rotate(u *use) *grant {
	switch {
	case u == nil || u.of.dead:
		return nil
	case u.n < u.of.newest:
		p.counts.Reused++
		if u.n < u.of.used {
			p.counts.Forgotten++
		}
		u.of.dead = true
		return nil
	}
	p.counts.Renewals++
	return u.of
}

// BeAway makes the token endpoint answer 503, or work again.
func (p *Provider) BeAway(away bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = away
}

// EndGrants makes all grants given so far worthless.
func (p *Provider) EndGrants() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range p.access {
		u.of.dead = true
	}
}
