package fakeapi

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// chatRequest is what the model looks at in the Chat Completions API, which
// clients speak to models that are not from a large house.
type chatRequest struct {
	Messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"` // a string or parts
	} `json:"messages"`
	Tools []struct {
		Function struct {
			Name string `json:"name"`
		} `json:"function"`
	} `json:"tools"`
}

func (a *API) chat(w http.ResponseWriter, r *http.Request) {
	var req chatRequest
	if !a.read(w, r, &req) {
		return
	}
	delta, reason := map[string]any{"role": "assistant", "content": "Hello."}, "stop"
	switch last := len(req.Messages) - 1; {
	case last >= 0 && req.Messages[last].Role == "tool":
		a.keep(resultText(req.Messages[last].Content))
		delta["content"] = "Done."
	case req.offers(a.tool):
		reason = "tool_calls"
		delta = map[string]any{"role": "assistant", "tool_calls": []any{map[string]any{
			"index": 0, "id": "call_e2e", "type": "function",
			"function": map[string]any{"name": a.tool, "arguments": "{}"},
		}}}
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for _, choice := range []map[string]any{
		{"index": 0, "delta": delta, "finish_reason": nil},
		{"index": 0, "delta": map[string]any{}, "finish_reason": reason},
	} {
		data, err := json.Marshal(map[string]any{
			"id": "chatcmpl-e2e", "object": "chat.completion.chunk", "created": 0, "model": "fake",
			"choices": []any{choice},
			"usage":   map[string]int{"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
		})
		if err != nil {
			return // maps of strings always make JSON
		}
		fmt.Fprintf(w, "data: %s\n\n", data)
	}
	fmt.Fprint(w, "data: [DONE]\n\n")
}

// offers reports whether the model may call a tool; requests for a title, for
// instance, come without any.
func (r *chatRequest) offers(tool string) bool {
	for _, t := range r.Tools {
		if t.Function.Name == tool {
			return true
		}
	}
	return false
}
