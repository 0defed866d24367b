package mcphandler

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzValidJSON compares with encoding/json, which it stands for.
func FuzzValidJSON(f *testing.F) {
	for _, seed := range []string{
		``, ` `, `null`, ` true `, `false`, `nul`, `nullx`, `"text"`, `"`, `"\u00e4\ud83d\ude00"`, `"\u12g4"`, `"\x"`, "\"\x01\"", "\"\xff\"",
		`0`, `-0`, `01`, `-`, `1.`, `.5`, `1.5e+10`, `1e`, `1E-2`, `+1`, `0x1`, `1 2`, `NaN`, `-1.0`,
		`[]`, `[1,2]`, `[1,]`, `[,1]`, `[1 2]`, `]`, `[`, `[[]`, `{}`, `{"a":1}`, `{"a" : [ 1 , "b c" , { } ] }`, `{"a":1,}`, `{a:1}`, `{"a"}`,
		`{"a":1,"a":2}`, "{\r\n\t\"a\": \"b \\\" c\"}", "\ufeff{}", "[1]\x00", `{"a":1}}`, `//`, `[1]//`, "\v1", "\u00a01",
		strings.Repeat(`{"a":`, 300) + "1" + strings.Repeat("}", 300),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		want := json.Valid(text)
		if got := validJSON(text); got != want {
			t.Fatalf("validJSON(%.100q) = %t, json.Valid says %t", text, got, want)
		}
		body := bytes.ToValidUTF8(trimBOM(text), []byte("\ufffd"))
		var compact bytes.Buffer
		err := json.Compact(&compact, body)
		got, gotErr := compactJSON(text)
		if (gotErr == nil) != (err == nil) || err == nil && !bytes.Equal(got, compact.Bytes()) {
			t.Fatalf("compactJSON(%.100q) = %.100q, %v; json.Compact says %.100q, %v", text, got, gotErr, compact.Bytes(), err)
		}
	})
}

// What nests without end is no reason to run out of stack.
func TestEndlessNesting(t *testing.T) {
	for n, want := range map[int]bool{maxNesting: true, maxNesting + 1: false} {
		text := []byte(strings.Repeat("[", n) + strings.Repeat("]", n))
		if validJSON(text) != want || json.Valid(text) != want {
			t.Errorf("%d arrays in each other: validJSON says %t, want %t as json.Valid, which says %t", n, !want, want, json.Valid(text))
		}
	}
	for _, open := range []string{"[", `{"a":`, `[{"a":`} {
		if text := []byte(strings.Repeat(open, 8<<20/len(open))); validJSON(text) {
			t.Errorf("8 MiB of %s are JSON", open)
		}
	}
}

// FuzzTextContent reads a text back by encoding/json.
func FuzzTextContent(f *testing.F) {
	for _, seed := range []string{"", "a", `"\`, "\x00\x1f\x7f\b\f\n\r\t", "<a&b>", "\u2028\u2029", "\xff\xc3\x28", "\ufffd", "\U0001f600", `{"a":1}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var got []map[string]string
		content := textContent(text)
		if err := json.Unmarshal(content, &got); err != nil {
			t.Fatalf("textContent(%q) = %q, which is no JSON: %v", text, content, err)
		}
		want := []map[string]string{{"type": "text", "text": string([]rune(text))}} // a bad byte is U+FFFD
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("textContent(%q) (-want +got):\n%s", text, diff)
		}
	})
}
