package alter

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
)

// maxURL bounds the URL of a request to a provider, in bytes.
const maxURL = 65536

// Do sends req to a provider with the grant that use names: retrieve mode. The
// URL is https, or http on loopback; redirects are not followed; the grant's
// token takes the place of a header of the same name. req is not changed.
//
// The provider's answer is returned whatever its status, but for two: a 401 is
// [ErrProviderUnauthorized], after one more try when the token was a kept one and
// the vault has another; a 403 for want of scopes is [ErrScopesMissing], of which
// the vault is told. [ErrProviderUnreached] says that the provider did not
// answer.
func (c *Client) Do(req *http.Request, use Use) (*http.Response, error) {
	if err := c.checkUse(req, &use); err != nil {
		return nil, closing(req, err)
	}
	t, fresh, err := c.token(req.Context(), method(req), req.URL, &use)
	if err != nil {
		return nil, closing(req, err)
	}
	resp, err := c.send(req, t, &use)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusUnauthorized && !isScopeProblem(resp) {
		c.forget(method(req), req.URL, &use, t)
		if !fresh && canRepeat(req) {
			return c.doAgain(req, resp, t, &use)
		}
	}
	return c.judge(resp, t)
}

// doAgain answers a 401 to a kept token: the vault may have another by now.
func (c *Client) doAgain(req *http.Request, resp *http.Response, refused *Token, use *Use) (*http.Response, error) {
	t, _, err := c.token(req.Context(), method(req), req.URL, use)
	switch {
	case err != nil:
		drain(resp)
		return nil, err // the vault knows better what is wrong with the grant, or nobody does
	case t.injection.same(&refused.injection):
		c.forget(method(req), req.URL, use, t)
		return c.judge(resp, refused)
	}
	drain(resp)
	again, err := repeat(req)
	if err != nil {
		return nil, err
	}
	if resp, err = c.send(again, t, use); err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusUnauthorized && !isScopeProblem(resp) {
		c.forget(method(req), req.URL, use, t)
	}
	return c.judge(resp, t)
}

// checkUse refuses what could not be sent, or not be recorded, before the vault
// is asked: what a kept token or another's flight would hide.
func (c *Client) checkUse(req *http.Request, use *Use) error {
	if err := checkTarget(req.URL); err != nil {
		return err
	}
	if err := use.check(); err != nil {
		return err
	}
	if use.Caller != nil {
		if _, err := use.Caller.withType(c.kind); err != nil {
			return err
		}
	}
	_, err := contextHeader(auditContext(req.Context()))
	return err
}

// method is that of a request; an empty one means GET, as in net/http.
func method(req *http.Request) string { return cmp.Or(req.Method, http.MethodGet) }

// checkTarget refuses a URL to which no credential may go.
func checkTarget(u *url.URL) error {
	switch {
	case u == nil || u.Hostname() == "" || u.User != nil || u.Opaque != "":
		return invalid("the URL of the request has no host, or has user information")
	case u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())):
		return invalid("the request goes to %s by %s: credentials go by https alone", cut(u.Host), cut(u.Scheme))
	case u.Port() != "":
		if n, err := strconv.ParseUint(u.Port(), 10, 16); err != nil || n == 0 {
			return invalid("the URL of the request has an invalid port")
		}
	}
	if strings.ContainsAny(u.RawPath+u.RawQuery, "{}") { // those that are meant are escaped
		return invalid("the URL of the request has braces left: a parameter was not filled in")
	}
	if len(u.String()) > maxURL {
		return invalid("the URL of the request has more than %d bytes", maxURL)
	}
	return nil
}

