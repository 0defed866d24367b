package mcphandler

import (
	"context"
	"errors"
	"strings"
	"testing"
)

func TestJQ(t *testing.T) {
	for name, tc := range map[string]struct{ program, input, want string }{
		"member":            {".messages", `{"messages":[1,2]}`, `[1,2]`},
		"several outputs":   {".[]|.a", `[{"a":1},{"a":"x"}]`, `[1,"x"]`},
		"no output":         {"empty", `{}`, `null`},
		"one of an array":   {".[]", `[7]`, `7`},
		"big integer":       {".id", `{"id":12345678901234567890123}`, `12345678901234567890123`},
		"text of a number":  {".", `[1.10, 1e400]`, `[1.10,1e400]`},
		"no escapes":        {".", `"<&>"`, `"<&>"`},
		"halt":              {"1, halt, 2", `{}`, `1`},
		"environment":       {"[env, $ENV.HOME, env.PATH]", `{}`, `[{},null,null]`},
		"caught error":      {`try error("x") catch .`, `{}`, `"x"`},
		"sum of big values": {".a + 1", `{"a":9007199254740993}`, `9007199254740994`},
	} {
		t.Run(name, func(t *testing.T) {
			program, err := compileJQ(tc.program)
			if err != nil {
				t.Fatal(err)
			}
			input, err := decodeJSON([]byte(tc.input))
			if err != nil {
				t.Fatal(err)
			}
			got, err := program.run(t.Context(), input, 1000)
			if err != nil || string(got) != tc.want {
				t.Errorf("run(%s, %s) = %s, %v, want %s", tc.program, tc.input, got, err, tc.want)
			}
		})
	}
}

func TestJQCompileErrors(t *testing.T) {
	for name, tc := range map[string]struct{ program, want string }{
		"syntax":   {".a |", "parsing jq program \".a |\": unexpected EOF"},
		"function": {"nope(1)", "compiling jq: function not defined: nope/1"},
		"input":    {"input", "compiling jq: input(s)/0 is not allowed"},
		"inputs":   {"[inputs]", "compiling jq: input(s)/0 is not allowed"},
		"module":   {`import "a" as a; 1`, `compiling jq: cannot load module: "a"`},
		"data":     {`import "/etc/passwd" as $a; 1`, `compiling jq: cannot load module: "/etc/passwd"`},
		"variable": {"$x", "compiling jq: variable not defined: $x"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := compileJQ(tc.program); err == nil || err.Error() != tc.want {
				t.Errorf("compileJQ(%s) = %v, want %s", tc.program, err, tc.want)
			}
		})
	}
}

func TestJQRunErrors(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	var refused *refusedError
	for name, tc := range map[string]struct {
		program string
		ctx     context.Context
		check   func(error) bool
	}{
		"type":                 {".a.b", t.Context(), func(err error) bool { return !errors.As(err, &refused) && !errors.Is(err, errTooLong) }},
		"said":                 {`error("channel not found")`, t.Context(), func(err error) bool { return errors.As(err, &refused) && refused.message == "channel not found" }},
		"said with a value":    {`error({"code":7})`, t.Context(), func(err error) bool { return errors.As(err, &refused) && refused.message == `{"code":7}` }},
		"halted with a text":   {`"no such thing" | halt_error`, t.Context(), func(err error) bool { return errors.As(err, &refused) && refused.message == "no such thing" }},
		"endless outputs":      {"repeat(1)", t.Context(), func(err error) bool { return errors.Is(err, errTooLong) }},
		"long output":          {`[range(1000)]`, t.Context(), func(err error) bool { return errors.Is(err, errTooLong) }},
		"endless, and stopped": {"def f: f; f", canceled, func(err error) bool { return errors.Is(err, context.Canceled) }},
	} {
		t.Run(name, func(t *testing.T) {
			program, err := compileJQ(tc.program)
			if err != nil {
				t.Fatal(err)
			}
			input := map[string]any{"a": strings.Repeat("x", 10)}
			if got, err := program.run(tc.ctx, input, 1000); err == nil || !tc.check(err) {
				t.Errorf("run(%s) = %s, %v", tc.program, got, err)
			}
		})
	}
}
