package harness

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// maxLine bounds one line of a script, in bytes.
const maxLine = 1 << 20

// Script is a program that talks with the test by lines. The project's own
// scripts print JSON objects with a member "step", see clients; what they are to do
// they read from their standard input.
type Script struct {
	t     testing.TB
	lines *bufio.Scanner
	input io.WriteCloser
	wait  func() error
}

// StartScript starts a script in an empty folder. Its errors are shown when the test fails.
func StartScript(t testing.TB, timeout time.Duration, env []string, name string, args ...string) *Script {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), timeout)
	cmd := command(ctx, t.TempDir(), env, name, args...)
	errors, err := os.Create(filepath.Join(t.TempDir(), "script.stderr"))
	if err != nil {
		t.Fatalf("making a file for the errors of a script: %v", err)
	}
	cmd.Stderr = errors
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatalf("starting a script: %v", err)
	}
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatalf("starting a script: %v", err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting a script: %v", err)
	}
	s := &Script{t: t, lines: bufio.NewScanner(output), input: input, wait: cmd.Wait}
	s.lines.Buffer(nil, maxLine)
	showOnFailure(t, errors.Name())
	t.Cleanup(func() {
		cancel()
		_ = s.wait() // it was killed, or End has asked already
		_ = errors.Close()
	})
	return s
}

// Expect reads the next line, which must be of that step, into v.
func (s *Script) Expect(step string, v any) {
	s.t.Helper()
	next, line := s.Next()
	if next != step {
		s.t.Fatalf("script says %s, want the step %q", line, step)
	}
	if err := json.Unmarshal(line, v); err != nil {
		s.t.Fatalf("reading the step %q from %s: %v", step, line, err)
	}
}

// Next reads the next line and returns its step and all of it.
func (s *Script) Next() (step string, line []byte) {
	s.t.Helper()
	if !s.lines.Scan() {
		s.t.Fatalf("script ended before a further step: %v", s.lines.Err())
	}
	var next struct {
		Step string `json:"step"`
	}
	if err := json.Unmarshal(s.lines.Bytes(), &next); err != nil {
		s.t.Fatalf("script says %s: %v", s.lines.Bytes(), err)
	}
	return next.Step, s.lines.Bytes()
}

// Say writes a line to the script's standard input.
func (s *Script) Say(line string) {
	s.t.Helper()
	if _, err := io.WriteString(s.input, line+"\n"); err != nil {
		s.t.Fatalf("telling the script %q: %v", line, err)
	}
}

// Find reads on to the first line for which find reports something, and returns
// that.
func (s *Script) Find(find func(line string) (string, bool)) string {
	s.t.Helper()
	for s.lines.Scan() {
		if found, ok := find(s.lines.Text()); ok {
			return found
		}
		s.t.Logf("script: %s", s.lines.Text())
	}
	s.t.Fatalf("script ended before what was looked for: %v", s.lines.Err())
	return ""
}

// End closes the script's standard input and reads on to its own end, which must
// be a success.
func (s *Script) End() {
	s.t.Helper()
	if err := s.input.Close(); err != nil {
		s.t.Errorf("closing the standard input of a script: %v", err)
	}
	for s.lines.Scan() {
		s.t.Logf("script: %s", s.lines.Text())
	}
	if err := s.wait(); err != nil {
		s.t.Errorf("script ended with %v", err)
	}
}
