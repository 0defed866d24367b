package altervault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
)

// maxProxyBody bounds the body of a request that the vault makes, in bytes.
const maxProxyBody = 1 << 20

// proxy has the vault make the request. What would lead to a connection, were it
// made here, does so too.
func (a *attempt) proxy(ctx context.Context, req *http.Request) (*http.Response, error) {
	call, err := a.proxyRequest(req)
	if err != nil {
		return nil, err
	}
	result, err := a.approved(ctx, func() (*alter.ProxyAnswer, error) { return a.client.Proxy(ctx, *call) })
	if err != nil {
		return nil, err
	}
	if result.Truncated { // half an answer would pass for a whole one
		return nil, &ModelError{Message: "the answer is larger than the vault passes on; ask for less", Cause: errors.New("truncated by the vault")}
	}
	resp := response(req, result)
	if err := a.client.CheckProvider(resp, a.provider.Name); err != nil {
		return nil, err
	}
	return resp, nil
}

// proxyRequest makes of a request what the vault is to send. The vault takes
// JSON alone, and puts in the credential itself.
func (a *attempt) proxyRequest(req *http.Request) (*alter.ProxyRequest, error) {
	body, err := readBody(req)
	if err != nil {
		return nil, err
	}
	query := req.URL.Query()
	u := *req.URL
	u.RawQuery, u.Fragment = "", ""
	out := &alter.ProxyRequest{
		Grant: a.grant(), Method: req.Method, URL: u.String(), Query: query, Header: req.Header.Clone(),
		Reason: a.use.Reason, Caller: a.caller(),
	}
	if len(body) == 0 {
		return out, nil
	}
	if media, _, err := mime.ParseMediaType(req.Header.Get("Content-Type")); err != nil || !isJSON(media) {
		return nil, &ModelError{
			Message: "this grant can be used through the vault only, which sends no bodies but JSON",
			Cause:   fmt.Errorf("content type %q in proxy mode", media),
		}
	}
	out.Header.Del("Content-Type") // the vault's own
	out.Body = json.RawMessage(body)
	return out, nil
}

func isJSON(media string) bool {
	return media == "application/json" || strings.HasSuffix(media, "+json")
}

func readBody(req *http.Request) ([]byte, error) {
	if req.Body == nil {
		return nil, nil
	}
	defer req.Body.Close()
	body, err := io.ReadAll(io.LimitReader(req.Body, maxProxyBody+1))
	if err != nil {
		return nil, fmt.Errorf("reading the request: %w", err)
	}
	if len(body) > maxProxyBody {
		return nil, &ModelError{Message: "the request is too large for the vault", Cause: fmt.Errorf("more than %d bytes", maxProxyBody)}
	}
	return body, nil
}

// response is the provider's answer as if it had come here.
func response(req *http.Request, result *alter.ProxyResult) *http.Response {
	h := result.Header.Clone()
	if h == nil {
		h = make(http.Header)
	}
	// The body was decoded and put together by the vault.
	for _, name := range []string{"Content-Encoding", "Transfer-Encoding", "Content-Length", "Connection"} {
		h.Del(name)
	}
	h.Set("Content-Length", strconv.Itoa(len(result.Body)))
	return &http.Response{
		Status: strconv.Itoa(result.Status) + " " + http.StatusText(result.Status), StatusCode: result.Status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(bytes.NewReader(result.Body)), ContentLength: int64(len(result.Body)), Request: req,
	}
}
