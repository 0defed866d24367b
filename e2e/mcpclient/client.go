// Package mcpclient is a small MCP client for tests: it speaks both eras of the
// protocol and all of the authorization, one step at a time, so that a test can
// look at each. It forgives nothing: a redirect where there should be none, a
// missing header or an issuer that differs is an error.
package mcpclient

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Revisions of the protocol that the client speaks.
const (
	Modern = "2026-07-28" // stateless, no handshake
	Legacy = "2025-11-25" // initialize and a session
)

const (
	timeout = 20 * time.Second
	maxBody = 4 << 20 // bytes of one answer
)

// Client is one MCP client of one person. It is not safe for concurrent use.
type Client struct {
	// Endpoint is the MCP URL as the person typed it.
	Endpoint string
	// Revision is [Modern] or [Legacy].
	Revision string
	// Elicitation declares that the client can show the person an address.
	Elicitation bool
	// Progress, if set, hears of each report of a call that is under way.
	Progress func(message string)

	// Resource and Server are what [Client.Discover] found.
	Resource ResourceMetadata
	Server   ServerMetadata

	// ClientID and RedirectURI are what [Client.Register] got and asked for.
	ClientID    string
	RedirectURI string
	// AuthMethod is how the client authenticates, and Secret by what, which
	// [Client.Register] got. Default: none, a public client.
	AuthMethod, Secret string

	// Tokens are the newest ones.
	Tokens Tokens

	http            *http.Client
	scope           string // of the challenge
	state, verifier string // of the authorization under way
	session         string // legacy: Mcp-Session-Id
	lastID          int
}

// New returns a client for an endpoint.
func New(endpoint, revision string) *Client {
	return &Client{Endpoint: endpoint, Revision: revision, http: &http.Client{
		Timeout: timeout,
		// A POST on a connection that the server is about to close is lost,
		// and nobody may send it again: one connection each.
		Transport: &http.Transport{DisableKeepAlives: true},
		// Discovery and tokens must not depend on redirects.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Use has the client send its requests by a transport of the test's.
func (c *Client) Use(transport http.RoundTripper) { c.http.Transport = transport }

// StatusError is an answer with another HTTP status than the one expected.
type StatusError struct {
	Status    int
	Challenge string // WWW-Authenticate
	Body      string
}

// Error implements error.
func (e *StatusError) Error() string {
	return fmt.Sprintf("http status %d, challenge %q: %s", e.Status, e.Challenge, e.Body)
}

// send returns the answer with its body, which must have the wanted status.
func (c *Client) send(req *http.Request, want int) (*http.Response, []byte, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(io.TeeReader(resp.Body, c.ear(resp.Header)), maxBody))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the answer of %s: %w", req.URL.Path, err)
	}
	if resp.StatusCode != want {
		return resp, body, &StatusError{resp.StatusCode, resp.Header.Get("WWW-Authenticate"), string(body)}
	}
	return resp, body, nil
}

// Read reads a JSON document.
func (c *Client) Read(ctx context.Context, address string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	resp, body, err := c.send(req, http.StatusOK)
	if err != nil {
		return fmt.Errorf("GET %s: %w", address, err)
	}
	return decode(resp, body, v)
}

func decode(resp *http.Response, body []byte, v any) error {
	if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") {
		return fmt.Errorf("%s answers %q, not application/json", resp.Request.URL.Path, kind)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("reading the answer of %s: %w", resp.Request.URL.Path, err)
	}
	return nil
}

// UseSession makes the client send the session id of another one.
func (c *Client) UseSession(of *Client) { c.session = of.session }

// EndSession ends the session of a legacy client.
func (c *Client) EndSession(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, c.Endpoint, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.Tokens.AccessToken)
	req.Header.Set("Mcp-Session-Id", c.session)
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return &StatusError{Status: resp.StatusCode}
	}
	return nil
}
