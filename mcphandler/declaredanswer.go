package mcphandler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
)

// unexpectedForm is what the model is told when an answer is not what the
// operator declared; the reason goes to the log.
const unexpectedForm = "the service's answer had an unexpected form"

// answerText answers with the operator's own text.
func (d *Declared) answerText(values *templateValues) (*Result, error) {
	if d.respond != nil {
		text, _, err := d.respond.text(values)
		if err != nil {
			return nil, err
		}
		return TextResult(text), nil
	}
	var b bytes.Buffer
	present, err := d.respondJSON.build(&b, values)
	if err != nil {
		return nil, err
	}
	if !present {
		b.WriteString("null")
	}
	return d.answerValue(b.Bytes())
}

// answerResponse makes the result of a response with a status of 2xx.
func (d *Declared) answerResponse(ctx context.Context, resp *http.Response, body []byte) (*Result, error) {
	if d.result != nil {
		return d.answerJQ(ctx, body)
	}
	if len(bytes.TrimSpace(body)) == 0 {
		if d.output != nil {
			return d.answerValue(json.RawMessage("null"))
		}
		return TextResult("done: the service answered " + statusLine(resp.StatusCode) + " without content"), nil
	}
	media := mediaOf(resp.Header, body)
	if d.output == nil && !media.isJSON() {
		return media.result(body)
	}
	compact, err := compactJSON(body)
	switch {
	case err == nil:
		return d.answerValue(compact)
	case d.output != nil:
		return nil, &ToolError{Message: unexpectedForm, Cause: err}
	}
	return TextResult(strings.ToValidUTF8(string(body), "\ufffd")), nil // JSON in name only
}

// answerJQ makes a result of the program's output. The program has to do with
// JSON, whatever the service calls it; no body at all is null.
func (d *Declared) answerJQ(ctx context.Context, body []byte) (*Result, error) {
	var input any
	if body = trimBOM(body); len(bytes.TrimSpace(body)) > 0 {
		var err error
		if input, err = decodeJSON(body); err != nil {
			return nil, &ToolError{Message: unexpectedForm, Cause: err}
		}
	}
	value, err := d.result.run(ctx, input, d.maxResponse)
	var refused *refusedError
	switch {
	case errors.As(err, &refused):
		return ErrorResult("%s", shorten(refused.message, maxExcerpt)), nil
	case errors.Is(err, errTooLong):
		return d.tooLong(), nil
	case err != nil:
		return nil, &ToolError{Message: unexpectedForm, Cause: err}
	}
	return d.answerValue(value)
}

// answerValue answers with a compact JSON value: as text, where a string
// stands for itself, and structured if the tool declares what it returns.
func (d *Declared) answerValue(value json.RawMessage) (*Result, error) {
	text := string(value)
	if value[0] == '"' {
		if err := json.Unmarshal(value, &text); err != nil {
			return nil, &ToolError{Message: unexpectedForm, Cause: err}
		}
	}
	result := TextResult(text)
	if d.output == nil {
		return result, nil
	}
	decoded, err := decodeJSON(value)
	if err != nil {
		return nil, &ToolError{Message: unexpectedForm, Cause: err}
	}
	if places := d.output.check(decoded); places != nil {
		return nil, &ToolError{
			Message: unexpectedForm,
			Cause:   errors.New("output schema: " + strings.Join(places, "; ")),
		}
	}
	result.StructuredContent = value
	return result, nil
}

func (d *Declared) tooLong() *Result {
	return ErrorResult("the service's answer is longer than %d bytes, which is the most this tool reads; ask for less", d.maxResponse)
}
