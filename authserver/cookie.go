package authserver

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// maxAttempts is how many logins one browser may have open at a time, and
// maxAttemptCookie the most bytes of the cookie of one: browsers drop a cookie
// beyond 4 KB, and servers refuse requests whose cookies together are too long.
const (
	maxAttempts      = 3
	maxAttemptCookie = 3500
)

// cookieBase is the name that all cookies of this endpoint begin with. It names
// the realm, so that endpoints of two realms on one host do not overwrite each
// other's. The prefix __Secure- makes browsers insist on https.
func (s *Server) cookieBase(r *http.Request) string {
	sum := sha256.Sum256([]byte(s.cfg.Realm))
	name := "alter_mcp_" + hex.EncodeToString(sum[:4])
	if s.secure(r) {
		return "__Secure-" + name
	}
	return name
}

// secure reports whether the browser reaches the endpoint by https. Plain http
// is for loopback only.
func (s *Server) secure(r *http.Request) bool {
	return strings.HasPrefix(s.cfg.Endpoint(r), "https:")
}

// setCookie sets a cookie for this endpoint's pages; suffix tells its kinds
// apart, an empty value removes it, and no lifetime means the browser's session.
func (s *Server) setCookie(w http.ResponseWriter, r *http.Request, suffix, value string, lifetime time.Duration) {
	c := &http.Cookie{
		Name: s.cookieBase(r) + suffix, Value: value, Path: s.cfg.Path,
		Secure: s.secure(r), HttpOnly: true,
		// Lax, because the identity provider sends the browser back from
		// another site.
		SameSite: http.SameSiteLaxMode,
		MaxAge:   int(lifetime.Seconds()),
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// cookie returns the value of a cookie of this endpoint, or "".
func (s *Server) cookie(r *http.Request, suffix string) string {
	c, err := r.Cookie(s.cookieBase(r) + suffix)
	if err != nil {
		return ""
	}
	return c.Value
}

// Suffixes of cookie names.
const (
	browserSuffix = "_b" // a random id of the browser, which forms are bound to
	attemptSuffix = "_l_"
)

// browser returns the hash of the browser's id, setting one if there is none.
// Forms carry the hash, so that a form of one browser is refused from another.
func (s *Server) browser(w http.ResponseWriter, r *http.Request) []byte {
	id := s.cookie(r, browserSuffix)
	if id == "" {
		id = randomID()
		s.setCookie(w, r, browserSuffix, id, 0)
	}
	return hashOf(id)
}

// makeRoomForAttempt removes open logins beyond maxAttempts - 1, which ones the
// browser decides by the order it sends them in: the oldest first (RFC 6265
// section 5.4).
func (s *Server) makeRoomForAttempt(w http.ResponseWriter, r *http.Request) {
	var open []string
	prefix := s.cookieBase(r) + attemptSuffix
	for _, c := range r.Cookies() {
		if id, ok := strings.CutPrefix(c.Name, prefix); ok {
			open = append(open, id)
		}
	}
	for len(open) >= maxAttempts {
		s.setCookie(w, r, attemptSuffix+open[0], "", 0)
		open = open[1:]
	}
}
