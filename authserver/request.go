package authserver

import (
	"errors"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// maxForm bounds the body of a form in bytes.
const maxForm = 64 << 10

// remoteHost is the default of Config.ClientAddr.
func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// onlyMethods answers 405 with Allow (RFC 9110 section 15.5.6) unless r has one
// of the methods, and reports whether it has.
func onlyMethods(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	if slices.Contains(methods, r.Method) {
		return true
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	return false
}

// crossOrigin lets pages of any origin call an endpoint that takes no cookies,
// as browser clients such as the MCP Inspector do, and answers preflights.
func (s *Server) crossOrigin(method string, next http.HandlerFunc) http.HandlerFunc {
	methods := []string{method, http.MethodOptions}
	if method == http.MethodGet {
		methods = []string{http.MethodGet, http.MethodHead, http.MethodOptions}
	}
	return func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Expose-Headers", "WWW-Authenticate, Retry-After")
		if !onlyMethods(w, r, methods...) {
			return
		}
		if r.Method == http.MethodOptions {
			h.Set("Access-Control-Allow-Methods", strings.Join(methods, ", "))
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, MCP-Protocol-Version")
			h.Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next(w, r)
	}
}

// readForm reads the body of a POST as form parameters. A parameter that comes
// twice is refused (RFC 6749 section 3.2), except those in repeatable.
func readForm(w http.ResponseWriter, r *http.Request, repeatable ...string) (url.Values, error) {
	if r.URL.RawQuery != "" {
		return nil, ErrInvalidRequest.because(nil, "parameters belong into the body and not into the query")
	}
	return readBodyForm(w, r, repeatable...)
}

// readBodyForm is readForm for the forms of pages, whose action has a query.
func readBodyForm(w http.ResponseWriter, r *http.Request, repeatable ...string) (url.Values, error) {
	ct, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || ct != "application/x-www-form-urlencoded" {
		return nil, ErrInvalidRequest.because(err, "want Content-Type application/x-www-form-urlencoded")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		var tooLong *http.MaxBytesError
		if errors.As(err, &tooLong) {
			e := *ErrInvalidRequest.because(err, "the body is longer than %d bytes", maxForm)
			e.Status = http.StatusRequestEntityTooLarge
			return nil, &e
		}
		return nil, ErrInvalidRequest.because(err, "the body is not a valid form")
	}
	return r.PostForm, onlyOnce(r.PostForm, repeatable...)
}

// onlyOnce returns an error that names a parameter of v that is there more than
// once and not in repeatable.
func onlyOnce(v url.Values, repeatable ...string) error {
	for name, values := range v {
		if len(values) > 1 && !slices.Contains(repeatable, name) {
			return ErrInvalidRequest.because(nil, "the parameter %.40s comes more than once", name)
		}
	}
	return nil
}

// redirect answers with a redirect that nothing stores and that carries no
// referrer. http.Redirect is not used: it writes a body with a link, and
// rewrites private-use schemes.
func redirect(w http.ResponseWriter, r *http.Request, target string) {
	h := w.Header()
	h.Set("Location", target)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	status := http.StatusFound
	if r.Method == http.MethodPost {
		status = http.StatusSeeOther // RFC 9700 section 4.12: never 307
	}
	w.WriteHeader(status)
}
