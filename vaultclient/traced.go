package vaultclient

import (
	"fmt"
	"net/http"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Traced returns a RoundTripper that makes a span of each request, below the span
// of the request's context, where that is recorded. Names are those of
// OpenTelemetry's semantic conventions for HTTP clients. The URL is not in it but
// for the host: path and query may hold what a person wrote. A traceparent is sent
// only where the request has one already, which then names the new span: what
// calls of a person belong together is none of a provider's business.
func Traced(base http.RoundTripper) http.RoundTripper { return &traced{base} }

type traced struct{ base http.RoundTripper }

// CloseIdleConnections closes those of the base.
func (t *traced) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// RoundTrip implements http.RoundTripper.
func (t *traced) RoundTrip(req *http.Request) (*http.Response, error) {
	parent := trace.SpanFromContext(req.Context())
	if !parent.IsRecording() {
		return t.base.RoundTrip(req)
	}
	tracer := parent.TracerProvider().Tracer("github.com/alter-mcp/caddy-alter-mcp/vaultclient")
	ctx, span := tracer.Start(req.Context(), req.Method, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("http.request.method", req.Method), attribute.String("server.address", req.URL.Hostname()),
	))
	defer span.End()
	if port, err := strconv.Atoi(req.URL.Port()); err == nil {
		span.SetAttributes(attribute.Int("server.port", port))
	}
	out := req.WithContext(ctx)
	if req.Header.Get("Traceparent") != "" {
		carrier := make(propagation.MapCarrier)
		propagation.TraceContext{}.Inject(ctx, carrier)
		out.Header = req.Header.Clone()
		out.Header.Set("Traceparent", carrier.Get("traceparent"))
	}
	resp, err := t.base.RoundTrip(out)
	switch {
	case err != nil:
		kind := fmt.Sprintf("%T", err) // its text may hold the URL
		span.SetAttributes(attribute.String("error.type", kind))
		span.SetStatus(codes.Error, kind)
	default:
		span.SetAttributes(attribute.Int("http.response.status_code", resp.StatusCode))
		if resp.StatusCode >= http.StatusBadRequest {
			span.SetAttributes(attribute.String("error.type", strconv.Itoa(resp.StatusCode)))
			span.SetStatus(codes.Error, "")
		}
	}
	return resp, err
}
