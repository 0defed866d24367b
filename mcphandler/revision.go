package mcphandler

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// revision is a revision of MCP. Its names sort by age.
type revision string

const (
	revision20250326 revision = "2025-03-26"
	revision20250618 revision = "2025-06-18"
	revision20251125 revision = "2025-11-25"
	revision20260728 revision = "2026-07-28"
)

// newestHandshake is offered to a client that asks for a revision we do not
// know: such a client knows the handshake at least.
const newestHandshake = revision20251125

// supported returns all revisions, newest first.
func supported() []revision {
	return []revision{revision20260728, revision20251125, revision20250618, revision20250326}
}

// isHandshake reports whether version is a revision that begins with
// initialize, and one that is served.
func isHandshake(version string) bool {
	switch revision(version) {
	case revision20250326, revision20250618, revision20251125:
		return true
	}
	return false
}

// hasStructuredContent reports whether the revision knows titles, output schemas
// and structured content.
func (r revision) hasStructuredContent() bool { return r >= revision20250618 }

// isStateless reports whether every request stands for itself.
func (r revision) isStateless() bool { return r >= revision20260728 }

// Members of _meta that MCP reserves.
const (
	metaVersion      = "io.modelcontextprotocol/protocolVersion"
	metaCapabilities = "io.modelcontextprotocol/clientCapabilities"
	metaServerInfo   = "io.modelcontextprotocol/serverInfo"
)

// request is one message with all that is known of its circumstances.
type request struct {
	header   http.Header
	caller   *Caller
	endpoint string
	msg      message
	revision revision
	// opensURLs is set when the client said that it can ask the person to open
	// a URL.
	opensURLs bool
	stream    *stream // nil when the client wants none
}

// versionHeader returns the MCP-Protocol-Version field. Several become one value
// that is no version, and is refused as such.
func versionHeader(header http.Header) string {
	return strings.Join(header["Mcp-Protocol-Version"], ", ")
}

// isModern decides the era. A version that nobody knows counts as modern, where
// an error tells the client which ones there are. Only initialize is of the old
// era whatever the header says, unless its _meta says otherwise too.
func (req *request) isModern() bool {
	if version := req.msg.params.meta.version; version != "" && !isHandshake(version) {
		return true
	}
	header := versionHeader(req.header)
	if header == "" || isHandshake(header) {
		return false
	}
	return req.msg.method != "initialize" || revision(header) != revision20260728
}

// unsupportedVersion tells which revisions there are.
func unsupportedVersion(requested string) *failure {
	return &failure{
		status: http.StatusBadRequest, code: codeUnsupportedVersion, message: "Unsupported protocol version",
		data: map[string]any{"supported": supported(), "requested": requested},
	}
}

// declaresURLs reports whether capabilities, a JSON object or nothing, declare
// elicitation by URL.
func declaresURLs(capabilities json.RawMessage) bool {
	elicitation := member(capabilities, "elicitation")
	return isObject(member(elicitation, "url"))
}

// member returns a member of a JSON object, or nil when there is none, or more
// than one, or raw is no object.
func member(raw json.RawMessage, name string) json.RawMessage {
	if !isObject(raw) {
		return nil
	}
	var found json.RawMessage
	m := membersOf(raw)
	for m.next() {
		if string(m.name) == name {
			found = slices.Clip(m.value)
		}
	}
	if m.repeated {
		return nil
	}
	return found
}
