package mcpclient

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// RPCError is a JSON-RPC error.
type RPCError struct {
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"`
}

// Error implements error.
func (e *RPCError) Error() string { return fmt.Sprintf("%s (%d): %s", e.Message, e.Code, e.Data) }

// Elicitations returns what the error -32042 of the old era asks for.
func (e *RPCError) Elicitations() ([]Elicitation, error) {
	var data struct {
		Elicitations []Elicitation `json:"elicitations"`
	}
	err := json.Unmarshal(e.Data, &data)
	return data.Elicitations, err
}

// Content is one block of a tool's result.
type Content struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// Result is a tool's result.
type Result struct {
	Content    []Content       `json:"content"`
	Structured json.RawMessage `json:"structuredContent"`
	IsError    bool            `json:"isError"`
	// Modern era only.
	Type          string                   `json:"resultType"`
	InputRequests map[string]*InputRequest `json:"inputRequests"`
	RequestState  string                   `json:"requestState"`
}

// InputRequest is something that the server asks of the person.
type InputRequest struct {
	Method string      `json:"method"`
	Params Elicitation `json:"params"`
}

// Elicitation asks the person to open an address.
type Elicitation struct {
	Mode    string `json:"mode"`
	Message string `json:"message"`
	URL     string `json:"url"`
}

// Text is the text of the result.
func (r *Result) Text() string {
	var b strings.Builder
	for _, c := range r.Content {
		b.WriteString(c.Text)
	}
	return b.String()
}

var link = regexp.MustCompile(`https?://[^\s"'<>)\]]+`)

// ConnectURL is the address at which the result asks the person to connect an
// account, or "": from the structured content, else from the text.
func (r *Result) ConnectURL() string {
	var structured struct {
		URL string `json:"connect_url"`
	}
	if json.Unmarshal(r.Structured, &structured) == nil && structured.URL != "" {
		return structured.URL
	}
	return strings.TrimRight(link.FindString(r.Text()), ".,")
}

// Initialize opens a session. The modern era has none.
func (c *Client) Initialize(ctx context.Context) error {
	if c.Revision == Modern {
		return nil
	}
	c.session = ""
	if _, err := c.call(ctx, "initialize", map[string]any{
		"protocolVersion": c.Revision, "capabilities": c.capabilities(), "clientInfo": clientInfo(),
	}, ""); err != nil {
		return fmt.Errorf("initialize: %w", err)
	}
	req, err := c.request(ctx, map[string]any{"jsonrpc": "2.0", "method": "notifications/initialized"}, "", "")
	if err != nil {
		return err
	}
	_, _, err = c.send(req, http.StatusAccepted)
	return err
}

// Tools returns the names of the tools in the order of the server.
func (c *Client) Tools(ctx context.Context) ([]string, error) {
	raw, err := c.call(ctx, "tools/list", nil, "")
	if err != nil {
		return nil, fmt.Errorf("tools/list: %w", err)
	}
	var list struct {
		Tools []struct {
			Name string `json:"name"`
		} `json:"tools"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("reading the tools: %w", err)
	}
	names := make([]string, len(list.Tools))
	for i, tool := range list.Tools {
		names[i] = tool.Name
	}
	return names, nil
}

// Call calls a tool. Extra is added to the parameters, as for the second round
// of an elicitation.
func (c *Client) Call(ctx context.Context, tool string, arguments, extra map[string]any) (*Result, error) {
	if arguments == nil {
		arguments = map[string]any{}
	}
	params := map[string]any{"name": tool, "arguments": arguments}
	for key, value := range extra {
		params[key] = value
	}
	raw, err := c.call(ctx, "tools/call", params, tool)
	if err != nil {
		return nil, fmt.Errorf("calling %s: %w", tool, err)
	}
	result := new(Result)
	if err := json.Unmarshal(raw, result); err != nil {
		return nil, fmt.Errorf("reading the result of %s: %w", tool, err)
	}
	return result, nil
}

// call sends one request and returns its result; name is the value of Mcp-Name.
func (c *Client) call(ctx context.Context, method string, params map[string]any, name string) (json.RawMessage, error) {
	c.lastID++
	if params == nil {
		params = map[string]any{}
	}
	meta := make(map[string]any)
	if c.Revision == Modern {
		meta["io.modelcontextprotocol/protocolVersion"] = c.Revision
		meta["io.modelcontextprotocol/clientCapabilities"] = c.capabilities()
		meta["io.modelcontextprotocol/clientInfo"] = clientInfo()
	}
	if c.Progress != nil {
		meta["progressToken"] = c.progressToken()
	}
	if len(meta) > 0 {
		params["_meta"] = meta
	}
	message := map[string]any{"jsonrpc": "2.0", "id": c.lastID, "method": method, "params": params}
	req, err := c.request(ctx, message, method, name)
	if err != nil {
		return nil, err
	}
	resp, body, err := c.send(req, http.StatusOK)
	if err != nil {
		return nil, err
	}
	if method == "initialize" {
		c.session = resp.Header.Get("Mcp-Session-Id")
	}
	return c.answer(resp, body)
}

// request makes the POST with the headers of the era.
func (c *Client) request(ctx context.Context, message map[string]any, method, name string) (*http.Request, error) {
	body, err := json.Marshal(message)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	if c.Tokens.AccessToken != "" {
		req.Header.Set("Authorization", "Bearer "+c.Tokens.AccessToken)
	}
	if method != "initialize" {
		req.Header.Set("MCP-Protocol-Version", c.Revision)
	}
	if c.session != "" {
		req.Header.Set("Mcp-Session-Id", c.session)
	}
	if c.Revision == Modern {
		req.Header.Set("Mcp-Method", method)
		if name != "" {
			req.Header.Set("Mcp-Name", name)
		}
	}
	return req, nil
}

// answer finds the answer to the last request in a JSON body or an SSE stream.
func (c *Client) answer(resp *http.Response, body []byte) (json.RawMessage, error) {
	messages := [][]byte{body}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		messages = nil
		for line := range bytes.Lines(body) {
			if data, ok := bytes.CutPrefix(line, []byte("data:")); ok {
				messages = append(messages, data)
			}
		}
	}
	for i, raw := range messages {
		var message struct {
			ID     json.RawMessage `json:"id"`
			Result json.RawMessage `json:"result"`
			Error  *RPCError       `json:"error"`
		}
		if err := json.Unmarshal(raw, &message); err != nil {
			return nil, fmt.Errorf("reading an answer: %w", err)
		}
		if string(message.ID) != fmt.Sprint(c.lastID) {
			continue
		}
		if i != len(messages)-1 {
			return nil, fmt.Errorf("something follows the answer to request %d in %q", c.lastID, body)
		}
		if message.Error != nil {
			return nil, message.Error
		}
		return message.Result, nil
	}
	return nil, fmt.Errorf("no answer to request %d in %q", c.lastID, body)
}

func (c *Client) capabilities() map[string]any {
	if c.Elicitation {
		return map[string]any{"elicitation": map[string]any{"url": map[string]any{}}}
	}
	return map[string]any{}
}

func clientInfo() map[string]string { return map[string]string{"name": "e2e", "version": "1.0.0"} }
