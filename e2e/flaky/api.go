package flaky

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// foreign is the address to which /api/redirect leads: whoever follows is
// counted as a call of "foreign".
const foreign = "/api/foreign"

// api answers in the way that its path names: a status, or a word of below.
func (p *Provider) api(w http.ResponseWriter, r *http.Request) {
	how := r.PathValue("how")
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !p.admit(token, how) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	switch how {
	case "gate": // waits until the test lets it go on
		p.Entered <- struct{}{}
		select {
		case <-p.Release:
		case <-r.Context().Done():
			return
		case <-p.done:
			return
		}
	case "hang": // says nothing at all
		p.wait(r)
		return
	case "drip": // begins an answer and never ends it
		w.Header().Set("Content-Type", "application/json")
		for range 3 {
			fmt.Fprint(w, "[")
			_ = http.NewResponseController(w).Flush() // the other side is gone, and wait sees it
		}
		p.wait(r)
		return
	case "cut": // promises more than it says
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, `{"half":`)
		_ = http.NewResponseController(w).Flush() // as above
		panic(http.ErrAbortHandler)
	case "garbage":
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, "\x00\xff{[oops")
		return
	case "huge":
		w.Header().Set("Content-Type", "application/json")
		block := strings.Repeat("[", 1<<16)
		for range 1 << 10 {
			if _, err := fmt.Fprint(w, block); err != nil {
				return
			}
		}
		return
	case "redirect":
		http.Redirect(w, r, foreign, http.StatusTemporaryRedirect)
		return
	case "429":
		w.Header().Set("Retry-After", "30")
	case "expire": // refuses each token once: the first of a grant only
		if p.first(token) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
	}
	if status, err := strconv.Atoi(how); err == nil {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
	}
	fmt.Fprintf(w, `{"how":%q}`, how)
}

// wait returns when nobody waits for the answer any more.
func (p *Provider) wait(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-p.done:
	}
}

// admit counts a call with a good token.
func (p *Provider) admit(token, how string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if how == "foreign" {
		p.calls[how]++
		return true
	}
	u := p.access[token]
	if u == nil || u.of.dead || u.spent {
		return false
	}
	u.of.used = max(u.of.used, u.n)
	u.spent = how == "spend" // the token is good for this call and no other
	p.calls[how]++
	return true
}

// first reports whether the token is a grant's first one.
func (p *Provider) first(token string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.access[token].n == 1
}
