package altertest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// proxyCall is a provider call that the vault makes.
type proxyCall struct {
	method, url string
	headers     map[string]string
	query       map[string]any
	body        []byte
}

// proxy is proxy mode: the vault calls the provider, at once or once approved.
func (v *Vault) proxy(r *request) (reply, *refusal) {
	call := proxyCall{
		method: r.body.str("method"), url: r.body.str("url"), headers: r.body.strs("headers"), query: r.body.obj("query_params"),
	}
	if body, there := r.body["body"]; there {
		call.body = bytesOf(body)
	}
	v.mu.Lock()
	g, bad := v.resolve(r)
	if bad != nil {
		v.mu.Unlock()
		return reply{}, bad
	}
	g.used = v.now()
	grant := *g
	if g.Gates > 0 {
		defer v.mu.Unlock()
		return reply{status: http.StatusAccepted, body: v.newApproval(grant, call).pending(v)}, nil
	}
	v.mu.Unlock()
	result, err := v.execute(r.Context(), &grant, call)
	if err != nil {
		return reply{}, refuse(502, "provider_unreachable", err.Error())
	}
	return reply{body: result}, nil
}

// longestAnswer is how much of a provider's answer proxy mode keeps, in bytes.
const longestAnswer = 1 << 20

// execute calls the provider with the grant's credential.
func (v *Vault) execute(ctx context.Context, g *Grant, call proxyCall) (map[string]any, error) {
	started := time.Now()
	req, err := v.providerRequest(ctx, g, call)
	if err != nil {
		return nil, err
	}
	resp, err := v.own.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, longestAnswer+1))
	if err != nil {
		return nil, err
	}
	cut := len(body) > longestAnswer
	body = body[:min(len(body), longestAnswer)]
	headers := map[string]string{}
	for name, values := range resp.Header {
		headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	return map[string]any{
		"status_code": resp.StatusCode, "headers": headers, "body_b64": base64.StdEncoding.EncodeToString(body),
		"body_truncated": cut, "duration_ms": time.Since(started).Milliseconds(), "credential_hint": nil,
	}, nil
}

func (v *Vault) providerRequest(ctx context.Context, g *Grant, call proxyCall) (*http.Request, error) {
	target, err := url.Parse(call.url)
	if err != nil {
		return nil, err
	}
	query := target.Query()
	for name, value := range call.query {
		query[name] = nil
		if list, ok := value.([]any); ok {
			for _, item := range list {
				query.Add(name, plain(item))
			}
			continue
		}
		query.Set(name, plain(value))
	}
	g.injectQuery(query)
	target.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, call.method, target.String(), bytes.NewReader(call.body))
	if err != nil {
		return nil, err
	}
	for name, value := range call.headers {
		req.Header.Set(name, value)
	}
	if call.body != nil && req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, g.injectHeaders(req, call.body, v.config.Now())
}

func plain(value any) string {
	switch x := value.(type) {
	case string:
		return x
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64)
	case nil:
		return ""
	}
	return fmt.Sprint(value)
}

// decodeBody is for echoes: the JSON value of a body, or its text.
func decodeBody(body []byte) any {
	if len(body) == 0 {
		return nil
	}
	if json.Valid(body) {
		return json.RawMessage(body)
	}
	return string(body)
}
