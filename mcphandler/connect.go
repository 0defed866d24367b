package mcphandler

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

const (
	statePurpose = "mcp request state"
	// stateLifetime is how long a person has for connecting before the client
	// has to ask again. It outlives no connect link.
	stateLifetime = 10 * time.Minute
	// maxState bounds what is decoded of a request state, in bytes.
	maxState = 16 << 10
	// connectKey is the name of our only input request.
	connectKey = "connect"
)

// elicitation asks a person to open a URL (MCP, elicitation/create of mode url).
type elicitation struct {
	Mode    string `json:"mode"`
	ID      string `json:"elicitationId,omitempty"` // 2025-11-25 alone
	URL     string `json:"url"`
	Message string `json:"message"`
}

// connectAnswer asks the person to connect, in the way that the client can: an
// input request in the stateless revision, an error in 2025-11-25, a text else.
func (h *Handler) connectAnswer(c *call, e *ConnectError) answer {
	if !c.opensURLs {
		return h.connectText(c, e)
	}
	ask := elicitation{Mode: "url", URL: e.URL, Message: connectMessage(e)}
	if c.revision.isStateless() {
		return h.inputRequired(c, e, ask)
	}
	ask.ID = h.randomID()
	return failed(c.msg.id, &failure{
		status: http.StatusOK, code: codeElicitationNeeded, message: ask.Message,
		data: map[string]any{"elicitations": []elicitation{ask}},
	})
}

// connectText is the answer to a client that cannot open URLs: a failed result
// whose text holds the link. A tool with an output schema must not carry other
// structured content than that describes.
func (h *Handler) connectText(c *call, e *ConnectError) answer {
	message := connectMessage(e)
	result := &Result{
		Content: textContent(message + " Open this link in a browser, then call the tool again: " + e.URL),
		IsError: true,
	}
	if len(c.tool.OutputSchema) == 0 {
		content := struct {
			Error       string `json:"error"`
			Provider    string `json:"provider"`
			Message     string `json:"message"`
			ConnectURL  string `json:"connect_url,omitempty"`
			ApprovalURL string `json:"approval_url,omitempty"`
		}{Error: e.Reason, Provider: e.Provider, Message: message}
		if e.Reason == ReasonApprovalRequired {
			content.ApprovalURL = e.URL
		} else {
			content.ConnectURL = e.URL
		}
		result.StructuredContent = appendJSON(nil, content)
	}
	a, err := h.encodeResult(c, result)
	if err != nil { // strings always make JSON
		return failed(c.msg.id, h.internal("result not made", c.caller, err))
	}
	return a
}

func connectMessage(e *ConnectError) string {
	title := e.Title
	if title == "" {
		title = e.Provider
	}
	switch e.Reason {
	case ReasonApprovalRequired:
		return "This call to " + title + " waits for your approval."
	case ReasonScopesMissing:
		return "This tool needs more permissions for your " + title + " account."
	}
	return "This tool needs access to your " + title + " account."
}

// inputRequired is the answer of the stateless revision (MCP, multi round-trip
// requests). Everything that the retry needs goes out with it, sealed.
func (h *Handler) inputRequired(c *call, e *ConnectError, ask elicitation) answer {
	state, err := h.sealState(c, e)
	if err != nil {
		return failed(c.msg.id, h.internal("request state not made", c.caller, err))
	}
	meta := h.answers.callEnd[len(`,"resultType":"complete"`):]
	b := openResult(c.msg.id, 256+len(state)+len(meta)+2*len(e.URL))
	b = append(b, `{"resultType":"input_required","inputRequests":`...)
	b = appendJSON(b, map[string]any{
		connectKey: struct {
			Method string      `json:"method"`
			Params elicitation `json:"params"`
		}{"elicitation/create", ask},
	})
	b = append(b, `,"requestState":"`+state+`"`...)
	return closeResult(append(b, meta...))
}

// requestState is what the client brings back with the person's answer. User,
// client, endpoint and call are not in it: it is sealed for them.
type requestState struct {
	Expires  int64  `json:"e"` // Unix time
	Provider string `json:"p"`
	Title    string `json:"t,omitempty"`
	Reason   string `json:"r"`
	URL      string `json:"u"`
	ID       string `json:"i,omitempty"` // of an approval
}

func (h *Handler) sealState(c *call, e *ConnectError) (string, error) {
	ad, err := c.stateBinding()
	if err != nil {
		return "", err
	}
	plain := appendJSON(nil, requestState{
		Expires:  h.cfg.Now().Add(stateLifetime).Unix(),
		Provider: e.Provider, Title: e.Title, Reason: e.Reason, URL: e.URL, ID: e.ID,
	})
	sealed, err := h.cfg.Sealer.Seal(plain, ad)
	if err != nil {
		return "", fmt.Errorf("sealing a request state: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// stateBinding binds a state to one caller and one call. A retry may spell the
// same arguments differently, so their digest is that of a canonical form.
func (c *call) stateBinding() ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(c.arguments))
	decoder.UseNumber()
	var arguments any
	if err := decoder.Decode(&arguments); err != nil {
		return nil, fmt.Errorf("reading the arguments: %w", err)
	}
	canonical, err := json.Marshal(arguments)
	if err != nil {
		return nil, fmt.Errorf("writing the arguments: %w", err)
	}
	digest := sha256.Sum256(canonical)
	return binding(statePurpose, c.endpoint, c.caller.UserID, c.caller.ClientID,
		c.msg.method, c.name, string(digest[:])), nil
}

// resume checks the request state of a retry. It returns what was asked when the
// person declined, and the tool is not to run; nil when it is. Responses that
// come without a state answer nothing that we know of.
func (h *Handler) resume(c *call) (declined *ConnectError, f *failure) {
	raw := c.msg.params.requestState
	if raw == nil {
		return nil, nil
	}
	state, ok := h.openState(c, raw)
	if !ok {
		return nil, badRetry("requestState is invalid or expired")
	}
	responses := c.msg.params.inputResponses
	if responses != nil && !isObject(responses) {
		return nil, badRetry("inputResponses is not an object")
	}
	c.approval = state.ID
	action := member(member(responses, connectKey), "action")
	if action == nil || !isString(action) {
		return nil, nil // asked again, if the grant still lacks
	}
	switch decodeString(action) {
	case "decline", "cancel":
		return &ConnectError{Provider: state.Provider, Title: state.Title, Reason: state.Reason, URL: state.URL}, nil
	}
	return nil, nil
}

func (h *Handler) openState(c *call, raw json.RawMessage) (*requestState, bool) {
	if !isString(raw) || len(raw) > maxState {
		return nil, false
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(decodeString(raw))
	if err != nil {
		return nil, false
	}
	ad, err := c.stateBinding()
	if err != nil {
		return nil, false
	}
	plain, err := h.cfg.Sealer.Open(sealed, ad)
	if err != nil {
		return nil, false
	}
	state := new(requestState)
	if err := json.Unmarshal(plain, state); err != nil {
		return nil, false
	}
	return state, h.cfg.Now().Before(time.Unix(state.Expires, 0))
}

func badRetry(message string) *failure {
	return &failure{status: http.StatusBadRequest, code: codeInvalidParams, message: message}
}
