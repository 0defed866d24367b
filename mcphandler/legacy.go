package mcphandler

import (
	"context"
	"net/http"
	"strconv"
)

// serveLegacy serves a message of a revision with handshake. A request without
// a session id is served all the same: nothing but the form of the connect
// answer depends on what a session knows.
func (h *Handler) serveLegacy(ctx context.Context, req *request) answer {
	if req.msg.method == "initialize" {
		return h.initialize(req)
	}
	if f := h.joinSession(ctx, req); f != nil {
		return failed(req.msg.id, f)
	}
	return h.dispatchLegacy(ctx, req)
}

func (h *Handler) dispatchLegacy(ctx context.Context, req *request) answer {
	if req.msg.isNotification() {
		if req.msg.method == "notifications/cancelled" {
			h.streams.cancel(req)
		}
		return accepted()
	}
	switch req.msg.method {
	case "ping":
		return succeeded(req.msg.id, []byte("{}"))
	case "tools/list":
		return h.listTools(ctx, req)
	case "tools/call":
		return h.callTool(ctx, req)
	}
	return failed(req.msg.id, &failure{
		status: http.StatusOK, code: codeMethodNotFound, message: "Method not found",
	})
}

// initialize begins a session. The revision that the client asks for is agreed
// to when it is served; if not, the client is offered the newest of its era.
func (h *Handler) initialize(req *request) answer {
	version := req.msg.params.protocolVersion
	if !isString(version) {
		return failed(req.msg.id, invalidParams("protocolVersion is not a string"))
	}
	agreed := newestHandshake
	if asked := decodeString(version); isHandshake(asked) {
		agreed = revision(asked)
	}
	id, err := h.newSession(req, session{
		revision:  agreed,
		opensURLs: agreed >= revision20251125 && declaresURLs(req.msg.params.capabilities),
	})
	if err != nil {
		return failed(req.msg.id, h.internal("session not made", req.caller, err))
	}
	rest := h.answers.initialize
	if agreed.hasStructuredContent() {
		rest = h.answers.initializeTitled
	}
	result := append([]byte(`{"protocolVersion":"`+string(agreed)+`",`), rest...)
	a := succeeded(req.msg.id, result)
	a.session = id
	return a
}

// joinSession finds the revision that holds for req: the one that its session
// agreed on, or that its header names, or the one that had no such header.
func (h *Handler) joinSession(ctx context.Context, req *request) *failure {
	if version := versionHeader(req.header); version != "" {
		if !isHandshake(version) {
			return unsupportedVersion(version)
		}
		req.revision = revision(version)
	} else {
		req.revision = revision20250326
	}
	id := sessionHeader(req.header)
	if id == "" {
		return nil
	}
	s, f := h.openSession(ctx, req, id)
	if f != nil {
		return f
	}
	req.revision, req.opensURLs = s.revision, s.opensURLs
	return nil
}

// serveBatch serves a JSON array of messages, one after the other, which only
// revision 2025-03-26 knows.
func (h *Handler) serveBatch(ctx context.Context, w http.ResponseWriter, req *request, body []byte) {
	noBatches := invalidRequest("the protocol revision knows no batches")
	if version := versionHeader(req.header); version != "" && revision(version) != revision20250326 {
		refuse(w, noBatches)
		return
	}
	if f := h.joinSession(ctx, req); f != nil {
		refuse(w, f)
		return
	}
	if req.revision != revision20250326 {
		refuse(w, noBatches)
		return
	}
	parts := elementsOf(body, h.cfg.MaxBatch)
	if len(parts) == 0 || len(parts) > h.cfg.MaxBatch {
		refuse(w, invalidRequest("a batch has 1 to "+strconv.Itoa(h.cfg.MaxBatch)+" messages"))
		return
	}
	var responses [][]byte
	for _, part := range parts {
		if response := h.serveBatched(ctx, *req, part).body; response != nil {
			responses = append(responses, response)
		}
	}
	if responses == nil {
		send(w, accepted())
		return
	}
	send(w, answer{status: http.StatusOK, body: joinArray(responses)})
}

func (h *Handler) serveBatched(ctx context.Context, req request, part []byte) answer {
	var f *failure
	if req.msg, f = parseMessage(part); f != nil {
		return failed(req.msg.id, f)
	}
	if req.msg.method == "initialize" {
		return failed(req.msg.id, invalidRequest("initialize must not be part of a batch"))
	}
	return h.dispatchLegacy(ctx, &req)
}

func joinArray(elements [][]byte) []byte {
	size := 2
	for _, e := range elements {
		size += len(e) + 1
	}
	b := append(make([]byte, 0, size), '[')
	for i, e := range elements {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, e...)
	}
	return append(b, ']')
}
