package mcphandler

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
)

// Outcomes of a [CallRecord].
const (
	outcomeOK               = "ok"
	outcomeToolError        = "tool_error"
	outcomeConnect          = "connect"
	outcomeLogin            = "login"
	outcomeInvalidArguments = "invalid_arguments"
	outcomeUnknownTool      = "unknown_tool"
	outcomeFailed           = "failed"
	outcomeCanceled         = "canceled"
)

// ArgumentsError is what a [Tool] returns for arguments that its input schema
// refuses. The model is told Message, so that it can mend them.
type ArgumentsError struct {
	Message string
}

// Error implements error.
func (e *ArgumentsError) Error() string { return "invalid arguments: " + e.Message }

// call is one tools/call under way.
type call struct {
	*request
	name      string
	arguments json.RawMessage
	tool      *described
	started   time.Time
	approval  string     // that the client came back for
	span      trace.Span // nil where nobody records it
}

// callTool answers tools/call.
func (h *Handler) callTool(ctx context.Context, req *request) answer {
	c := call{request: req, arguments: req.msg.params.arguments, started: h.cfg.Now()}
	if !isString(req.msg.params.name) {
		return failed(req.msg.id, invalidParams("name is not a string"))
	}
	c.name = decodeString(req.msg.params.name)
	if req.revision.isStateless() {
		if f := matchEncoded(req.header, "Mcp-Name", c.name); f != nil {
			return failed(req.msg.id, f)
		}
	}
	if c.arguments == nil || isNull(c.arguments) {
		c.arguments = json.RawMessage("{}")
	}
	if f := checkArguments(c.arguments); f != nil {
		return failed(req.msg.id, f)
	}
	tool, err := h.lookup(ctx, req.caller, c.name)
	switch {
	case err != nil:
		return h.broken(ctx, &c, err)
	case tool == nil:
		h.record(&c, outcomeUnknownTool)
		return failed(req.msg.id, invalidParams("Unknown tool: "+clip(c.name)))
	}
	c.tool = tool
	return h.callKnown(ctx, &c)
}

func (h *Handler) callKnown(ctx context.Context, c *call) answer {
	if c.revision.isStateless() {
		if f := matchParams(c.header, c.tool.params, c.arguments); f != nil {
			return failed(c.msg.id, f)
		}
		refused, f := h.resume(c)
		if f != nil {
			return failed(c.msg.id, f)
		}
		if refused != nil {
			h.record(c, outcomeConnect)
			return h.connectText(c, refused)
		}
	}
	result, err := h.run(startSpan(ctx, c), c)
	if err != nil {
		return h.answerError(ctx, c, err)
	}
	a, err := h.encodeResult(c, result)
	if err != nil {
		return h.broken(ctx, c, err)
	}
	outcome := outcomeOK
	if result.IsError {
		outcome = outcomeToolError
	}
	h.record(c, outcome)
	return a
}

// checkArguments refuses arguments that two readers could read differently.
func checkArguments(arguments json.RawMessage) *failure {
	if !isObject(arguments) {
		return invalidParams("arguments is not an object")
	}
	if repeats(arguments) {
		return invalidParams("an argument stands there twice")
	}
	return nil
}

// lookup returns the caller's tool called name, or nil.
func (h *Handler) lookup(ctx context.Context, caller *Caller, name string) (*described, error) {
	if !isToolName(name) {
		return nil, nil
	}
	for i, source := range h.cfg.Sources {
		tool, err := source.Lookup(ctx, caller, name)
		if err != nil {
			return nil, fmt.Errorf("asking source %d: %w", i, err)
		}
		if tool != nil {
			return describe(tool)
		}
	}
	return nil, nil
}

// run calls the tool. A panic is its own failure, not the server's.
func (h *Handler) run(ctx context.Context, c *call) (result *Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			result, err = nil, &panicError{value: p, stack: debug.Stack()}
		}
	}()
	call := &Call{Caller: c.caller, Arguments: c.arguments, Approval: c.approval, Closing: h.cfg.Closing}
	if c.stream != nil {
		call.Progress = c.stream.progress
	}
	result, err = c.tool.Call(ctx, call)
	if err == nil && result == nil {
		err = errors.New("the tool returned no result")
	}
	return result, err
}

