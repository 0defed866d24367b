// Package fakeapi is a model behind the Messages, the Chat Completions and the
// Responses API that always does the same: it calls one tool and then says that
// it is done. What the tool answered is kept for the test.
package fakeapi

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const maxBody = 32 << 20 // bytes of one request

// API is the fake API on a loopback port.
type API struct {
	// URL is the base URL of the API.
	URL string

	tool   string
	server *http.Server

	mu      sync.Mutex
	results []string
	faults  []string
}

// New starts an API whose model calls the tool of that name, without arguments.
func New(tool string) (*API, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for the fake api: %w", err)
	}
	a := &API{URL: "http://" + ln.Addr().String(), tool: tool}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/messages", a.messages)
	mux.HandleFunc("POST /v1/messages/count_tokens", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]int{"input_tokens": 1})
	})
	mux.HandleFunc("POST /v1/chat/completions", a.chat)
	mux.HandleFunc("POST /v1/responses", a.responses)
	a.server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go a.server.Serve(ln) //nolint:errcheck // it ends with Close
	return a, nil
}

// Close ends the API.
func (a *API) Close() { _ = a.server.Close() }

// Results returns what the tool answered, as the client told the model.
func (a *API) Results() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.results)
}

// Faults returns what the client asked that the API could not answer.
func (a *API) Faults() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.faults)
}

// request is what the model looks at.
type request struct {
	Model    string `json:"model"`
	Stream   bool   `json:"stream"`
	Messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"` // a string or blocks
	} `json:"messages"`
	Tools []struct {
		Name string `json:"name"`
	} `json:"tools"`
}

// block is a content block of either direction.
type block struct {
	Type    string          `json:"type"`
	Content json.RawMessage `json:"content,omitempty"` // of a tool_result
	Text    string          `json:"text,omitempty"`
	ID      string          `json:"id,omitempty"`
	Name    string          `json:"name,omitempty"`
	Input   *struct{}       `json:"input,omitempty"`
}

func (a *API) messages(w http.ResponseWriter, r *http.Request) {
	var req request
	if !a.read(w, r, &req) {
		return
	}
	answer, reason := a.think(&req)
	if req.Stream {
		writeStream(w, req.Model, answer, reason)
		return
	}
	writeJSON(w, message(req.Model, []block{answer}, &reason))
}

// read reads a request, or answers that it is malformed.
func (a *API) read(w http.ResponseWriter, r *http.Request, req any) bool {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		err = json.Unmarshal(body, req)
	}
	if err != nil {
		a.mu.Lock()
		a.faults = append(a.faults, err.Error())
		a.mu.Unlock()
		http.Error(w, `{"type":"error","error":{"type":"invalid_request_error","message":"malformed"}}`, http.StatusBadRequest)
	}
	return err == nil
}

// keep keeps what the tool answered.
func (a *API) keep(result string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.results = append(a.results, result)
}

// think returns the model's answer: the call of the tool, or, when the tool has
// answered or is not offered, as in requests for a title, a text.
func (a *API) think(req *request) (answer block, stopReason string) {
	if result, ok := req.toolResult(); ok {
		a.keep(result)
		return block{Type: "text", Text: "Done."}, "end_turn"
	}
	for _, tool := range req.Tools {
		if tool.Name == a.tool {
			return block{Type: "tool_use", ID: "toolu_e2e", Name: a.tool, Input: new(struct{})}, "tool_use"
		}
	}
	return block{Type: "text", Text: "Hello."}, "end_turn"
}

// toolResult is the text of the tool result in the last message.
func (r *request) toolResult() (string, bool) {
	if len(r.Messages) == 0 {
		return "", false
	}
	var blocks []block
	if json.Unmarshal(r.Messages[len(r.Messages)-1].Content, &blocks) != nil {
		return "", false // a string
	}
	for _, b := range blocks {
		if b.Type == "tool_result" {
			return resultText(b.Content), true
		}
	}
	return "", false
}

// resultText is the text of a tool result, which is a string or blocks.
func resultText(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var blocks []block
	if json.Unmarshal(raw, &blocks) != nil {
		return string(raw)
	}
	var b strings.Builder
	for _, part := range blocks {
		b.WriteString(part.Text)
	}
	return b.String()
}

func message(model string, content []block, stopReason *string) map[string]any {
	return map[string]any{
		"id": "msg_e2e", "type": "message", "role": "assistant", "model": model,
		"content": content, "stop_reason": stopReason, "stop_sequence": nil,
		"usage": map[string]int{"input_tokens": 1, "output_tokens": 1},
	}
}

// writeStream sends the answer as the events of the streaming API.
func writeStream(w http.ResponseWriter, model string, answer block, reason string) {
	w.Header().Set("Content-Type", "text/event-stream")
	begun, delta := answer, map[string]any{"type": "input_json_delta", "partial_json": "{}"}
	if answer.Type == "text" {
		begun = block{Type: "text"}
		delta = map[string]any{"type": "text_delta", "text": answer.Text}
	}
	for _, event := range []map[string]any{
		{"type": "message_start", "message": message(model, []block{}, nil)},
		{"type": "content_block_start", "index": 0, "content_block": begun.started()},
		{"type": "content_block_delta", "index": 0, "delta": delta},
		{"type": "content_block_stop", "index": 0},
		{"type": "message_delta", "delta": map[string]any{"stop_reason": reason, "stop_sequence": nil}, "usage": map[string]int{"output_tokens": 1}},
		{"type": "message_stop"},
	} {
		data, err := json.Marshal(event)
		if err != nil {
			return // maps of strings always make JSON
		}
		fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event["type"], data)
	}
}

// started is the block as the stream announces it: a text is there, but empty.
func (b block) started() map[string]any {
	if b.Type == "text" {
		return map[string]any{"type": "text", "text": ""}
	}
	return map[string]any{"type": b.Type, "id": b.ID, "name": b.Name, "input": map[string]any{}}
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client is gone if this fails
}
