package mcphandler

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
)

// Security MCP-20, MCP-21.
func TestAccept(t *testing.T) {
	tests := map[string]struct {
		fields []string
		want   bool
	}{
		"absent":                     {nil, true},
		"both":                       {[]string{"application/json, text/event-stream"}, true},
		"both in two fields":         {[]string{"text/event-stream", "application/json"}, true},
		"JSON":                       {[]string{"application/json"}, true},
		"stream":                     {[]string{"text/event-stream"}, true},
		"anything":                   {[]string{"*/*"}, true},
		"groups":                     {[]string{"text/*"}, true},
		"capitals":                   {[]string{"Application/JSON"}, true},
		"with parameters":            {[]string{"application/json; charset=utf-8"}, true},
		"with weights":               {[]string{"text/html, application/json;q=0.1"}, true},
		"weight in capitals":         {[]string{"application/json; Q=0.5"}, true},
		"all but JSON":               {[]string{"application/json;q=0, */*"}, true},
		"empty":                      {[]string{""}, false},
		"picture":                    {[]string{"image/png"}, false},
		"web page":                   {[]string{"text/html, application/xml"}, false},
		"JSON with weight 0":         {[]string{"application/json;q=0"}, false},
		"anything with weight 0":     {[]string{"*/*;q=0.0"}, false},
		"exact refusal beats groups": {[]string{"*/*, application/json;q=0, text/event-stream;q=0"}, false},
		"group refusal beats all":    {[]string{"*/*;q=1, application/*;q=0, text/*;q=0"}, false},
		"weight that is none":        {[]string{"application/json;q=x"}, false},
		"weight above 1":             {[]string{"application/json;q=2"}, false},
		"weight that is no number":   {[]string{"application/json;q=NaN"}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := acceptsAnswer(test.fields); got != test.want {
				t.Errorf("acceptsAnswer(%q) = %v, want %v", test.fields, got, test.want)
			}
		})
	}
}

// Security MCP-19.
func TestContentType(t *testing.T) {
	tests := map[string]struct {
		fields []string
		want   bool
	}{
		"JSON":             {[]string{"application/json"}, true},
		"capitals":         {[]string{"Application/Json"}, true},
		"charset":          {[]string{"application/json; charset=UTF-8"}, true},
		"other charset":    {[]string{"application/json; charset=utf-16"}, false},
		"absent":           {nil, false},
		"text":             {[]string{"text/plain"}, false},
		"form":             {[]string{"application/x-www-form-urlencoded"}, false},
		"JSON of a kind":   {[]string{"application/json-rpc"}, false},
		"two":              {[]string{"application/json", "text/plain"}, false},
		"text, then JSON":  {[]string{"text/plain, application/json"}, false},
		"broken parameter": {[]string{"application/json; charset"}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := isJSON(test.fields); got != test.want {
				t.Errorf("isJSON(%q) = %v, want %v", test.fields, got, test.want)
			}
		})
	}
}

// Security MCP-22.
func TestContentEncoding(t *testing.T) {
	tests := map[string]int{
		"": http.StatusOK, "identity": http.StatusOK, "Identity": http.StatusOK,
		"gzip": http.StatusUnsupportedMediaType, "identity, gzip": http.StatusUnsupportedMediaType,
	}
	f := newFixture(t, nil)
	for encoding, want := range tests {
		t.Run(encoding, func(t *testing.T) {
			w := f.serve("POST", map[string]string{"Authorization": "Bearer alice", "Content-Encoding": encoding}, ping)
			if w.Code != want {
				t.Errorf("status %d, want %d", w.Code, want)
			}
		})
	}
}

// unsized hides the length of a body, as chunked transfer does.
type unsized struct{ io.Reader }

// Security MCP-15.
func TestBodyLimit(t *testing.T) {
	f := newFixture(t, func(cfg *Config) { cfg.MaxBody = 100 })
	fits := ping + strings.Repeat(" ", 100-len(ping))
	tests := map[string]struct {
		body   io.Reader
		status int
	}{
		"exactly":          {strings.NewReader(fits), http.StatusOK},
		"exactly, chunked": {unsized{strings.NewReader(fits)}, http.StatusOK},
		"more":             {strings.NewReader(fits + " "), http.StatusRequestEntityTooLarge},
		"more, chunked":    {unsized{strings.NewReader(fits + " ")}, http.StatusRequestEntityTooLarge},
		"empty":            {strings.NewReader(""), http.StatusBadRequest},
		"broken off":       {io.MultiReader(strings.NewReader("{"), errReader{}), http.StatusBadRequest},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/mcp", test.body)
			r.Header.Set("Authorization", "Bearer alice")
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			f.handler.ServeHTTP(w, r)
			if w.Code != test.status {
				t.Errorf("status %d, want %d; body %s", w.Code, test.status, w.Body)
			}
		})
	}
}

// However long a body is said to be, all of it is read, and no more is set aside
// than a statement may cost.
func TestReadAll(t *testing.T) {
	text := strings.Repeat("0123456789", 20_000)
	limit := int64(len(text))
	for name, length := range map[string]int64{
		"unknown": -1, "none": 0, "too short": 10, "exact": int64(len(text)), "too long": 1 << 40,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readAll(iotest.HalfReader(strings.NewReader(text)), length, limit)
			if err != nil || string(got) != text {
				t.Errorf("%d bytes, %v, want %d", len(got), err, len(text))
			}
			if got, err = readAll(strings.NewReader("x"), length, limit); err != nil || string(got) != "x" || cap(got) > 100<<10 {
				t.Errorf("%q in %d bytes, %v", got, cap(got), err)
			}
			got, err = readAll(io.MultiReader(strings.NewReader("x"), errReader{}), length, limit)
			if string(got) != "x" || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%q, %v, want x and the error", got, err)
			}
			if got, err = readAll(strings.NewReader(text), length, limit-1); !errors.Is(err, errTooLong) {
				t.Errorf("%d bytes, %v, want %v", len(got), err, errTooLong)
			}
		})
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
