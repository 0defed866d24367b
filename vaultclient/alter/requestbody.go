package alter

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// maxSignedBody bounds a body that is read before it is sent, because a
// signature needs it, in bytes.
const maxSignedBody = 10 << 20

// readBody reads the body where it has to be known before it is sent: all of it
// for a signature, else as much as a record holds. What was not read is sent
// after it.
func (c *Client) readBody(out *http.Request, t *Token) ([]byte, error) {
	signed, limit := strings.HasPrefix(t.injection.format, awsFormat), maxRecordBody
	if signed {
		limit = maxSignedBody
	}
	if out.Body == nil || out.Body == http.NoBody || !signed && c.cfg.Audit != AuditFull {
		return nil, nil
	}
	body, err := io.ReadAll(io.LimitReader(out.Body, int64(limit)+1))
	switch {
	case err != nil:
		return nil, closing(out, fmt.Errorf("reading the request: %w", err))
	case len(body) <= limit:
		_ = out.Body.Close()
		setBody(out, body)
	case signed:
		return nil, closing(out, invalid("the body has more than %d bytes", limit))
	default:
		out.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(body), out.Body), out.Body}
	}
	return body, nil
}

// setBody gives req a body that is known in full.
func setBody(req *http.Request, body []byte) {
	req.ContentLength = int64(len(body))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	if req.Body, _ = req.GetBody(); len(body) == 0 {
		req.Body, req.GetBody = http.NoBody, nil
	}
}

// canRepeat reports whether the body of a request can be had once more.
func canRepeat(req *http.Request) bool {
	return req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
}

// repeat returns the request with its body from the beginning.
func repeat(req *http.Request) (*http.Request, error) {
	if req.Body == nil || req.Body == http.NoBody {
		return req, nil
	}
	body, err := req.GetBody()
	if err != nil {
		return nil, fmt.Errorf("sending the request again: %w", err)
	}
	out := req.WithContext(req.Context())
	out.Body = body
	return out, nil
}

// closing closes the body of a request that is not sent, and returns err.
func closing(req *http.Request, err error) error {
	if req.Body != nil {
		_ = req.Body.Close()
	}
	return err
}

// drain reads a little of a body, so that its connection can be used again, and
// closes it.
func drain(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	_ = resp.Body.Close()
}
