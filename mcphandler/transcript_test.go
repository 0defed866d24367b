package mcphandler

import (
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite the responses in testdata")

// TestTranscripts plays the dialogues in testdata. A file is a list of
// requests, each followed by the response to it. <session>, <state> and
// <cursor> stand for what the server gave last; a field with the value - is
// left out. The comment of the file says what it is about; "granted" in the
// name of a request connects the account first.
//
// Security CORS-05, MCP-01, MCP-02, MCP-04 to MCP-06, MCP-09, MCP-11 to MCP-13,
// MCP-19, MCP-20, MCP-22 to MCP-28, RS-01, SESS-02, SESS-04 to SESS-09, SESS-12.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("transcripts: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want := txtar.Format(archive)
			played := playTranscript(t, archive)
			if *update {
				if err := os.WriteFile(file, played, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(want), string(played)); diff != "" {
				t.Errorf("responses differ (-want +got):\n%s", diff)
			}
		})
	}
}

// playTranscript returns the archive with the responses that the server gave.
func playTranscript(t *testing.T, archive *txtar.Archive) []byte {
	f := newFixture(t, func(cfg *Config) { cfg.PageSize = 100 })
	played := &txtar.Archive{Comment: archive.Comment}
	given := make(placeholders)
	for _, part := range archive.Files {
		if !strings.HasSuffix(part.Name, ": request") {
			continue
		}
		f.granted.Store(strings.Contains(part.Name, "granted"))
		w := sendText(f, given.fill(string(part.Data)))
		response := given.note(w)
		played.Files = append(played.Files, part, txtar.File{
			Name: strings.TrimSuffix(part.Name, "request") + "response",
			Data: []byte(response),
		})
	}
	return txtar.Format(played)
}

// sendText sends a request that is written like an HTTP message.
func sendText(f *fixture, text string) *httptest.ResponseRecorder {
	head, body, _ := strings.Cut(text, "\n\n")
	method, head, _ := strings.Cut(strings.TrimSpace(head), "\n")
	fields := make(map[string]string)
	for line := range strings.Lines(head) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		fields[name] = strings.TrimPrefix(strings.TrimSpace(value), "-")
	}
	return f.serve(method, fields, body)
}

// placeholders are values that differ by a key or a counter, by their name.
type placeholders map[string]string

func (p placeholders) fill(text string) string {
	for name, value := range p {
		text = strings.ReplaceAll(text, name, value)
	}
	return text
}

// note writes a response down, with placeholders for what it gave.
func (p placeholders) note(w *httptest.ResponseRecorder) string {
	body := w.Body.String()
	p.find("<session>", w.Header().Get("Mcp-Session-Id"))
	p.find("<state>", between(body, `"requestState":"`, `"`))
	var b strings.Builder
	fmt.Fprintln(&b, w.Code)
	for _, line := range fieldLines(w) {
		fmt.Fprintln(&b, line)
	}
	if body != "" {
		fmt.Fprintf(&b, "\n%s\n", indent([]byte(body)))
	}
	text := b.String()
	for name, value := range p {
		text = strings.ReplaceAll(text, value, name)
	}
	return text
}

func (p placeholders) find(name, value string) {
	if value != "" {
		p[name] = value
	}
}

func between(s, before, after string) string {
	_, s, _ = strings.Cut(s, before)
	s, _, _ = strings.Cut(s, after)
	return s
}

// fieldLines returns the fields of a response but those that all of them have,
// which TestEveryResponse sees to.
func fieldLines(w *httptest.ResponseRecorder) []string {
	var lines []string
	for name, values := range w.Header() {
		switch name {
		case "Cache-Control", "X-Content-Type-Options", "Content-Length":
			continue
		}
		for _, value := range values {
			if name != "Vary" || value != "Origin" {
				lines = append(lines, name+": "+value)
			}
		}
	}
	slices.Sort(lines)
	return lines
}