// send makes one request with a token and records it.
func (c *Client) send(req *http.Request, t *Token, use *Use) (*http.Response, error) {
	out := req.Clone(req.Context())
	out.Method, out.Host = method(req), ""
	if out.Header == nil {
		out.Header = http.Header{}
	}
	defaultHeader(out.Header, "User-Agent", c.cfg.UserAgent)
	body, err := c.readBody(out, t)
	if err != nil {
		return nil, err
	}
	rec := c.record(out, body, t, use)
	started := c.cfg.Now()
	if err := t.Apply(out, body, started); err != nil {
		return nil, closing(out, err)
	}
	if len(out.URL.String()) > maxURL {
		return nil, closing(out, invalid("the URL of the request has more than %d bytes", maxURL))
	}
	resp, err := c.cfg.Providers.RoundTrip(out)
	if err != nil {
		resp, err = nil, &Error{Kind: ErrProviderUnreached, Op: out.Method + " " + out.URL.Host, Err: withoutURL(err)}
	} else {
		resp.Request = req // the one that was sent holds the credential
	}
	recErr := rec.done(req.Context(), resp, c.cfg.Now().Sub(started))
	if recErr != nil && !errors.Is(recErr, ErrAuditFull) { // which the queue itself tells once
		c.cfg.Logger.Error("a call could not be recorded for the vault", zap.Error(recErr))
	}
	return resp, err
}

// judge makes an error of an answer that only the person can mend.
func (c *Client) judge(resp *http.Response, t *Token) (*http.Response, error) {
	if refused := c.refusal(resp, t); refused != nil {
		drain(resp)
		return nil, refused
	}
	return resp, nil
}

func (c *Client) refusal(resp *http.Response, t *Token) error {
	e := &Error{Status: resp.StatusCode, GrantID: t.GrantID, Provider: t.Provider}
	if resp.Request != nil {
		e.Op = method(resp.Request) + " " + resp.Request.URL.Host
	}
	switch {
	case resp.StatusCode == http.StatusForbidden && isScopeProblem(resp):
		challenge := bearerChallenge(resp.Header)
		e.Kind, e.Missing = ErrScopesMissing, strings.Fields(challenge["scope"])
		c.reportScopes(resp, t, e.Missing)
	case resp.StatusCode == http.StatusForbidden && t.ScopeMismatch:
		e.Kind = ErrScopesMissing
	case resp.StatusCode == http.StatusUnauthorized && !isScopeProblem(resp):
		e.Kind = ErrProviderUnauthorized
	default:
		return nil
	}
	return e
}

// CheckProvider makes the errors of [Client.Do] of an answer that the vault got
// in proxy mode, where nobody else looks at it.
func (c *Client) CheckProvider(resp *http.Response, provider string) error {
	return c.refusal(resp, &Token{Provider: provider})
}

// isScopeProblem reports a challenge that says so (RFC 6750 section 3.1): the
// token lives.
func isScopeProblem(resp *http.Response) bool {
	return bearerChallenge(resp.Header)["error"] == "insufficient_scope"
}

// reportScopes tells the vault in the background. A report that is lost costs
// one more refusal of the provider, so there are few at a time and none waits.
func (c *Client) reportScopes(resp *http.Response, t *Token, missing []string) {
	if t.GrantID == "" || resp.Request == nil { // the vault saw the answer itself
		return
	}
	r := ScopeReport{
		Missing: missing, WWWAuthenticate: strings.Join(resp.Header.Values("Www-Authenticate"), ", "),
		URL: cutTo(withoutQuery(resp.Request.URL), maxReportedURL), CorrelationID: c.correlationID(),
	}
	ctx := context.WithoutCancel(resp.Request.Context())
	c.background.report(func() {
		if err := c.ReportScopeMismatch(ctx, t.GrantID, r); err != nil {
			c.cfg.Logger.Warn("missing scopes could not be reported to the vault", zap.Error(err))
		}
	})
}

// correlationID is random; without randomness it is empty, which harms nobody.
func (c *Client) correlationID() string {
	id, _ := c.nonce()
	return id
}

// Close ends what is under way in the background: token calls at once, reports of
// missing scopes within 2 seconds. It may be called twice, and closes for all
// that [Client.WithConstraints] made. A call after it that needs a new token fails.
func (c *Client) Close() {
	c.background.close()
	for _, rt := range []http.RoundTripper{c.cfg.Vault, c.cfg.Providers} {
		if t, ok := rt.(interface{ CloseIdleConnections() }); ok {
			t.CloseIdleConnections()
		}
	}
}

// withoutURL takes the URL out of an error: its query may hold a credential.
func withoutURL(err error) error {
	var withURL *url.Error
	if errors.As(err, &withURL) {
		return withURL.Err
	}
	return err
}

// latency is in whole milliseconds, as the vault wants it.
func latency(d time.Duration) int64 { return max(0, d.Milliseconds()) }
