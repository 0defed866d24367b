package alter

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// Apply puts the token into req: the one way in which a credential leaves a
// [Token]. req must be the caller's own: its headers and URL are changed. Any
// header of the same name, however spelt, is replaced. body is what will be
// sent; only AWS signatures look at it.
func (t *Token) Apply(req *http.Request, body []byte, now time.Time) error {
	in := &t.injection
	if req.Header == nil {
		req.Header = http.Header{}
	}
	if strings.HasPrefix(in.format, awsFormat) {
		return in.signAWS(req, body, now)
	}
	setHeader(req.Header, in.header, strings.Replace(in.format, "{token}", in.secret.Reveal(), 1))
	for _, rule := range in.rules {
		value := in.value(rule.Source)
		if value.IsZero() {
			continue
		}
		if rule.Target == "header" {
			setHeader(req.Header, rule.Key, value.Reveal())
			continue
		}
		u := *req.URL
		u.RawQuery = setQuery(u.RawQuery, rule.Key, value.Reveal())
		req.URL = &u
	}
	return nil
}

// same reports whether two hold the same credential.
func (in *injection) same(other *injection) bool {
	return in.secret == other.secret && maps.Equal(in.additional, other.additional)
}

// value is a part of the credential.
func (in *injection) value(source string) vaultclient.Secret {
	if source == "token" {
		return in.secret
	}
	return in.additional[strings.TrimPrefix(source, "additional_credentials.")]
}

// headers are the names of the headers that hold parts of the credential, and
// of those that no record shows.
func (in *injection) headers() []string {
	names := []string{in.header}
	if strings.HasPrefix(in.format, awsFormat) {
		names = append(names, "Authorization", "X-Amz-Date", "X-Amz-Content-Sha256", "X-Amz-Security-Token")
	}
	for _, rule := range in.rules {
		if rule.Target == "header" {
			names = append(names, rule.Key)
		}
	}
	return names
}

// setHeader makes value the only one of its name, in whatever case others were
// written: a server would take the first.
func setHeader(h http.Header, name, value string) {
	for existing := range h {
		if strings.EqualFold(existing, name) {
			delete(h, existing)
		}
	}
	h.Set(name, value)
}

// defaultHeader sets a header that is not there. One in another letter case is
// spelt as net/http knows it, which would add its own.
func defaultHeader(h http.Header, name, value string) {
	if _, ok := h[name]; ok {
		return
	}
	for existing, values := range h {
		if strings.EqualFold(existing, name) {
			delete(h, existing)
			h[name] = values
			return
		}
	}
	h[name] = []string{value}
}

// setQuery replaces a parameter and leaves the others as they were written.
func setQuery(raw, name, value string) string {
	var kept []string
	for part := range strings.SplitSeq(raw, "&") {
		key, _, _ := strings.Cut(part, "=")
		if part != "" && unescapeForm(key) != name {
			kept = append(kept, part)
		}
	}
	kept = append(kept, url.QueryEscape(name)+"="+url.QueryEscape(value))
	return strings.Join(kept, "&")
}
