package mcphandler

import (
	"net/http"
	"net/textproto"
	"strings"
)

// allowedMethods is the Allow header field of the endpoint.
const allowedMethods = "DELETE, OPTIONS, POST"

// corsHeaders are the request header fields that a browser page may send.
// Mcp-Param-* fields are added as a preflight asks for them.
const corsHeaders = "Authorization, Content-Type, Accept, MCP-Protocol-Version, " +
	"Mcp-Session-Id, Mcp-Method, Mcp-Name, Last-Event-ID"

// maxCORSParams bounds how many Mcp-Param-* fields one preflight is granted.
const maxCORSParams = 32

// admitOrigin reports whether r may go on. A page of another origin that reads
// answers, or merely makes the browser send requests, is the attack that DNS
// rebinding is made of; a client that is no browser sends no Origin at all.
func (h *Handler) admitOrigin(header http.Header, r *http.Request) bool {
	origins := r.Header["Origin"]
	if len(origins) == 0 {
		return true // nor need Vary say so: no cache may store an answer
	}
	header.Add("Vary", "Origin")
	if len(origins) > 1 || !h.cfg.OriginAllowed(r, origins[0]) {
		return false
	}
	header.Set("Access-Control-Allow-Origin", origins[0])
	header.Set("Access-Control-Expose-Headers", "Mcp-Session-Id, WWW-Authenticate")
	return true
}

// preflight answers OPTIONS. Credentials are never allowed: the token travels
// in the Authorization field, which the page has to set itself.
func preflight(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Allow", allowedMethods)
	if header.Get("Access-Control-Allow-Origin") != "" {
		header.Set("Access-Control-Allow-Methods", "DELETE, GET, OPTIONS, POST")
		header.Set("Access-Control-Allow-Headers", corsHeaders+requestedParams(r.Header))
		header.Set("Access-Control-Max-Age", "600")
		header.Add("Vary", "Access-Control-Request-Headers")
	}
	w.WriteHeader(http.StatusNoContent)
}

// requestedParams returns the Mcp-Param-* names that a preflight asks for, each
// with a comma in front.
func requestedParams(header http.Header) string {
	var list strings.Builder
	count := 0
	for name := range strings.SplitSeq(header.Get("Access-Control-Request-Headers"), ",") {
		name = textproto.TrimString(name)
		if len(name) <= len(paramPrefix) || !strings.EqualFold(name[:len(paramPrefix)], paramPrefix) || !isToken(name) {
			continue
		}
		if count++; count > maxCORSParams {
			break
		}
		list.WriteString(", ")
		list.WriteString(name)
	}
	return list.String()
}

// isToken reports whether s is a token of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !alnum && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}
