package alter

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/propagation"
)

// maxRecordBody bounds the bodies in a record, in bytes; larger ones are only
// counted.
const maxRecordBody = 10_000

// record is the report of one request to a provider, under way.
type record struct {
	client *Client // nil: nothing is reported
	caller Caller
	hidden []string // headers with parts of the credential
	wire   recordBody
}

// recordBody is the report as the vault wants it: all members, always.
type recordBody struct {
	GrantID         string            `json:"grant_id"`
	Provider        string            `json:"provider_id"`
	Generation      *string           `json:"token_generation"`
	Method          string            `json:"method"`
	URL             string            `json:"url"`
	RequestHeaders  map[string]string `json:"request_headers"`
	RequestBody     any               `json:"request_body"`
	ResponseStatus  int               `json:"response_status"` // 0: no answer
	ResponseHeaders map[string]string `json:"response_headers"`
	ResponseBody    any               `json:"response_body"`
	LatencyMS       int64             `json:"latency_ms"`
	Reason          *string           `json:"reason"`
	Context         map[string]string `json:"context"`
}

// record begins the report of req, which does not hold the credential yet.
func (c *Client) record(req *http.Request, body []byte, t *Token, use *Use) *record {
	if c.cfg.Audit == AuditNone || c.cfg.Audit == "" {
		return &record{}
	}
	r := &record{
		client: c, caller: c.cfg.Caller, hidden: t.injection.headers(),
		wire: recordBody{
			GrantID: t.GrantID, Provider: t.Provider, Generation: orNull(t.generation), Method: req.Method,
			URL: withoutQuery(req.URL), Reason: orNull(use.Reason), Context: auditContext(req.Context()),
		},
	}
	if use.Caller != nil {
		r.caller = *use.Caller
	}
	if use.Hidden != "" {
		r.hidden = append(slices.Clip(r.hidden), use.Hidden)
	}
	if c.cfg.Audit == AuditFull {
		u := *req.URL
		u.Fragment = ""
		r.wire.URL = u.String()
		r.wire.RequestHeaders = r.headers(req.Header, func(name string) string { return name })
		r.wire.RequestBody = requestRecord(req, body)
	}
	return r
}

// done hands the report over, with the answer or without one. Of a body only as
// much is read as the report holds; the rest stays for the caller.
func (r *record) done(ctx context.Context, resp *http.Response, took time.Duration) error {
	if r.client == nil {
		return nil
	}
	r.wire.LatencyMS = latency(took)
	full := r.client.cfg.Audit == AuditFull
	switch {
	case resp == nil && full:
		r.wire.ResponseBody = "<transport error>"
	case resp != nil:
		if r.wire.ResponseStatus = resp.StatusCode; full {
			r.wire.ResponseHeaders = r.headers(resp.Header, strings.ToLower)
			r.wire.ResponseBody = responseRecord(resp)
		}
	}
	body, err := encode(r.wire)
	if err != nil {
		return fmt.Errorf("encoding a record: %w", err)
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return r.client.cfg.Queue.Add(context.WithoutCancel(ctx), AuditEntry{
		Caller: r.caller, Context: r.wire.Context, Traceparent: carrier["traceparent"], Body: body, encoded: true,
	})
}

// headers are those that no credential stands in.
func (r *record) headers(h http.Header, spell func(string) string) map[string]string {
	out := make(map[string]string, len(h))
	for name, values := range h {
		if !isSensitive(name) && !slices.ContainsFunc(r.hidden, func(s string) bool { return strings.EqualFold(s, name) }) {
			out[spell(name)] = strings.Join(values, ", ")
		}
	}
	return out
}

func isSensitive(name string) bool {
	switch strings.ToLower(name) {
	case "authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-auth-token",
		"x-amz-date", "x-amz-content-sha256", "x-amz-security-token":
		return true
	}
	return false
}

// requestRecord is JSON as such, and any other text as a string. A body may be
// longer than what was read of it, and its length unknown, which net/http says by
// zero or less.
func requestRecord(req *http.Request, body []byte) any {
	switch {
	case body == nil:
		return nil
	case len(body) > maxRecordBody && req.ContentLength <= 0:
		return fmt.Sprintf("<binary body: more than %d bytes>", maxRecordBody)
	case len(body) > maxRecordBody:
		return fmt.Sprintf("<binary body: %d bytes>", req.ContentLength)
	case !utf8.Valid(body):
		return fmt.Sprintf("<binary body: %d bytes>", len(body))
	}
	if media, _, err := mime.ParseMediaType(req.Header.Get("Content-Type")); err == nil && (media == "application/json" || strings.HasSuffix(media, "+json")) && json.Valid(body) {
		return json.RawMessage(body)
	}
	return string(body)
}

// responseRecord reads the beginning of an answer and puts it back. It leaves
// alone what does not end by itself: a stream of events, another protocol.
func responseRecord(resp *http.Response) any {
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case resp.StatusCode == http.StatusSwitchingProtocols:
		return ""
	case media == "text/event-stream":
		return "<event stream>"
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxRecordBody+1))
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), errorReader{err}, resp.Body), resp.Body}
	switch {
	case len(body) > maxRecordBody && resp.ContentLength >= 0:
		return fmt.Sprintf("<response too large: %d bytes>", resp.ContentLength)
	case len(body) > maxRecordBody:
		return fmt.Sprintf("<response too large: more than %d bytes>", maxRecordBody)
	case !utf8.Valid(body):
		return fmt.Sprintf("<binary response: %d bytes>", len(body))
	}
	return string(body)
}

// errorReader gives the error of a body that broke off to whoever reads it.
type errorReader struct{ err error }

// Read implements io.Reader.
func (r errorReader) Read([]byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	return 0, io.EOF
}
