package altertest

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// compactASCII reports whether a JSON text is written as the vault's clients
// do: no blanks outside of strings, no byte above ASCII.
func compactASCII(text []byte) bool {
	var compact bytes.Buffer
	if json.Compact(&compact, text) != nil || !bytes.Equal(compact.Bytes(), text) {
		return false
	}
	return bytes.IndexFunc(text, func(r rune) bool { return r > '~' }) < 0
}

// members splits a JSON object into its keys, in order, and their values. A
// key that comes twice is an error.
func members(text []byte) ([]string, map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, fmt.Errorf("no JSON object")
	}
	var keys []string
	values := map[string]json.RawMessage{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, nil, err
		}
		key, _ := t.(string)
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, nil, err
		}
		if _, twice := values[key]; twice {
			return nil, nil, fmt.Errorf("the key %q comes twice", key)
		}
		keys, values[key] = append(keys, key), value
	}
	return keys, values, nil
}

// fields is a body that was checked against its shape.
type fields map[string]any

func (f fields) str(key string) string { s, _ := f[key].(string); return s }
func (f fields) flag(key string) bool  { b, _ := f[key].(bool); return b }
func (f fields) num(key string, otherwise int) int {
	if n, ok := f[key].(float64); ok {
		return int(n)
	}
	return otherwise
}

func (f fields) obj(key string) fields { m, _ := f[key].(map[string]any); return m }

func (f fields) list(key string) []string {
	values, _ := f[key].([]any)
	var list []string
	for _, value := range values {
		if s, ok := value.(string); ok {
			list = append(list, s)
		}
	}
	return list
}

// strs is an object whose values are strings.
func (f fields) strs(key string) map[string]string {
	out := map[string]string{}
	for name, value := range f.obj(key) {
		out[name] = fmt.Sprint(value)
	}
	return out
}
