package mcphandler

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tidwall/gjson"
)

// Tool is something that a client can call. Implementations are safe for
// concurrent use and keep nothing of one caller for another.
type Tool interface {
	// Describe returns what tools/list says of the tool. It is called once,
	// when the tool is added, and must not depend on who asks.
	Describe() Description

	// Call runs the tool for c.Caller. The tool checks the arguments against
	// its input schema and refuses them with an [*ArgumentsError]. An error
	// that is a [*ConnectError] is answered with a way to connect; one that is a
	// [*ToolError] is shown to the model; [ErrInvalidToken] has the client log
	// the person in again; any other is logged, and the model is
	// told only that the tool failed.
	Call(ctx context.Context, c *Call) (*Result, error)
}

// Source is where a person's tools come from. The handler asks its sources in
// order; the first that has a name wins.
type Source interface {
	// List returns the tools that caller may see, always in the same order.
	List(ctx context.Context, caller *Caller) ([]Tool, error)

	// Lookup returns the tool called name, or nil when caller has none of that
	// name here.
	Lookup(ctx context.Context, caller *Caller, name string) (Tool, error)
}

// Description is the entry of a tool in tools/list.
type Description struct {
	// Name is unique within the endpoint: 1 to 128 characters of
	// [A-Za-z0-9_.-].
	Name string `json:"name"`
	// Title is the name for people. Optional.
	Title string `json:"title,omitempty"`
	// Description is what the model reads.
	Description string `json:"description,omitempty"`
	// InputSchema is a JSON Schema 2020-12 of type object. Required.
	InputSchema json.RawMessage `json:"inputSchema"`
	// OutputSchema describes structuredContent. Optional; clients older than
	// 2025-06-18 never see it.
	OutputSchema json.RawMessage `json:"outputSchema,omitempty"`
	// Annotations are hints for the client. Optional.
	Annotations *Annotations `json:"annotations,omitempty"`
}

// Annotations are a tool's hints, all optional (MCP, ToolAnnotations).
type Annotations struct {
	Title       string `json:"title,omitempty"`
	ReadOnly    *bool  `json:"readOnlyHint,omitempty"`
	Destructive *bool  `json:"destructiveHint,omitempty"`
	Idempotent  *bool  `json:"idempotentHint,omitempty"`
	OpenWorld   *bool  `json:"openWorldHint,omitempty"`
}

// Call is one tools/call.
type Call struct {
	Caller *Caller
	// Arguments is a JSON object, never empty: absent arguments are {}.
	Arguments json.RawMessage
	// Approval is the ID of a [ConnectError] that this call was answered with
	// before, if the client brought it back.
	Approval string
	// Progress tells the client how far a long call is (MCP,
	// notifications/progress); nil when nobody listens. It may be called from
	// any goroutine; after Call has returned it does nothing. With the first
	// report the answer becomes a stream, which is kept open for as long as the
	// call takes: then the call's context also ends when the client cancels the
	// call or does not read, when its token is revoked, or, a second after
	// Closing, with the cause [ErrClosing].
	Progress func(Progress)
	// Closing is closed when the server is about to stop, or to serve another
	// configuration: a tool that waits for a person answers then, one that works
	// goes on. Nil: never.
	Closing <-chan struct{}
}

// Result is what a tool answers. Its parts stay raw JSON on their way to the
// client.
type Result struct {
	// Content is a JSON array of content blocks. Empty means [].
	Content json.RawMessage
	// StructuredContent is any JSON value, or empty. It is checked by the tool
	// against its own output schema.
	StructuredContent json.RawMessage
	// IsError marks a failure that the model should see and may mend.
	IsError bool

	made json.RawMessage // Content, if this package made it of a text
}

// isMade reports whether Content is as this package made it, so that it needs no
// check.
func (r *Result) isMade() bool {
	return len(r.made) > 0 && len(r.made) == len(r.Content) && &r.made[0] == &r.Content[0]
}

// TextResult returns a result with one text block.
func TextResult(text string) *Result {
	content := textContent(text)
	return &Result{Content: content, made: content}
}

// ErrorResult returns a result that is marked as an error, with one text block
// for the model.
func ErrorResult(format string, args ...any) *Result {
	result := TextResult(fmt.Sprintf(format, args...))
	result.IsError = true
	return result
}

// textContent is the content of a result that is one text.
func textContent(text string) json.RawMessage {
	const open, end = `[{"type":"text","text":`, "}]"
	b := make([]byte, 0, len(open)+len(text)+strings.Count(text, `"`)+len(text)/8+len(end)+2) // room for what is escaped
	b = gjson.AppendJSONString(append(b, open...), text)
	return append(b, end...)
}

// ToolError is a failure of a tool that the model is told about: Message goes
// to the model, the wrapped cause to the log only.
type ToolError struct {
	Message string
	Cause   error
}

// Error implements error.
func (e *ToolError) Error() string {
	if e.Cause == nil {
		return e.Message
	}
	return fmt.Sprintf("%s: %v", e.Message, e.Cause)
}

// Unwrap returns the cause.
func (e *ToolError) Unwrap() error { return e.Cause }

// Reasons of a [ConnectError], as the model and the Alter SDK's clients know
// them.
const (
	ReasonAuthorizationRequired = "authorization_required"
	ReasonScopesMissing         = "scope_reauth_required"
	ReasonApprovalRequired      = "approval_required"
)

// ConnectError says that the caller must connect an account at a provider, widen
// what was granted, or approve the call, before the tool can run. How the client hears of it
// depends on what the client can do.
type ConnectError struct {
	Provider string // name in the configuration, such as "google"
	Title    string // name for people, such as "Google"
	Reason   string // one of the Reason constants
	URL      string // page where the person connects or approves
	// ID of an approval, with [ReasonApprovalRequired]: the call's next try finds
	// it in [Call.Approval], where the client keeps it.
	ID string
}

// Error implements error. The URL is left out: it belongs to one person.
func (e *ConnectError) Error() string {
	return fmt.Sprintf("provider %s: %s", e.Provider, e.Reason)
}
