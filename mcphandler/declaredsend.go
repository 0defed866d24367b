package mcphandler

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Limits of what the model sees of a service's error.
const (
	maxErrorBody = 64 << 10 // bytes that are read
	maxExcerpt   = 2 << 10  // bytes that are shown
)

// send sends req and makes a result of the response.
func (d *Declared) send(ctx context.Context, caller *Caller, need Need, req *http.Request) (*Result, error) {
	resp, err := d.upstream.Do(caller, need, req)
	if err != nil {
		return nil, sendError(err)
	}
	defer resp.Body.Close()

	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return d.answerStatus(resp)
	}
	if encoding := resp.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, &ToolError{Message: unexpectedForm, Cause: fmt.Errorf("content encoding %q was not asked for", shorten(encoding, 40))}
	}
	if resp.ContentLength > d.maxResponse && req.Method != http.MethodHead {
		return d.tooLong(), nil
	}
	body, err := readAll(resp.Body, resp.ContentLength, d.maxResponse)
	if errors.Is(err, errTooLong) {
		return d.tooLong(), nil
	}
	if err != nil {
		return nil, &ToolError{Message: "the service's answer broke off", Cause: withoutURL(err)}
	}
	return d.answerResponse(ctx, resp, body)
}

// sendError passes on what the handler tells apart, and hides anything else
// from the model.
func sendError(err error) error {
	var connect *ConnectError
	var tool *ToolError
	if errors.As(err, &connect) || errors.As(err, &tool) || errors.Is(err, ErrInvalidToken) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &ToolError{Message: "the service could not be reached", Cause: withoutURL(err)}
}

// withoutURL takes the URL out of an error of http.Client: its query may hold
// what a person wrote.
func withoutURL(err error) error {
	var urlErr *url.Error
	if errors.As(err, &urlErr) {
		return urlErr.Err
	}
	return err
}

// answerStatus makes a result of a response with a status other than 2xx. It
// tells the model the status, how long to wait, and the beginning of what the
// service says, but no header.
func (d *Declared) answerStatus(resp *http.Response) (*Result, error) {
	status := statusLine(resp.StatusCode)
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		return nil, &ToolError{
			Message: "the service answered " + status + ", and redirects are not followed",
			Cause:   fmt.Errorf("redirect to host %q", redirectHost(resp)),
		}
	}
	text := "the service answered " + status
	if wait, ok := d.retryAfter(resp); ok {
		text += fmt.Sprintf("; try again in %d seconds", wait)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if excerpt := excerptOf(resp, body); err == nil && excerpt != "" {
		text += ": " + excerpt
	}
	return ErrorResult("%s", text), nil
}

func statusLine(status int) string {
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
}

func redirectHost(resp *http.Response) string {
	location, err := resp.Location()
	if err != nil {
		return ""
	}
	return location.Host
}

// retryAfter returns the seconds of the Retry-After of a 429 or 503 (RFC 9110
// section 10.2.3), at most a day.
func (d *Declared) retryAfter(resp *http.Response) (int64, bool) {
	const day = 24 * 60 * 60
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return 0, false
	}
	value := strings.TrimSpace(resp.Header.Get("Retry-After"))
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil && seconds >= 0 {
		return min(seconds, day), true
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	wait := date.Sub(d.now())
	return min(max(int64((wait+time.Second-1)/time.Second), 0), day), true
}

// excerptOf shortens what a service says about an error. The type is named
// where it is not JSON, and control characters are taken out: they might be
// for a terminal.
func excerptOf(resp *http.Response, body []byte) string {
	if len(body) == 0 || resp.Header.Get("Content-Encoding") != "" {
		return ""
	}
	media := mediaOf(resp.Header, body)
	if media.isJSON() {
		if compact, err := compactJSON(body); err == nil {
			return shorten(string(compact), maxExcerpt)
		}
	}
	if !media.isText() && !media.isJSON() {
		return fmt.Sprintf("(%s)", media.name)
	}
	text := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, strings.TrimSpace(media.decode(body)))
	return fmt.Sprintf("(%s) %s", media.name, shorten(text, maxExcerpt))
}
