package mcphandler

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
)

// mediaType is what a service says its answer is.
type mediaType struct {
	name    string // such as text/html, in lower case
	charset string // may be empty
}

// mediaOf returns the Content-Type. Of a response without one, JSON and UTF-8
// text are told from other bytes; nothing else is guessed.
func mediaOf(header http.Header, body []byte) mediaType {
	given := header.Get("Content-Type")
	if given == mediaJSON {
		return mediaType{name: mediaJSON} // as most say it
	}
	// Of a type with bad parameters, the name is good.
	name, params, _ := mime.ParseMediaType(given)
	switch {
	case name != "":
		return mediaType{shorten(name, 100), params["charset"]}
	case validJSON(body):
		return mediaType{name: "application/json"}
	case utf8.Valid(body) && !bytes.ContainsRune(body, 0):
		return mediaType{name: "text/plain"}
	}
	return mediaType{name: "application/octet-stream"}
}

func (m mediaType) isJSON() bool {
	return m.name == "application/json" || m.name == "text/json" || strings.HasSuffix(m.name, "+json")
}

func (m mediaType) isText() bool {
	switch m.name {
	case "application/xml", "application/yaml", "application/x-ndjson", "application/javascript", "application/x-www-form-urlencoded":
		return true
	}
	return strings.HasPrefix(m.name, "text/") ||
		!m.isPicture() && (strings.HasSuffix(m.name, "+xml") || strings.HasSuffix(m.name, "+yaml"))
}

func (m mediaType) isPicture() bool { return strings.HasPrefix(m.name, "image/") }

// result makes a result of a body that is not JSON.
func (m mediaType) result(body []byte) (*Result, error) {
	switch {
	case m.isText():
		return TextResult(m.decode(body)), nil
	case m.isPicture():
		return m.blob("image", body)
	case strings.HasPrefix(m.name, "audio/"):
		return m.blob("audio", body)
	}
	return ErrorResult("the service answered with %d bytes of type %s, which this tool cannot show", len(body), m.name), nil
}

// blob makes a content block of type image or audio.
func (m mediaType) blob(kind string, body []byte) (*Result, error) {
	content, err := encodeJSON([]struct {
		Type     string `json:"type"`
		Data     string `json:"data"`
		MIMEType string `json:"mimeType"`
	}{{kind, base64.StdEncoding.EncodeToString(body), m.name}})
	if err != nil {
		return nil, fmt.Errorf("encoding %s: %w", m.name, err)
	}
	return &Result{Content: content}, nil
}

// decode returns text in UTF-8. Bytes that are none in the charset that the
// service names become U+FFFD.
func (m mediaType) decode(body []byte) string {
	if m.charset != "" && !strings.EqualFold(m.charset, "utf-8") {
		if r, err := charset.NewReaderLabel(m.charset, bytes.NewReader(body)); err == nil {
			if text, err := io.ReadAll(r); err == nil {
				body = text
			}
		}
	}
	return strings.ToValidUTF8(string(trimBOM(body)), "\ufffd")
}
