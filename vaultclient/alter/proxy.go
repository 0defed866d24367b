package alter

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// ProxyRequest is a request that the vault makes with a grant.
type ProxyRequest struct {
	Grant
	Method string
	URL    string // without query
	Query  url.Values
	// Header of the request. Names that carry credentials or change the method
	// are refused with [ErrInvalid].
	Header http.Header
	// Body is any JSON, or empty.
	Body   json.RawMessage
	Reason string
	// Caller in place of the client's own; nil for that.
	Caller *Caller
}

// ProxyAnswer is what came of a request: either a result, or an approval to wait
// for.
type ProxyAnswer struct {
	Result  *ProxyResult
	Pending *PendingApproval
}

// ProxyResult is the provider's answer, of whatever status.
type ProxyResult struct {
	Status int
	Header http.Header
	Body   []byte
	// Truncated says that the vault cut the body.
	Truncated bool
	// Duration of the request at the vault; 0 if it does not say.
	Duration time.Duration
	// CredentialHint names the credential that was used, for people.
	CredentialHint string
	// ApprovalID of the approval that allowed it; empty without one.
	ApprovalID string
}

// PendingApproval is a call that a person has to approve first.
type PendingApproval struct {
	ID        string // for [Client.AwaitApproval]
	GroupID   string
	URL       string // where the person decides
	ExpiresAt time.Time
	// Gates are all approvals that are needed.
	Gates []PendingGate
}

