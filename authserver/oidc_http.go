package authserver

import (
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// oidcRequestTimeout bounds one request to an OpenID Connect provider,
	// its answer included.
	oidcRequestTimeout = 15 * time.Second
	// maxOIDCBody bounds each answer of a provider in bytes, unpacked.
	maxOIDCBody = 1 << 20
)

// newOIDCTransport reaches a provider wherever the operator says that it is, in
// a private network too.
func newOIDCTransport() http.RoundTripper {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    32,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 256 << 10,
	}
}

// newOIDCClient returns a client whose requests end and whose answers are
// bounded, which the libraries that use it do not see to themselves. It follows
// no redirect: code and secret are for the endpoint that the provider named.
func newOIDCClient(base http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     boundedTransport{base},
		Timeout:       oidcRequestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// boundedTransport fails the reading of an answer beyond maxOIDCBody.
type boundedTransport struct{ base http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t boundedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = http.MaxBytesReader(nil, resp.Body, maxOIDCBody)
	return resp, nil
}

// shortened is the text of an error that may quote a provider's whole answer.
type shortened struct{ error }

// maxQuoted bounds what the log is told of a provider's answer, in bytes.
const maxQuoted = 300

// Error implements error.
func (s shortened) Error() string { return shorten(s.error.Error()) }

// Unwrap returns the error that is quoted.
func (s shortened) Unwrap() error { return s.error }

// without cuts secrets out of a text of a provider. vaultclient's TokenError does
// the same: neither package may import the other, and these lines are no reason
// for a third that both know.
func without(text string, secrets []string) string {
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		text = strings.ReplaceAll(strings.ReplaceAll(text, secret, "[hidden]"), url.QueryEscape(secret), "[hidden]")
	}
	return text
}

// shorten cuts a text of a provider and escapes what does not show.
func shorten(s string) string {
	more := ""
	if len(s) > maxQuoted {
		s, more = s[:maxQuoted], "..."
	}
	quoted := strconv.QuoteToASCII(s)
	return quoted[1:len(quoted)-1] + more
}
