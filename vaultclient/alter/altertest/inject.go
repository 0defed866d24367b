package altertest

import (
	"net/http"
	"net/url"
	"strings"
	"time"
)

const sigV4 = "AWS4-HMAC-SHA256"

// credentialHeader is the value of the header that carries the credential.
func (g *Grant) credentialHeader() string {
	return strings.Replace(g.InjectFormat, "{token}", g.Token, 1)
}

func (g *Grant) value(source string) string {
	if source == "token" {
		return g.Token
	}
	return g.Additional[strings.TrimPrefix(source, "additional_credentials.")]
}

func (g *Grant) injectQuery(query url.Values) {
	for _, extra := range g.Injections {
		if extra.Target == "query_param" {
			query.Set(extra.Key, g.value(extra.Source))
		}
	}
}

func (g *Grant) injectHeaders(r *http.Request, body []byte, now time.Time) error {
	if strings.HasPrefix(g.InjectFormat, sigV4) {
		return g.signAWS(r, body, now)
	}
	for _, extra := range g.Injections {
		if extra.Target == "header" {
			r.Header.Set(extra.Key, g.value(extra.Source))
		}
	}
	r.Header.Set(g.InjectHeader, g.credentialHeader())
	return nil
}

// sentBy reports whether a request carries all of the grant's credential.
func (g *Grant) sentBy(r *http.Request, body []byte) bool {
	if strings.HasPrefix(g.InjectFormat, sigV4) {
		return g.signedAWS(r, body)
	}
	if !contains(r.Header[http.CanonicalHeaderKey(g.InjectHeader)], g.credentialHeader()) {
		return false
	}
	for _, extra := range g.Injections {
		sent := r.URL.Query()[extra.Key]
		if extra.Target == "header" {
			sent = r.Header[http.CanonicalHeaderKey(extra.Key)]
		}
		if !contains(sent, g.value(extra.Source)) {
			return false
		}
	}
	return true
}

func contains(values []string, want string) bool {
	for _, value := range values {
		if value == want {
			return true
		}
	}
	return false
}
