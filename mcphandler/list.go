package mcphandler

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"go.uber.org/zap"
)

// listTools answers tools/list: one page of the caller's tools. They come in the
// order of the sources, which is the same each time.
func (h *Handler) listTools(ctx context.Context, req *request) answer {
	after, f := parseCursor(req.msg.params.cursor)
	if f != nil {
		return failed(req.msg.id, f)
	}
	tools, err := h.toolsOf(ctx, req.caller)
	if err != nil {
		return failed(req.msg.id, h.internal("tools not listed", req.caller, err))
	}
	page, more, f := h.page(tools, after)
	if f != nil {
		return failed(req.msg.id, f)
	}
	result, err := h.encodePage(req, page, more)
	if err != nil {
		return failed(req.msg.id, h.internal("tools not listed", req.caller, err))
	}
	return closeResult(result)
}

// toolsOf returns the tools of all sources. Of tools with the same name the
// first counts, as it does for a call.
func (h *Handler) toolsOf(ctx context.Context, caller *Caller) ([]*described, error) {
	var list []*described
	seen := make(map[string]bool)
	for i, source := range h.cfg.Sources {
		tools, err := source.List(ctx, caller)
		if err != nil {
			return nil, fmt.Errorf("listing source %d: %w", i, err)
		}
		for _, tool := range tools {
			d, err := describe(tool)
			if err != nil {
				h.logger.Warn("tool not listed", zap.String("tool", tool.Describe().Name), zap.Error(err))
				continue
			}
			if !seen[d.Name] {
				seen[d.Name] = true
				list = append(list, d)
			}
		}
	}
	return list, nil
}

// page returns the tools that follow the one called after, and whether there are
// more. A cursor whose tool is gone names no place any more.
func (h *Handler) page(tools []*described, after string) (page []*described, more bool, f *failure) {
	if after != "" {
		start := len(tools) + 1
		for i, tool := range tools {
			if tool.Name == after {
				start = i + 1
			}
		}
		if start > len(tools) {
			return nil, false, invalidParams("Invalid cursor")
		}
		tools = tools[start:]
	}
	if len(tools) <= h.cfg.PageSize {
		return tools, false, nil
	}
	return tools[:h.cfg.PageSize], true, nil
}

func (h *Handler) encodePage(req *request, page []*described, more bool) ([]byte, error) {
	entries := make([][]byte, len(page))
	size := 512
	for i, tool := range page {
		entry, err := tool.entry(req.revision)
		if err != nil {
			return nil, fmt.Errorf("describing tool %q: %w", tool.Name, err)
		}
		entries[i] = entry
		size += len(entry) + 1
	}
	b := append(openResult(req.msg.id, size), `{"tools":`...)
	b = append(b, joinArray(entries)...)
	if more {
		b = append(b, `,"nextCursor":"`+newCursor(page[len(page)-1].Name)+`"`...)
	}
	if req.revision.isStateless() {
		return append(b, h.answers.listEnd...), nil
	}
	return append(b, '}'), nil
}

// cursorMark tells our cursors from other things that happen to be base64.
const cursorMark = "after:"

// newCursor returns the cursor that stands behind the tool called name. It holds
// nothing that the client has not just read, so it needs no seal, and any node
// understands it.
func newCursor(name string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(cursorMark + name))
}

// parseCursor returns the name of the last tool of the page before, or nothing
// for the first page.
func parseCursor(raw []byte) (string, *failure) {
	if raw == nil || isNull(raw) {
		return "", nil
	}
	if !isString(raw) {
		return "", invalidParams("Invalid cursor")
	}
	cursor := decodeString(raw)
	if cursor == "" {
		return "", nil
	}
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	name, ok := strings.CutPrefix(string(decoded), cursorMark)
	if err != nil || !ok || name == "" {
		return "", invalidParams("Invalid cursor")
	}
	return name, nil
}
