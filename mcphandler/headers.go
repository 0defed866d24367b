package mcphandler

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const (
	mediaJSON   = "application/json"
	mediaEvents = "text/event-stream"
)

// checkPostHeader checks what a POST says of its body and of the answer it
// wants. A body that is not declared as JSON is what a browser sends without
// asking first, so it is never run.
func checkPostHeader(w http.ResponseWriter, header http.Header) *failure {
	if !isJSON(header["Content-Type"]) {
		return &failure{
			status: http.StatusUnsupportedMediaType, code: codeInvalidRequest,
			message: "the Content-Type must be application/json",
		}
	}
	for _, encoding := range header["Content-Encoding"] {
		if encoding != "" && !strings.EqualFold(encoding, "identity") {
			w.Header().Set("Accept-Encoding", "identity") // RFC 9110 section 15.5.16
			return &failure{
				status: http.StatusUnsupportedMediaType, code: codeInvalidRequest,
				message: "the body must not be compressed",
			}
		}
	}
	if !acceptsAnswer(header["Accept"]) {
		return &failure{
			status: http.StatusNotAcceptable, code: codeInvalidRequest,
			message: "the Accept field must allow application/json or text/event-stream",
		}
	}
	return nil
}

func isJSON(contentType []string) bool {
	if len(contentType) != 1 {
		return false
	}
	if contentType[0] == mediaJSON {
		return true
	}
	media, params, err := mime.ParseMediaType(contentType[0])
	if err != nil || media != mediaJSON {
		return false
	}
	charset, ok := params["charset"]
	return !ok || strings.EqualFold(charset, "utf-8")
}

// acceptsAnswer reads the Accept field as RFC 9110 section 12.5.1 says: order
// does not count, the most precise range decides, and no field allows all.
func acceptsAnswer(fields []string) bool {
	if len(fields) == 0 {
		return true
	}
	var json, stream preference
	for _, field := range fields {
		for part := range strings.SplitSeq(field, ",") {
			media, weight := parseRange(part)
			json.consider(media, mediaJSON, "application/*", weight)
			stream.consider(media, mediaEvents, "text/*", weight)
		}
	}
	return json.weight > 0 || stream.weight > 0
}

// acceptsStream reports whether the Accept field asks for server-sent events:
// none, or one for whatever there is, does not.
func acceptsStream(fields []string) bool {
	var stream preference
	for _, field := range fields {
		for part := range strings.SplitSeq(field, ",") {
			media, weight := parseRange(part)
			if media != "*/*" {
				stream.consider(media, mediaEvents, "text/*", weight)
			}
		}
	}
	return stream.weight > 0
}

// preference is the weight of one media type by the most precise range so far.
type preference struct {
	precision int
	weight    float64
}

func (p *preference) consider(media, exact, group string, weight float64) {
	precision := 0
	switch {
	case strings.EqualFold(media, exact):
		precision = 3
	case strings.EqualFold(media, group):
		precision = 2
	case media == "*/*":
		precision = 1
	}
	if precision > p.precision {
		p.precision, p.weight = precision, weight
	}
}

// parseRange splits a media range from its weight. Other parameters do not
// narrow anything here; a weight that cannot be read counts as 0.
func parseRange(part string) (media string, weight float64) {
	media, params, _ := strings.Cut(part, ";")
	weight = 1
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(param, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil || !(q >= 0 && q <= 1) {
			q = 0
		}
		weight = q
	}
	return strings.TrimSpace(media), weight
}

// readBody reads at most limit bytes.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, *failure) {
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close") // spares reading what is refused
		return nil, tooLarge(limit)
	}
	var from io.Reader = r.Body // which ends where it says
	if r.ContentLength < 0 {
		from = http.MaxBytesReader(w, r.Body, limit) // ends the connection of who sends more
	}
	body, err := readAll(from, r.ContentLength, limit)
	var over *http.MaxBytesError
	switch {
	case errors.Is(err, errTooLong), errors.As(err, &over):
		return nil, tooLarge(limit)
	case err != nil:
		return nil, &failure{status: http.StatusBadRequest, code: codeParse, message: "the body could not be read"}
	}
	return body, nil
}

func tooLarge(limit int64) *failure {
	return &failure{
		status: http.StatusRequestEntityTooLarge, code: codeInvalidRequest,
		message: "the body is larger than " + strconv.FormatInt(limit, 10) + " bytes",
	}
}

// readAll reads body to its end; of one with more than limit bytes, only a little
// more, with errTooLong. The length that the other side states saves growing the
// buffer, up to a size that a mere statement may cost; -1 is unknown.
func readAll(body io.Reader, length, limit int64) ([]byte, error) {
	const unknown, most = 512, 64 << 10
	size := int64(unknown)
	if length >= 0 {
		size = min(length, most) + 1 // room to find the end in
	}
	b := make([]byte, 0, size)
	for {
		n, err := body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case int64(len(b)) > limit:
			return b, errTooLong
		case err == io.EOF:
			return b, nil
		case err != nil:
			return b, err
		}
		if len(b) == cap(b) {
			b = slices.Grow(b, unknown)
		}
	}
}
