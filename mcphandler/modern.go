package mcphandler

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// serveModern serves a message of the stateless revision 2026-07-28. A session
// id or a Last-Event-ID that comes with it means nothing.
func (h *Handler) serveModern(ctx context.Context, req *request) answer {
	if req.msg.isNotification() {
		return accepted() // the revision defines none, nor what headers one has
	}
	if f := checkModern(req); f != nil {
		return failed(req.msg.id, f)
	}
	req.revision = revision20260728
	req.opensURLs = declaresURLs(req.msg.params.meta.capabilities)
	switch req.msg.method {
	case "server/discover":
		return succeeded(req.msg.id, h.answers.discover)
	case "tools/list":
		return h.listTools(ctx, req)
	case "tools/call":
		return h.callTool(ctx, req)
	}
	return failed(req.msg.id, &failure{
		status: http.StatusNotFound, code: codeMethodNotFound, message: "Method not found",
	})
}

// checkModern checks what every request of the revision carries: the version in
// header and body, the method in the header, and the capabilities.
func checkModern(req *request) *failure {
	header, own := versionHeader(req.header), req.msg.params.meta
	switch {
	case header == "":
		return headerMismatch("the MCP-Protocol-Version header is missing")
	case own.version != "" && own.version != header:
		return headerMismatch("the MCP-Protocol-Version header is not the version in _meta")
	case revision(header) != revision20260728:
		return unsupportedVersion(header)
	case own.version == "":
		return malformedMeta(metaVersion)
	}
	if f := matchHeader(req.header, "Mcp-Method", req.msg.method); f != nil {
		return f
	}
	if own.capabilities == nil {
		return malformedMeta(metaCapabilities)
	}
	return nil
}

func malformedMeta(name string) *failure {
	return &failure{
		status: http.StatusBadRequest, code: codeInvalidParams,
		message: "_meta lacks a valid " + name,
	}
}

func headerMismatch(message string) *failure {
	return &failure{
		status: http.StatusBadRequest, code: codeHeaderMismatch,
		message: "Header mismatch: " + message,
	}
}

// answers are results, and ends of results, that are the same for all.
type answers struct {
	discover []byte
	// listEnd and callEnd are the members that the stateless revision adds to a
	// list and to the result of a call, each after a comma.
	listEnd, callEnd []byte
	// initialize is the result for a revision without and with titles, less its
	// first member, protocolVersion.
	initialize, initializeTitled []byte
}

// implementation is the schema type that names a server.
type implementation struct {
	Name    string `json:"name"`
	Title   string `json:"title,omitempty"`
	Version string `json:"version"`
}

// capabilities of the server: tools without listChanged, since a client that is
// promised notifications opens a stream for them.
type capabilities struct {
	Tools struct{} `json:"tools"`
}

func newAnswers(cfg *Config) (answers, error) {
	var a answers
	info := implementation{Name: cfg.Name, Title: cfg.Title, Version: cfg.Version}
	meta, err := json.Marshal(map[string]any{metaServerInfo: info})
	if err != nil {
		return a, fmt.Errorf("encoding the server's name: %w", err)
	}
	a.callEnd = fmt.Appendf(nil, `,"resultType":"complete","_meta":%s}`, meta)
	cache := fmt.Sprintf(`,"ttlMs":%d,"cacheScope":"private"`, cfg.CacheTTL.Milliseconds())
	a.listEnd = append([]byte(cache), a.callEnd...)

	discover, err := json.Marshal(struct {
		Versions     []revision   `json:"supportedVersions"`
		Capabilities capabilities `json:"capabilities"`
		Instructions string       `json:"instructions,omitempty"`
	}{supported(), capabilities{}, cfg.Instructions})
	if err != nil {
		return a, fmt.Errorf("encoding the answer to server/discover: %w", err)
	}
	a.discover = append(discover[:len(discover)-1], a.listEnd...)

	if a.initializeTitled, err = encodeInitialize(info, cfg.Instructions); err != nil {
		return a, err
	}
	info.Title = ""
	a.initialize, err = encodeInitialize(info, cfg.Instructions)
	return a, err
}

func encodeInitialize(info implementation, instructions string) ([]byte, error) {
	b, err := json.Marshal(struct {
		Capabilities capabilities   `json:"capabilities"`
		Info         implementation `json:"serverInfo"`
		Instructions string         `json:"instructions,omitempty"`
	}{capabilities{}, info, instructions})
	if err != nil {
		return nil, fmt.Errorf("encoding the answer to initialize: %w", err)
	}
	return b[1:], nil
}
