package mcphandler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/itchyny/gojq"
)

// jqProgram makes a value of another. It sees neither the environment nor
// files nor modules. It is safe for concurrent use.
type jqProgram struct{ code *gojq.Code }

// errTooLong is what exceeds its limit in bytes.
var errTooLong = errors.New("too long")

// refusedError is what a program says with `error(…)`: the operator's own way
// to turn an answer such as {"ok":false} into a failure that the model reads.
type refusedError struct{ message string }

// Error implements error.
func (e *refusedError) Error() string { return e.message }

func compileJQ(source string) (*jqProgram, error) {
	query, err := gojq.Parse(source)
	if err != nil {
		return nil, fmt.Errorf("parsing jq program %q: %w", source, err)
	}
	code, err := gojq.Compile(query)
	if err != nil {
		return nil, fmt.Errorf("compiling jq: %w", err)
	}
	return &jqProgram{code}, nil
}

// run returns the output of the program for v as JSON of at most limit bytes:
// null without any, an array of several. The members of objects are sorted by
// name, as a program makes them anew; numbers that it does not compute with
// keep their text.
//
// The error is [errTooLong], a [*refusedError], the error of ctx, or what went
// wrong in the program.
func (p *jqProgram) run(ctx context.Context, v any, limit int64) (json.RawMessage, error) {
	var outputs [][]byte
	var size int64
	iter := p.code.RunWithContext(ctx, v)
	for {
		output, ok := iter.Next()
		if !ok {
			return joinOutputs(outputs), nil
		}
		if err, isErr := output.(error); isErr {
			if err = jqError(err); err != nil {
				return nil, err
			}
			return joinOutputs(outputs), nil
		}
		encoded, err := gojq.Marshal(output)
		if err != nil {
			return nil, err
		}
		if size += int64(len(encoded)) + 1; size > limit {
			return nil, errTooLong
		}
		outputs = append(outputs, encoded)
	}
}

func joinOutputs(outputs [][]byte) json.RawMessage {
	switch len(outputs) {
	case 0:
		return json.RawMessage("null")
	case 1:
		return outputs[0]
	}
	array := append([]byte{'['}, bytes.Join(outputs, []byte{','})...)
	return append(array, ']')
}

// jqError tells the errors of a program apart: nil for `halt`, which only
// ends it.
func jqError(err error) error {
	var halt *gojq.HaltError
	if errors.As(err, &halt) && halt.Value() == nil {
		return nil
	}
	var said gojq.ValueError
	if !errors.As(err, &said) || said.Value() == nil {
		return err
	}
	if text, ok := said.Value().(string); ok {
		return &refusedError{text}
	}
	text, encodeErr := gojq.Marshal(said.Value())
	if encodeErr != nil {
		return err
	}
	return &refusedError{string(text)}
}
