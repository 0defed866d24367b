package alter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/propagation"
)

// Limits of answers, in bytes.
const (
	maxAnswer      = 1 << 20
	maxProxyAnswer = 32 << 20
)

// call is one call to the vault.
type call struct {
	method string
	path   string     // decoded
	query  url.Values // none if nil
	body   any        // none if nil
	caller *Caller    // in place of the client's own
	// context is the audit context as it goes over the wire; empty for that of the
	// call's context.Context.
	context string
	// plain leaves out actor id and audit context, as some calls must.
	plain bool
	// repeatable says that a call which may have happened can be made again.
	repeatable bool
	// refreshes says that the vault may be renewing a token, which is waited
	// for.
	refreshes bool
	want      func(status int) bool // statuses of success; default below 400
	timeout   time.Duration         // default Config.Timeout
	limit     int64                 // of the answer; default maxAnswer
}

func (k *call) op() string { return k.method + " " + k.path }

func only(statuses ...int) func(int) bool {
	return func(got int) bool {
		for _, s := range statuses {
			if s == got {
				return true
			}
		}
		return false
	}
}

// answer is what the vault said to a call, in full.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do makes a call, again where [call.again] allows it.
func (c *Client) do(ctx context.Context, k call) (*answer, error) {
	body, err := k.encodeBody()
	if err != nil {
		return nil, err
	}
	for tries := 0; ; tries++ {
		a, err := c.once(ctx, k, body)
		if err == nil {
			return a, nil
		}
		wait, ok := k.again(err, tries)
		if !ok || ctx.Err() != nil {
			return nil, err
		}
		if c.cfg.Sleep(ctx, wait) != nil {
			return nil, err
		}
	}
}

// malformed reports an answer that breaks the protocol. The answer is not
// repeated: it may hold a token.
func (k *call) malformed(a *answer, what string) error {
	return &Error{
		Kind: ErrMalformed, Op: k.op(), Status: a.status, Message: what,
		CorrelationID: cut(a.header.Get("X-Correlation-Id")),
	}
}

func (k *call) encodeBody() ([]byte, error) {
	if k.body == nil {
		return nil, nil
	}
	return encode(k.body)
}

// once signs and sends a call, and reads its answer.
func (c *Client) once(ctx context.Context, k call, body []byte) (*answer, error) {
	timeout := k.timeout
	if timeout == 0 {
		timeout = c.cfg.Timeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := c.request(ctx, k, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.cfg.Vault.RoundTrip(req)
	if err != nil {
		return nil, &Error{Kind: ErrUnavailable, Op: k.op(), Err: transportError(ctx, err)}
	}
	defer resp.Body.Close()
	c.observe(resp.Header, k)
	a := &answer{status: resp.StatusCode, header: resp.Header}
	limit := k.limit
	if limit == 0 {
		limit = maxAnswer
	}
	a.body, err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, &Error{Kind: ErrUnavailable, Op: k.op(), Status: a.status, Err: transportError(ctx, err)}
	}
	if int64(len(a.body)) > limit {
		return nil, k.malformed(a, fmt.Sprintf("the answer has more than %d bytes", limit))
	}
	return a, k.check(a)
}

// check tells a refusal from a success.
func (k *call) check(a *answer) error {
	want := k.want
	if want == nil {
		want = func(status int) bool { return status >= 200 && status < 300 }
	}
	if want(a.status) {
		return nil
	}
	if a.status < 400 {
		return k.malformed(a, "the status is none that the protocol has")
	}
	return refusal(k.op(), a.status, a.header, a.body)
}

// request builds and signs what goes out. Whatever is signed is what is sent.
func (c *Client) request(ctx context.Context, k call, body []byte) (*http.Request, error) {
	u := *c.base
	u.Path, u.RawPath = c.base.Path+k.path, ""
	u.RawQuery = k.query.Encode()
	req, err := http.NewRequestWithContext(ctx, k.method, "", bytes.NewReader(body)) // the URL is parsed already
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	req.URL, req.Host = &u, u.Host
	h := make(http.Header, 14) // as many as a map of that size holds, and no more are set
	req.Header = h
	h.Set("User-Agent", c.cfg.UserAgent)
	h.Set(headerKey, c.cfg.APIKey.Reveal())
	if body == nil {
		req.Body, req.GetBody = emptyBody{}, nil
	} else {
		h.Set("Content-Type", "application/json")
	}
	if err := c.identify(ctx, h, k); err != nil {
		return nil, err
	}
	nonce, err := c.nonce()
	if err != nil {
		return nil, err
	}
	c.signer.sign(h, k.method, (&url.URL{Path: k.path}).EscapedPath(), u.RawQuery, body, c.cfg.Now(), nonce)
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(h))
	h.Del("Tracestate") // the vault has no use for other vendors' state
	return req, nil
}

// emptyBody keeps net/http from sending a GET again by itself when a connection
// ends: it would do so with the same nonce, which the vault takes for a replay.
type emptyBody struct{}

func (emptyBody) Read([]byte) (int, error) { return 0, io.EOF }
func (emptyBody) Close() error             { return nil }

// identify says who calls, and what narrows the call.
func (c *Client) identify(ctx context.Context, h http.Header, k call) error {
	caller := c.cfg.Caller
	if k.caller != nil {
		var err error
		if caller, err = k.caller.withType(c.kind); err != nil {
			return err
		}
	}
	caller.set(h)
	if c.constraints != "" {
		h.Set(headerConstraints, c.constraints)
	}
	if c.rule != "" {
		h.Set(headerRule, c.rule)
	}
	if k.plain {
		return nil
	}
	if id := c.actorID.Load(); id != nil && k.caller == nil {
		h.Set(headerActorID, *id)
	}
	text := k.context
	if text == "" {
		var err error
		if text, err = contextHeader(auditContext(ctx)); err != nil {
			return err
		}
	}
	if text != "" {
		h.Set(headerContext, text)
	}
	return nil
}

// observe reads what the vault says beside the answer.
func (c *Client) observe(h http.Header, k call) {
	if k.caller == nil {
		c.rememberActor(h)
	}
	c.rememberRate(h)
	if h.Get("X-Alter-Key-Deprecated") == "true" {
		c.deprecated.Do(func() {
			c.cfg.Logger.Warn("the vault's api key is deprecated: it was rotated and ends soon")
		})
	}
}

// transportError keeps what is of use and says which deadline ended a call.
func transportError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}
