package mcpclient

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// progressToken is that of the last request: a text, as one of the two types
// that a token may have; the other clients send numbers.
func (c *Client) progressToken() string { return fmt.Sprintf("progress of %d", c.lastID) }

// ear returns what hears the body of an answer while it is read: reports of
// progress in it are passed on at once.
func (c *Client) ear(header http.Header) io.Writer {
	if c.Progress == nil || !strings.HasPrefix(header.Get("Content-Type"), "text/event-stream") {
		return io.Discard
	}
	return &listener{client: c, token: c.progressToken()}
}

// listener hears what is written to it.
type listener struct {
	client *Client
	token  string
	line   []byte // that has no end yet
	last   float64
}

// Write implements [io.Writer]. A report that breaks the rules is an error.
func (l *listener) Write(b []byte) (int, error) {
	l.line = append(l.line, b...)
	for {
		line, rest, ok := bytes.Cut(l.line, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		l.line = rest
		if data, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
			if err := l.hear(data); err != nil {
				return 0, err
			}
		}
	}
}

func (l *listener) hear(data []byte) error {
	var message struct {
		Method string `json:"method"`
		Params struct {
			Token    any     `json:"progressToken"`
			Progress float64 `json:"progress"`
			Message  string  `json:"message"`
		} `json:"params"`
	}
	if err := json.Unmarshal(data, &message); err != nil {
		return fmt.Errorf("reading an event: %w", err)
	}
	if message.Method != "notifications/progress" {
		return nil
	}
	if message.Params.Token != l.token || message.Params.Progress <= l.last {
		return fmt.Errorf("report %s after %v of %q", data, l.last, l.token)
	}
	l.last = message.Params.Progress
	l.client.Progress(message.Params.Message)
	return nil
}
