package mcphandler

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// checkJSON checks that body is one JSON text in UTF-8 that nests at most
// maxDepth deep. The functions below rely on it: they find the parts of a text
// that is known to be JSON.
//
// They exist because encoding/json matches member names without regard to case
// and takes the last of several. Then what this server runs is not what a proxy
// in front of it has read and let pass.
func checkJSON(body []byte, maxDepth int) *failure {
	maxDepth = min(maxDepth, maxNesting)
	if depth(body) > maxDepth {
		return &failure{
			status: http.StatusBadRequest, code: codeInvalidRequest,
			message: "the body nests deeper than " + strconv.Itoa(maxDepth),
		}
	}
	if !utf8.Valid(body) || !gjson.ValidBytes(body) {
		return &failure{status: http.StatusBadRequest, code: codeParse, message: "the body is not JSON"}
	}
	return nil
}

// depth returns how deep the brackets of a text nest, JSON or not.
func depth(text []byte) int {
	deepest, now := 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			now++
			deepest = max(deepest, now)
		case '}', ']':
			now--
		case '"':
			i += stringEnd(text[i:]) - 1
		}
	}
	return deepest
}

// stringEnd returns the length of the JSON string that text begins with, or of
// text when the string does not end.
func stringEnd(text []byte) int {
	for end := 1; end < len(text); {
		quote := bytes.IndexByte(text[end:], '"')
		if quote < 0 {
			break
		}
		escapes := 0 // in front of the quote
		for escapes < quote && text[end+quote-escapes-1] == '\\' {
			escapes++
		}
		end += quote + 1
		if escapes%2 == 0 {
			return end
		}
	}
	return len(text)
}

// valueEnd returns the length of the JSON value that text begins with.
func valueEnd(text []byte) int {
	switch text[0] {
	case '"':
		return stringEnd(text)
	case '{', '[':
		for i, open := 0, 0; i < len(text); i++ {
			switch text[i] {
			case '{', '[':
				open++
			case '}', ']':
				if open--; open == 0 {
					return i + 1
				}
			case '"':
				i += stringEnd(text[i:]) - 1
			}
		}
		return len(text)
	}
	if i := bytes.IndexAny(text, ",]} \t\r\n"); i >= 0 {
		return i
	}
	return len(text)
}

// skip drops white space, commas and colons in front of the next part of a text.
// It is called for each part of each message: bytes.TrimLeft, which makes a table
// of its cutset each time, was a twentieth of all that this package does.
func skip(text []byte) []byte {
	for i, c := range text {
		switch c {
		case ' ', '\t', '\r', '\n', ',', ':':
		default:
			return text[i:]
		}
	}
	return nil
}

func isArray(text []byte) bool  { return startsWith(text, '[') }
func isObject(text []byte) bool { return startsWith(text, '{') }
func isString(text []byte) bool { return startsWith(text, '"') }
func isNull(text []byte) bool   { return startsWith(text, 'n') }

func startsWith(text []byte, c byte) bool {
	text = skip(text)
	return len(text) > 0 && text[0] == c
}

// decodeString returns the text of a JSON string.
func decodeString(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// members walks the members of a JSON object.
type members struct {
	rest []byte
	// name and value of the member that next found.
	name, value []byte
	// repeated is set when a name came twice: the object is to be refused.
	repeated bool

	count int
	first [16][]byte
	more  map[string]struct{}
}

func membersOf(object []byte) members {
	return members{rest: skip(object)[1:]}
}

// next moves to the next member, and reports whether there is one.
func (m *members) next() bool {
	m.rest = skip(m.rest)
	if m.repeated || m.rest[0] == '}' {
		return false
	}
	n := stringEnd(m.rest)
	m.name = m.rest[1 : n-1]
	if bytes.IndexByte(m.name, '\\') >= 0 {
		m.name = []byte(decodeString(m.rest[:n]))
	}
	m.rest = skip(m.rest[n:])
	n = valueEnd(m.rest)
	m.value, m.rest = m.rest[:n:n], m.rest[n:]
	m.remember()
	return !m.repeated
}

// remember looks for the name among the ones before. Objects of the protocol
// are small; the map keeps a large one from costing its square.
func (m *members) remember() {
	for _, name := range m.first[:min(m.count, len(m.first))] {
		if bytes.Equal(name, m.name) {
			m.repeated = true
			return
		}
	}
	if m.count < len(m.first) {
		m.first[m.count] = m.name
		m.count++
		return
	}
	if m.more == nil {
		m.more = make(map[string]struct{})
	}
	if _, ok := m.more[string(m.name)]; ok {
		m.repeated = true
		return
	}
	m.more[string(m.name)] = struct{}{}
}

// repeats reports whether a name comes twice in a JSON object.
func repeats(object []byte) bool {
	m := membersOf(object)
	for more := true; more; {
		more = m.next()
	}
	return m.repeated
}

// elementsOf returns the elements of a JSON array, at most limit+1 of them.
func elementsOf(array []byte, limit int) [][]byte {
	var list [][]byte
	rest := skip(skip(array)[1:])
	for rest[0] != ']' && len(list) <= limit {
		n := valueEnd(rest)
		list = append(list, rest[:n:n])
		rest = skip(rest[n:])
	}
	return list
}
