package alter

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// maxProxyURL is the longest URL that the vault can call, in bytes.
const maxProxyURL = 65536

// ProxyRequest is a call to a provider that the vault makes.
type ProxyRequest struct {
	Grant
	Method string // such as GET
	// URL is absolute, https (http on loopback alone), with at most 65,536
	// bytes. Query is added to its own.
	URL   string
	Query url.Values
	// Header fields, but those that carry credentials or change the request's
	// meaning; the vault puts the credential in. Several values of a field are
	// joined by commas (RFC 9110 section 5.3).
	Header http.Header
	// Body is any JSON value; none if empty.
	Body json.RawMessage
	// Reason for the vault's record; may be empty.
	Reason string
	// Caller in place of the client's own; nil for that.
	Caller *Caller
}

// ProxyAnswer holds one of its members: what the provider answered, or what has
// to be approved first.
type ProxyAnswer struct {
	Result  *ProxyResult
	Pending *PendingApproval
}

// ProxyResult is what a provider answered, whatever its status.
type ProxyResult struct {
	ApprovalID string // of the approval that the call needed; else empty
	Status     int    // the provider's HTTP status
	Header     http.Header
	Body       []byte
	// Truncated says that the vault kept the beginning of the body only.
	Truncated bool
	Duration  time.Duration // of the provider's call; 0: not said
	// CredentialHint tells which credential was used, without giving it away;
	// may be empty.
	CredentialHint string
}

// PendingApproval is a call that people must agree to before the vault makes it.
type PendingApproval struct {
	ID      string // for [Client.AwaitApproval]
	GroupID string
	// URL is where a person decides.
	URL       string
	ExpiresAt time.Time
	ExpiresIn time.Duration
	// Gates are all who must agree; at least one.
	Gates []ApprovalGate
}

// ApprovalGate is one of the decisions that a call needs.
type ApprovalGate struct {
	ID        string
	URL       string // where this one is decided
	ExpiresAt time.Time
	ExpiresIn time.Duration
}

type proxyBody struct {
	Method string `json:"method"`
	URL    string `json:"url"`
	grantBody
	Body   json.RawMessage   `json:"body,omitempty"`
	Header map[string]string `json:"headers,omitempty"`
	Query  map[string]any    `json:"query_params,omitempty"`
	Reason string            `json:"reason,omitempty"`
}

// Proxy lets the vault call a provider, so that the credential stays there: POST
// /sdk/proxy, key scope proxy:execute. A provider's own error is a result. A
// grant that people must approve each use of gives a [PendingApproval].
//
// The provider's call may happen once at most: it is sent again only when the
// vault said that it was not made. After an [ErrUnavailable] nobody knows
// whether it was. Other errors: [ErrInvalid], those of a grant
// ([ErrGrantNotFound], [ErrAmbiguousGrant], [ErrReauthRequired]), [ErrPolicy],
// [ErrBlockedDestination], [ErrRateLimited], [ErrOperator]. The answer has at
// most 32 MiB.
func (c *Client) Proxy(ctx context.Context, r ProxyRequest) (*ProxyAnswer, error) {
	body, err := r.body()
	if err != nil {
		return nil, err
	}
	k := call{
		method: http.MethodPost, path: "/sdk/proxy", body: body, caller: r.Caller,
		refreshes: true, want: only(http.StatusOK, http.StatusAccepted), limit: maxProxyAnswer,
	}
	o, a, err := c.object(ctx, k)
	if err != nil {
		return nil, err
	}
	out := &ProxyAnswer{}
	if a.status == http.StatusAccepted {
		out.Pending = o.pendingApproval()
	} else {
		out.Result = o.proxyResult()
	}
	if err := o.err(&k, a); err != nil {
		return nil, err
	}
	return out, nil
}

func (r *ProxyRequest) body() (*proxyBody, error) {
	if err := r.Grant.check(); err != nil {
		return nil, err
	}
	if !httpguts.ValidHeaderFieldName(r.Method) {
		return nil, invalid("method %q: want a token (RFC 9110 section 9.1)", cut(r.Method))
	}
	if err := checkProxyURL(r.URL, r.Query); err != nil {
		return nil, err
	}
	header, err := proxyHeader(r.Header)
	if err != nil {
		return nil, err
	}
	if len(r.Body) > 0 && !json.Valid(r.Body) {
		return nil, invalid("the body is no JSON")
	}
	return &proxyBody{
		Method: strings.ToUpper(r.Method), URL: r.URL, grantBody: r.Grant.body(),
		Body: r.Body, Header: header, Query: proxyQuery(r.Query), Reason: r.Reason,
	}, nil
}