// PendingGate is one of the approvals that a call needs.
type PendingGate struct {
	ID        string
	URL       string
	ExpiresAt time.Time
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

// Proxy has the vault make a request: POST /sdk/proxy. The key needs the scope
// proxy:execute. It is never made twice; a 4xx or 5xx of the provider is a
// result.
func (c *Client) Proxy(ctx context.Context, r ProxyRequest) (*ProxyAnswer, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	k := call{
		method: http.MethodPost, path: "/sdk/proxy", caller: r.Caller, refreshes: true, limit: maxProxyAnswer,
		want: only(http.StatusOK, http.StatusAccepted),
		body: proxyBody{
			Method: strings.ToUpper(r.Method), URL: r.URL, grantBody: r.body(), Body: r.Body,
			Header: joinHeader(r.Header), Query: joinQuery(r.Query), Reason: r.Reason,
		},
	}
	a, err := c.do(ctx, k)
	if err != nil {
		return nil, err
	}
	if a.status == http.StatusAccepted {
		pending, err := k.pending(a)
		return &ProxyAnswer{Pending: pending}, err
	}
	result, err := k.proxyResult(a)
	return &ProxyAnswer{Result: result}, err
}

func (r *ProxyRequest) check() error {
	if err := r.Grant.check(); err != nil {
		return err
	}
	if !httpguts.ValidHeaderFieldName(r.Method) {
		return invalid("method %q is none", cut(r.Method))
	}
	u, err := url.Parse(r.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return invalid("the URL is none of http or https")
	}
	for name, values := range r.Header {
		if !httpguts.ValidHeaderFieldName(name) || isProxyForbidden(name) {
			return invalid("header %q cannot be sent in proxy mode", cut(name))
		}
		for _, v := range values {
			if hasBreak(v) || !httpguts.ValidHeaderFieldValue(v) {
				return invalid("header %q has a value with control characters", cut(name))
			}
		}
	}
	if len(r.Body) > 0 && !json.Valid(r.Body) {
		return invalid("the body is no JSON")
	}
	return nil
}

// isProxyForbidden reports headers that carry credentials, or pretend another
// method: they are the vault's to set.
func isProxyForbidden(name string) bool {
	switch strings.ToLower(name) {
	case "host", "authorization", "proxy-authorization", "authentication", "cookie", "set-cookie",
		"x-api-key", "x-auth-token", "x-amz-security-token", "x-amz-date", "x-amz-content-sha256",
		"x-goog-authorization", "x-goog-iam-authorization-token", "x-stripe-account",
		"x-shopify-access-token", "x-http-method", "x-http-method-override", "x-method-override":
		return true
	}
	return false
}

// joinHeader writes each header once (RFC 9110 section 5.3).
func joinHeader(h http.Header) map[string]string {
	if len(h) == 0 {
		return nil
	}
	out := make(map[string]string, len(h))
	for name, values := range h {
		out[textproto.CanonicalMIMEHeaderKey(name)] = strings.Join(values, ", ")
	}
	return out
}

// joinQuery keeps a lone value as such, and several as a list.
func joinQuery(q url.Values) map[string]any {
	if len(q) == 0 {
		return nil
	}
	out := make(map[string]any, len(q))
	for name, values := range q {
		if out[name] = values; len(values) == 1 {
			out[name] = values[0]
		}
	}
	return out
}

// proxyResult reads the provider's answer.
func (k *call) proxyResult(a *answer) (*ProxyResult, error) {
	var wire struct {
		ApprovalID *string           `json:"approval_id"`
		Status     *int              `json:"status_code"`
		Header     map[string]string `json:"headers"`
		Body       *string           `json:"body_b64"`
		Truncated  bool              `json:"body_truncated"`
		Duration   *int64            `json:"duration_ms"`
		Hint       *string           `json:"credential_hint"`
	}
	if err := k.decode(a, &wire); err != nil {
		return nil, err
	}
	switch {
	case wire.Status == nil || *wire.Status < 100 || *wire.Status > 599:
		return nil, k.malformed(a, "status_code is missing or none")
	case wire.Header == nil:
		return nil, k.malformed(a, "headers are missing")
	case wire.Body == nil:
		return nil, k.malformed(a, "body_b64 is missing")
	case wire.Duration != nil && *wire.Duration < 0:
		return nil, k.malformed(a, "duration_ms is negative")
	case wire.ApprovalID != nil && !isUUID(*wire.ApprovalID):
		return nil, k.malformed(a, "approval_id is no canonical UUID")
	}
	body, err := base64.StdEncoding.Strict().DecodeString(*wire.Body)
	if err != nil {
		return nil, k.malformed(a, "body_b64 is no base64")
	}
	out := &ProxyResult{
		Status: *wire.Status, Header: make(http.Header, len(wire.Header)), Body: body, Truncated: wire.Truncated,
		CredentialHint: cut(or(wire.Hint, "")), ApprovalID: or(wire.ApprovalID, ""),
	}
	if wire.Duration != nil {
		out.Duration = time.Duration(*wire.Duration) * time.Millisecond
	}
	for name, value := range wire.Header {
		if httpguts.ValidHeaderFieldName(name) && httpguts.ValidHeaderFieldValue(value) {
			out.Header.Set(name, value)
		}
	}
	return out, nil
}

// pending reads an answer that asks for approval. All of it is demanded: a
// person is sent there.
func (k *call) pending(a *answer) (*PendingApproval, error) {
	type gate struct {
		ID        string    `json:"approval_id"`
		URL       string    `json:"approval_url"`
		ExpiresAt time.Time `json:"expires_at"`
		ExpiresIn *int64    `json:"expires_in"`
	}
	var wire struct {
		gate
		GroupID string `json:"approval_group_id"`
		Status  string `json:"status"`
		Gates   []gate `json:"gates"`
	}
	if err := k.decode(a, &wire); err != nil {
		return nil, err
	}
	good := func(g *gate) bool {
		return isUUID(g.ID) && isPageURL(g.URL) && !g.ExpiresAt.IsZero() && g.ExpiresIn != nil && *g.ExpiresIn >= 0
	}
	if !good(&wire.gate) || !isUUID(wire.GroupID) || wire.Status != "pending" || len(wire.Gates) == 0 {
		return nil, k.malformed(a, "the pending approval lacks members, or they are invalid")
	}
	out := &PendingApproval{ID: wire.ID, GroupID: wire.GroupID, URL: wire.URL, ExpiresAt: wire.ExpiresAt}
	for i := range wire.Gates {
		g := &wire.Gates[i]
		if !good(g) {
			return nil, k.malformed(a, "a gate of the pending approval lacks members, or they are invalid")
		}
		out.Gates = append(out.Gates, PendingGate{ID: g.ID, URL: g.URL, ExpiresAt: g.ExpiresAt})
	}
	return out, nil
}

// isPageURL reports whether a person may be sent to a URL: by https, or on this
// computer.
func isPageURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && u.User == nil && (u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()))
}
