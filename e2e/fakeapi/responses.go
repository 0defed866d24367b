package fakeapi

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// responsesRequest is what the model looks at in the Responses API.
type responsesRequest struct {
	Input []struct {
		Type   string          `json:"type"`
		Output json.RawMessage `json:"output"` // of a function_call_output: a string or parts
	} `json:"input"`
	Tools []responsesTool `json:"tools"`
}

// responsesTool is a function, or a namespace that holds some.
type responsesTool struct {
	Type  string          `json:"type"`
	Name  string          `json:"name"`
	Tools []responsesTool `json:"tools"`
}

func (a *API) responses(w http.ResponseWriter, r *http.Request) {
	var req responsesRequest
	if !a.read(w, r, &req) {
		return
	}
	item := a.thinkResponse(&req)
	w.Header().Set("Content-Type", "text/event-stream")
	response := map[string]any{
		"id": "resp_e2e", "object": "response", "output": []any{item},
		"usage": map[string]any{"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
	}
	for _, event := range []map[string]any{
		{"type": "response.created", "response": map[string]any{"id": "resp_e2e"}},
		{"type": "response.output_item.done", "output_index": 0, "item": item},
		{"type": "response.completed", "response": response},
	} {
		data, err := json.Marshal(event)
		if err != nil {
			return // maps of strings always make JSON
		}
		fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event["type"], data)
	}
}

// thinkResponse does what think does.
func (a *API) thinkResponse(req *responsesRequest) map[string]any {
	if last := len(req.Input) - 1; last >= 0 && req.Input[last].Type == "function_call_output" {
		a.keep(resultText(req.Input[last].Output))
		return answerItem("Done.")
	}
	for _, tool := range req.Tools {
		if tool.Type == "function" && tool.Name == a.tool {
			return callItem("", tool.Name)
		}
		for _, inner := range tool.Tools {
			if tool.Name+"__"+inner.Name == a.tool {
				return callItem(tool.Name, inner.Name)
			}
		}
	}
	return answerItem("Hello.")
}

func callItem(namespace, name string) map[string]any {
	item := map[string]any{
		"type": "function_call", "id": "fc_e2e", "call_id": "call_e2e", "status": "completed",
		"name": name, "arguments": "{}",
	}
	if namespace != "" {
		item["namespace"] = namespace
	}
	return item
}

func answerItem(text string) map[string]any {
	return map[string]any{
		"type": "message", "id": "msg_e2e", "role": "assistant", "status": "completed",
		"content": []any{map[string]any{"type": "output_text", "text": text, "annotations": []any{}}},
	}
}
