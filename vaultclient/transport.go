package vaultclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"time"
)

// requestKey carries the grant that a request is to be sent with.
type requestKey struct{}

// WithRequest returns a context for requests of [Transport]: it says whose
// grant they carry.
func WithRequest(ctx context.Context, req Request) context.Context {
	return context.WithValue(ctx, requestKey{}, req)
}

// Transport adds a person's grant to requests. It sends a credential only to
// the hosts that the provider names, over https (loopback excepted), follows no
// redirect, and keeps nothing between requests.
type Transport struct {
	Provider *Provider
	Vault    Vault
	Base     http.RoundTripper // see [NewBase]
}

// Errors of a [Transport] before anything is sent.
var (
	// ErrNoPerson: the context of the request does not say whose grant to use.
	ErrNoPerson = errors.New("the request does not say whose grant it carries")
	// ErrForeignHost: the host is none of the provider's.
	ErrForeignHost = errors.New("the host is none of those that may see the provider's tokens")
)

// RoundTrip implements http.RoundTripper. A 401 leads to one renewal and one
// retry; a second one, or one that cannot be retried, is a [*ConnectError].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	grant, _ := req.Context().Value(requestKey{}).(Request)
	return t.Send(copyOf(req), grant)
}

// Send is RoundTrip for a caller that says itself whose grant the request
// carries, and that leaves the request to it: its header is changed.
func (t *Transport) Send(req *http.Request, grant Request) (*http.Response, error) {
	if grant.UserID == "" || grant.Provider != t.Provider.Name {
		return nil, t.refuse(req, ErrNoPerson)
	}
	if !t.Provider.Allows(req.URL) {
		return nil, t.refuse(req, fmt.Errorf("%w: %s", ErrForeignHost, req.URL.Host))
	}
	cred, err := t.Vault.Credential(req.Context(), grant)
	if err != nil {
		return nil, t.refuse(req, err)
	}
	setCredential(req, cred)
	resp, err := t.Base.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	return t.retry(req, grant, cred, resp)
}

// retry answers a 401 with another credential.
func (t *Transport) retry(req *http.Request, grant Request, refused *Credential, resp *http.Response) (*http.Response, error) {
	discard(resp)
	cred, err := t.Vault.Renew(req.Context(), grant, refused)
	if err != nil {
		return nil, err
	}
	body := req.Body
	if body != nil && body != http.NoBody {
		if req.GetBody == nil {
			return nil, fmt.Errorf("%w: the provider refused the token, and the request cannot be sent twice", ErrUnavailable)
		}
		if body, err = req.GetBody(); err != nil {
			return nil, fmt.Errorf("sending the request again: %w", err)
		}
	}
	again := copyOf(req)
	again.Body = body
	setCredential(again, cred)
	resp, err = t.Base.RoundTrip(again)
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	discard(resp)
	return nil, &ConnectError{
		Provider: grant.Provider, Reason: ReasonAuthorizationRequired,
		Cause: errors.New("the provider refused a renewed token"),
	}
}

// refuse closes the body, as a RoundTripper must, and returns err.
func (t *Transport) refuse(req *http.Request, err error) error {
	if req.Body != nil {
		_ = req.Body.Close()
	}
	return err
}

// copyOf copies a request, as a RoundTripper must before it changes the header.
// The header's values are shared: nobody may change them.
func copyOf(req *http.Request) *http.Request {
	out := req.WithContext(req.Context())
	out.Header = maps.Clone(req.Header)
	return out
}

// setCredential makes the credential the only Authorization header, however the
// caller may have spelt one, and the request one for the host of its URL, which
// was checked.
func setCredential(req *http.Request, cred *Credential) {
	for name := range req.Header {
		if strings.EqualFold(name, "Authorization") {
			delete(req.Header, name)
		}
	}
	req.Host = ""
	if req.Header == nil {
		req.Header = make(http.Header)
	}
	req.Header.Set("Authorization", "Bearer "+cred.Token.Reveal())
}

// discard reads a little of a body, so that its connection can be used again,
// and closes it.
func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	_ = resp.Body.Close()
}

// NewBase returns a RoundTripper for requests to providers. It keeps enough
// idle connections for many people at one provider, has no cookie jar, uses the
// proxy of the environment, and makes spans ([Traced]).
func NewBase() http.RoundTripper { return Traced(newBase()) }

func newBase() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           2048,
		MaxIdleConnsPerHost:    512,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    10 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 256 << 10,
	}
}