// checkProxyURL refuses what the vault would send a credential to in clear, and
// what it cannot send at all. The error does not repeat the query.
func checkProxyURL(s string, query url.Values) error {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		return invalid("the provider's URL is no absolute http(s) one")
	}
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return invalid("provider's URL %q: want https", cut(withoutQuery(u)))
	}
	if u.User != nil || u.Fragment != "" {
		return invalid("provider's URL %q: no user and no fragment is allowed", cut(withoutQuery(u)))
	}
	if len(u.String())+1+len(query.Encode()) > maxProxyURL {
		return invalid("provider's URL with its query: at most %d bytes", maxProxyURL)
	}
	return nil
}

func proxyHeader(h http.Header) (map[string]string, error) {
	out := make(map[string]string, len(h))
	for name, values := range h {
		if !httpguts.ValidHeaderFieldName(name) {
			return nil, invalid("header %q: the name is no token (RFC 9110 section 5.1)", cut(name))
		}
		if isProxyForbidden(name) {
			return nil, invalid("header %s: the vault puts credentials in; it may not be set", name)
		}
		value := strings.Join(values, ", ")
		if !httpguts.ValidHeaderFieldValue(value) {
			return nil, invalid("header %s: the value has control characters", name)
		}
		canonical := http.CanonicalHeaderKey(name)
		if _, twice := out[canonical]; twice {
			return nil, invalid("header %s: given twice", canonical)
		}
		out[canonical] = value
	}
	return out, nil
}

// isProxyForbidden reports whether a header is one that the vault refuses: it
// carries a credential, or another method than was decided on.
func isProxyForbidden(name string) bool {
	return slices.Contains([]string{
		"host", "authorization", "proxy-authorization", "authentication", "cookie", "set-cookie",
		"x-api-key", "x-auth-token", "x-amz-security-token", "x-amz-date", "x-amz-content-sha256",
		"x-goog-authorization", "x-goog-iam-authorization-token", "x-stripe-account", "x-shopify-access-token",
		"x-http-method", "x-http-method-override", "x-method-override",
	}, strings.ToLower(name))
}

// proxyQuery has a string for a parameter with one value, else a list.
func proxyQuery(query url.Values) map[string]any {
	out := make(map[string]any, len(query))
	for name, values := range query {
		out[name] = values
		if len(values) == 1 {
			out[name] = values[0]
		}
	}
	return out
}

func (o *object) proxyResult() *ProxyResult {
	r := &ProxyResult{
		ApprovalID: o.maybeID("approval_id"), Status: int(o.number("status_code")), Header: http.Header{},
		Truncated: o.maybeFlag("body_truncated"), Duration: o.maybeSpan("duration_ms", time.Millisecond),
		CredentialHint: o.maybeText("credential_hint"),
	}
	if r.Status < 100 || r.Status > 999 {
		o.fail("status_code", "is no HTTP status")
	}
	for name, value := range o.maybeTextMap("headers") {
		r.Header.Add(name, value)
	}
	o.need("body_b64")
	text := o.maybeText("body_b64")
	// The decoder skips line breaks, which the protocol does not have.
	body, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") {
		o.fail("body_b64", "is no base64")
	}
	r.Body = body
	return r
}

func (o *object) pendingApproval() *PendingApproval {
	p := &PendingApproval{
		ID: o.id("approval_id"), GroupID: o.id("approval_group_id"), URL: o.text("approval_url"),
		ExpiresAt: o.time("expires_at"), ExpiresIn: o.seconds("expires_in"),
	}
	o.word("status", "", "pending")
	for _, g := range o.objects("gates") {
		p.Gates = append(p.Gates, ApprovalGate{
			ID: g.id("approval_id"), URL: g.text("approval_url"),
			ExpiresAt: g.time("expires_at"), ExpiresIn: g.seconds("expires_in"),
		})
	}
	return p
}
