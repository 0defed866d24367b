package mcphandler

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// tracerName is the instrumentation scope of this project's spans.
const tracerName = "github.com/alter-mcp/caddy-alter-mcp"

// startSpan begins the span of a call, below that of the HTTP request, where
// there is one that is recorded. Names are those of OpenTelemetry's semantic
// conventions for MCP and generative AI. Arguments and results stay out of it.
func startSpan(ctx context.Context, c *call) context.Context {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx
	}
	ctx, c.span = parent.TracerProvider().Tracer(tracerName).Start(ctx, "tools/call "+c.tool.Name,
		trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			attribute.String("mcp.method.name", "tools/call"),
			attribute.String("mcp.protocol.version", string(c.revision)),
			attribute.String("gen_ai.operation.name", "execute_tool"),
			attribute.String("gen_ai.tool.name", c.tool.Name),
			attribute.String("user.id", c.caller.UserID),
		))
	return ctx
}

// endSpan ends the span of a call, if there is one.
func endSpan(c *call, outcome string) {
	if c.span == nil {
		return
	}
	if outcome != outcomeOK {
		c.span.SetAttributes(attribute.String("error.type", outcome))
		c.span.SetStatus(codes.Error, outcome)
	}
	c.span.End()
}
