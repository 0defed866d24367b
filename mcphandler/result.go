package mcphandler

import (
	"encoding/json"
	"errors"
)

// encodeResult answers a call with what its tool returned. The parts pass
// through as they are, but only when they are JSON: a part that is not would
// let a tool's data become members of the response.
func (h *Handler) encodeResult(c *call, r *Result) (answer, error) {
	content := r.Content
	if len(content) == 0 {
		content = json.RawMessage("[]")
	}
	if !r.isMade() && (!isArray(content) || !validJSON(content)) {
		return answer{}, errors.New("the content of the result is not a JSON array")
	}
	structured := r.StructuredContent
	if len(structured) > 0 && !validJSON(structured) {
		return answer{}, errors.New("the structured content of the result is not JSON")
	}
	b := openResult(c.msg.id, len(content)+len(structured)+len(h.answers.callEnd)+64)
	b = append(append(b, `{"content":`...), content...)
	if c.shows(structured) {
		b = append(append(b, `,"structuredContent":`...), structured...)
	}
	if r.IsError {
		b = append(b, `,"isError":true`...)
	}
	if c.revision.isStateless() {
		return closeResult(append(b, h.answers.callEnd...)), nil
	}
	return closeResult(append(b, '}')), nil
}

// shows reports whether the client's revision has room for structured content:
// an object since 2025-06-18, any value since 2026-07-28.
func (c *call) shows(structured json.RawMessage) bool {
	switch {
	case len(structured) == 0:
		return false
	case c.revision.isStateless():
		return true
	}
	return c.revision.hasStructuredContent() && isObject(structured)
}

// errorResult answers a call with a result that the model reads as a failure.
func (h *Handler) errorResult(c *call, text string) answer {
	a, err := h.encodeResult(c, &Result{Content: textContent(text), IsError: true})
	if err != nil { // text always makes a JSON array
		return failed(c.msg.id, h.internal("result not made", c.caller, err))
	}
	return a
}
