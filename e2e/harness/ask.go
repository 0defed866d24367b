package harness

import (
	"encoding/json"
	"testing"
)

// Ask sends a line to a script that serves: it answers each with one line, whose
// member "error" says what went wrong, or else "value" is read into answer,
// which may be nil. Errors end the test.
func (s *Script) Ask(t testing.TB, question, answer any) {
	t.Helper()
	line, err := json.Marshal(question)
	if err != nil {
		t.Fatalf("encoding a question: %v", err)
	}
	if _, err := s.input.Write(append(line, '\n')); err != nil {
		t.Fatalf("asking the script %s: %v", line, err)
	}
	if !s.lines.Scan() {
		t.Fatalf("script ended instead of answering %s: %v", line, s.lines.Err())
	}
	var got struct {
		Error string          `json:"error"`
		Value json.RawMessage `json:"value"`
	}
	if err := json.Unmarshal(s.lines.Bytes(), &got); err != nil {
		t.Fatalf("script answers %s: %v", s.lines.Bytes(), err)
	}
	if got.Error != "" {
		t.Fatalf("asking the script %s: %s", line, got.Error)
	}
	if answer == nil {
		return
	}
	if err := json.Unmarshal(got.Value, answer); err != nil {
		t.Fatalf("reading the answer to %s: %v", line, err)
	}
}
