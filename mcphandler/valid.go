package mcphandler

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/tidwall/gjson"
	"github.com/tidwall/pretty"
)

// maxNesting is how deep any JSON may nest, as in encoding/json: beyond, a
// reader that calls itself would need more stack than there is.
const maxNesting = 10000

// validJSON is json.Valid in a third of the time. Each call asks it of the
// message, of the service's answer and of the result.
func validJSON(text []byte) bool {
	return depth(text) <= maxNesting && gjson.ValidBytes(text)
}

// compactJSON removes blanks from a JSON value. The order of members and the
// text of numbers stay; bytes that are not UTF-8 are replaced. It may return body
// itself.
func compactJSON(body []byte) (json.RawMessage, error) {
	body = trimBOM(body)
	if !utf8.Valid(body) {
		body = bytes.ToValidUTF8(body, []byte("\ufffd"))
	}
	if !validJSON(body) {
		var b bytes.Buffer
		err := json.Compact(&b, body) // says what is wrong with it
		return b.Bytes(), err
	}
	if !bytes.ContainsAny(body, " \t\r\n") {
		return body, nil
	}
	return pretty.Ugly(body), nil
}

// trimBOM removes the byte order mark that some services begin JSON with
// (RFC 8259 section 8.1 lets a reader ignore it).
func trimBOM(body []byte) []byte { return bytes.TrimPrefix(body, []byte("\ufeff")) }