// panicError is a panic of a tool.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("the tool panicked: %v", e.value) }

// answerError answers a call whose tool returned err.
func (h *Handler) answerError(ctx context.Context, c *call, err error) answer {
	var (
		connect   *ConnectError
		arguments *ArgumentsError
		tool      *ToolError
	)
	switch {
	case errors.As(err, &connect):
		h.record(c, outcomeConnect)
		return h.connectAnswer(c, connect)
	case errors.Is(err, ErrInvalidToken):
		return h.loginEnded(c, err)
	case errors.As(err, &arguments):
		h.record(c, outcomeInvalidArguments)
		return h.errorResult(c, "Invalid arguments: "+arguments.Message)
	case errors.As(err, &tool):
		h.record(c, outcomeToolError)
		if tool.Cause != nil {
			h.logger.Info("tool error", zap.String("tool", c.tool.Name),
				zap.String("user_id", c.caller.UserID), zap.Error(tool.Cause))
		}
		return h.errorResult(c, tool.Message)
	}
	return h.broken(ctx, c, err)
}

// broken answers a call that failed for a reason that is nobody's business but
// the operator's. The reference finds it in the log. A client that went away is
// no failure.
func (h *Handler) broken(ctx context.Context, c *call, err error) answer {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, ErrInvalidToken):
		return h.loginEnded(c, cause)
	case errors.Is(cause, ErrClosing):
		h.record(c, outcomeCanceled)
		return h.errorResult(c, "the server restarts; call the tool again")
	case cause != nil:
		h.record(c, outcomeCanceled)
		return h.errorResult(c, "the call was canceled")
	}
	h.record(c, outcomeFailed)
	reference := h.logFailure("tool failed", c.caller, err, zap.String("tool", clip(c.name)))
	return h.errorResult(c, "the tool failed (reference "+reference+")")
}

// loginEnded answers a call whose caller has to log in again.
func (h *Handler) loginEnded(c *call, err error) answer {
	h.record(c, outcomeLogin)
	h.logger.Info("a caller has to log in again", zap.String("tool", c.tool.Name), zap.String("user_id", c.caller.UserID), zap.Error(err))
	return failed(c.msg.id, h.loginAgain(c.endpoint))
}

// internal logs err and returns the failure that the client is told.
func (h *Handler) internal(message string, caller *Caller, err error) *failure {
	reference := h.logFailure(message, caller, err)
	return &failure{
		status: http.StatusOK, code: codeInternal,
		message: "Internal error (reference " + reference + ")",
	}
}

func (h *Handler) logFailure(message string, caller *Caller, err error, fields ...zap.Field) string {
	reference := h.randomID()
	fields = append(fields, zap.String("reference", reference),
		zap.String("user_id", caller.UserID), zap.String("client_id", caller.ClientID), zap.Error(err))
	var p *panicError
	if errors.As(err, &p) {
		fields = append(fields, zap.ByteString("stack", p.stack))
	}
	h.logger.Error(message, fields...)
	return reference
}

// randomID returns 128 random bits. Should Random fail, the id is still random:
// it guards nothing.
func (h *Handler) randomID() string {
	var b [16]byte
	if _, err := io.ReadFull(h.cfg.Random, b[:]); err != nil {
		return rand.Text()
	}
	return fmt.Sprintf("%x", b)
}

func (h *Handler) record(c *call, outcome string) {
	endSpan(c, outcome)
	if h.cfg.Record == nil {
		return
	}
	h.cfg.Record(CallRecord{
		Caller: c.caller, Tool: clip(c.name), Outcome: outcome, Duration: h.cfg.Now().Sub(c.started),
	})
}

// clip makes a name that a client made up fit for a log: one that no tool can
// have is shortened, and its controls and odd letters are escaped.
func clip(name string) string {
	switch {
	case isToolName(name):
		return name
	case len(name) <= maxToolName:
		return strconv.QuoteToASCII(name)
	}
	return strconv.QuoteToASCII(name[:maxToolName]) + "…"
}
