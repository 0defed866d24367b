package authserver

import (
	"crypto/subtle"
	"net/http"
	"net/url"

	"github.com/alter-mcp/caddy-alter-mcp/internal/web"
)

// readPageForm reads a form of one of this server's pages, and opens its token
// into what the page sealed for purpose. The values are never nil.
func (s *Server) readPageForm(w http.ResponseWriter, r *http.Request, purpose string, sealed any) (url.Values, error) {
	if !web.SameOrigin(r, s.cfg.Endpoint(r)) {
		return url.Values{}, forgedForm(nil)
	}
	values, err := readBodyForm(w, r)
	if err != nil {
		return url.Values{}, err
	}
	if err := s.open(purpose, values.Get("token"), sealed); err != nil {
		return url.Values{}, forgedForm(err)
	}
	return values, nil
}

// isBrowser reports whether a request is of the browser whose cookie has that
// hash.
func (s *Server) isBrowser(r *http.Request, hash []byte) bool {
	return subtle.ConstantTimeCompare(hash, hashOf(s.cookie(r, browserSuffix))) == 1
}

// forgedForm is the answer to a form that this browser was not given.
func forgedForm(cause error) error {
	e := *ErrInvalidRequest.because(cause, "this form has expired, or was not made for this browser")
	e.Status = http.StatusForbidden
	return &e
}
